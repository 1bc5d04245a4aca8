//! One validated snapshot out of the file, the environment and the flags.
//!
//! Owns: what a key means and what its value must be. Each subsystem gets its own part and reads no other.

mod build;
mod file;
mod flags;
mod keys;
mod live;
mod strict;
#[cfg(test)]
mod tests;
mod turn;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cli::Options;
use crate::tls;

pub(crate) use file::parse_duration;
pub(crate) use flags::{Override, add_to as with_flags, given as given_outside};
pub(crate) use live::Live;
pub(crate) use turn::Turn;

/// The snapshot: validated, nothing left to look up.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) dev: bool,
    /// The one key is that of `--dev`, which is no secret.
    pub(crate) dev_key: bool,
    pub(crate) bind: Vec<IpAddr>,
    pub(crate) port: u16,
    pub(crate) tls: Option<tls::Source>,
    pub(crate) logs: telemetry::Config,
    pub(crate) engine: engine::Config,
    /// STUN servers to ask for the address clients are to be told, if it is to be found out.
    pub(crate) external_ip: Option<Vec<String>>,
    pub(crate) api: api::Config,
    /// The embedded TURN server, if there is to be one.
    pub(crate) turn: Option<Turn>,
    /// Live streams, unless nothing asks for them.
    pub(crate) live: Option<Live>,
    pub(crate) prometheus: Option<Prometheus>,
    pub(crate) shutdown: Shutdown,
    /// To be said once logging runs.
    pub(crate) warnings: Vec<String>,
}

/// Where metrics are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prometheus {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) login: Option<Login>,
}

/// A name and a password; not printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.username)
    }
}

/// How the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shutdown {
    /// Clients are told to come back, to whatever server answers then, instead of to leave.
    pub(crate) reconnect: bool,
    /// How long rooms may go on before clients are told; nobody joins in that time.
    pub(crate) wait: Duration,
    /// How long clients have to go.
    pub(crate) grace: Duration,
}

impl Settings {
    /// Reads the file that `options` name and puts flags and environment over it.
    pub(crate) fn load(options: &Options) -> anyhow::Result<Self> {
        let (text, place) = match (&options.config_body, &options.config) {
            (Some(body), _) => (body.clone(), "--config-body, LIVEKIT_CONFIG".to_owned()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration {}", path.display()))?;
                (text, path.display().to_string())
            }
            (None, None) => (String::new(), "flags and environment".to_owned()),
        };
        Self::from_text(&text, options).with_context(|| format!("configuration ({place})"))
    }

    /// What has to be open in a firewall, a line each.
    pub(crate) fn ports(&self) -> Vec<String> {
        let mut lines = vec![format!("HTTP and WebSocket: {}/tcp", self.port)];
        lines.push(match self.engine.ports {
            _ if self.engine.tcp_only => "media over UDP: off".to_owned(),
            engine::Ports::Shared(port) => format!("media over UDP: {port}/udp"),
            engine::Ports::Range { first, last } => format!("media over UDP: {first}-{last}/udp"),
        });
        let mut tcp = |name: &str, port: Option<u16>| {
            lines.extend(port.filter(|port| *port != 0).map(|port| format!("{name}: {port}/tcp")));
        };
        tcp("media over TCP", self.engine.tcp.as_ref().map(|tcp| tcp.port));
        tcp("metrics", self.prometheus.as_ref().map(|metrics| metrics.port));
        if let Some(live) = &self.live {
            tcp("RTMP", live.rtmp);
            tcp("RTMPS", live.rtmps);
            tcp("HTTP-FLV and HLS", live.http);
        }
        if let Some(turn) = &self.turn {
            tcp("TURN over TCP", Some(turn.tcp_port));
            tcp("TURN over TLS", Some(turn.tls_port));
            let (first, last) = (turn.relay_ports.start(), turn.relay_ports.end());
            lines.extend((turn.udp_port != 0).then(|| format!("TURN over UDP: {}/udp", turn.udp_port)));
            lines.push(format!("TURN relays: {first}-{last}/udp"));
        }
        lines
    }

    fn from_text(text: &str, options: &Options) -> anyhow::Result<Self> {
        let explain = |error: &serde_saphyr::Error| strict::explain(text, error);
        let findings = strict::inspect(text).map_err(|e| anyhow::anyhow!("not YAML: {}", explain(&e)))?;
        let mut warnings: Vec<String> =
            findings.idle.iter().map(|key| format!("{key} is accepted and does nothing yet")).collect();
        let unknown: Vec<String> = findings.unknown.iter().map(ToString::to_string).collect();
        if options.disable_strict_config {
            warnings.extend(unknown);
        } else if !unknown.is_empty() {
            bail!("{}", unknown.join("\n"));
        }
        let file: file::File = if text.trim().is_empty() {
            file::File::default()
        } else {
            serde_saphyr::from_str::<Option<file::File>>(text)
                .map_err(|e| anyhow::anyhow!("{}", explain(&e)))?
                .unwrap_or_default()
        };
        let (file, idle) = flags::apply(file, &options.overrides)?;
        warnings.extend(idle);
        warnings.extend(options.unknown_variables.iter().cloned());
        build::settings(file, options, warnings)
    }
}
