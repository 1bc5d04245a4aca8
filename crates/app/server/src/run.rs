//! The server's life: start, signals, reload, the way out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use api::Api;
use live::Desk;
use telemetry::Logs;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::cli::Options;
use crate::config::Settings;
use crate::pid_file::PidFile;
use crate::supervisor::Supervisor;
use crate::tls::Tls;
use crate::{external_ip, prometheus, say, streams, turn_server};

/// How long the last words of connections may take after everybody has left.
const LAST_WORDS: Duration = Duration::from_millis(300);

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let settings = Settings::load(options)?;
    let starter = match options.daemon {
        // Here, because later there are threads.
        true => match net::detach().context("--daemon")? {
            net::Side::Caller { started: true } => return Ok(()),
            net::Side::Caller { started: false } => anyhow::bail!("--daemon: the server has not started"),
            net::Side::Daemon(starter) => Some(starter),
        },
        false => None,
    };
    let _pid_file = options.pid_file.as_deref().map(PidFile::take).transpose()?;
    let logs = Logs::start(&settings.logs).map_err(anyhow::Error::msg).context("logging")?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    match net::raise_file_limit() {
        Ok(limit) => info!(files = limit.soft, "open files allowed"),
        Err(error) => warn!(%error, "the limit of open files stays as it is"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control")
        .build()
        .context("cannot start the runtime")?;
    let certificate = peer::Certificate::generate().context("cannot make a DTLS certificate")?;
    let mut media = settings.engine.clone();
    if let Some(servers) = &settings.external_ip {
        let ip = external_ip::find(servers)?;
        info!(%ip, "clients are told this address");
        media.node_ips.push(ip);
    }
    let engine = engine::start(&media, &certificate).context("media")?;
    let result = runtime.block_on(serve(options, &settings, &logs, engine.clone(), starter));
    engine.stop();
    runtime.shutdown_timeout(LAST_WORDS);
    result
}

async fn serve(
    options: &Options,
    settings: &Settings,
    logs: &Logs,
    engine: engine::Handle,
    starter: Option<net::Starter>,
) -> anyhow::Result<()> {
    // Before anybody can learn that the server is there, and ask it to go.
    let signals = Signals::listen()?;
    // Those that had ended before there was anybody to hear of it.
    net::reap_children();
    let tls = settings.tls.as_ref().map(|source| source.load()).transpose()?;
    let listeners = listen(&settings.bind, settings.port).await?;
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    let (stop, stopped) = watch::channel(false);
    let turn = turn_server::start(settings, &engine, stopped.clone()).await?;
    let (turn, ice_server) = turn.unzip();
    let api = Api::new(with(settings.api.clone(), ice_server.as_ref()), engine);
    if let Some(turn) = turn {
        api.watch_turn(turn);
    }
    let started = streams::start(settings, tls.as_ref().map(|tls| &tls.config), &stopped).await?;
    let (desk, ports) =
        started.map_or((None, api::LivePorts::default()), |(desk, ports)| (Some(desk), ports));
    let serves_streams = ports.rtmp.is_some() && ports.http.is_some();
    if let Some(desk) = &desk {
        api.watch_streams(desk.clone(), ports);
    }
    for listener in listeners {
        let (api, tls, stopped) = (api.clone(), tls.as_ref().map(|tls| tls.config.clone()), stopped.clone());
        tokio::spawn(async move { api.serve(listener, tls, stopped).await });
    }
    if let Some(wanted) = &settings.prometheus {
        let mut stopped = stopped.clone();
        let until = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let address = prometheus::start(wanted, api.clone(), until).await?;
        info!(%address, "metrics on /metrics");
    }
    announce(settings, &addresses, tls.is_some(), serves_streams);
    let supervisor = Supervisor::from_environment();
    supervisor.ready();
    if let Some(starter) = starter {
        starter.ready().context("--daemon")?;
    }
    let running = Running {
        options,
        settings,
        logs,
        api: &api,
        desk: desk.as_ref(),
        tls: tls.as_ref(),
        turn: ice_server.as_ref(),
    };
    tokio::select! {
        () = running.wait_for_the_end(signals, &supervisor) => {}
        () = supervisor.keep_alive() => {}
    }
    stop.send_replace(true);
    // Leave messages have been handed to the sockets; let the kernel have them.
    tokio::task::yield_now().await;
    Ok(())
}

/// The embedded TURN server comes last: clients try them in order.
fn with(mut config: api::Config, turn: Option<&signal::IceServer>) -> api::Config {
    config.rooms.ice_servers.extend(turn.cloned());
    config
}

/// Binds every address, all to one port, also where the system chooses it.
pub(crate) async fn listen(addresses: &[IpAddr], port: u16) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut port = port;
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        match TcpListener::bind(address).await {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            // A machine without IPv6 is no reason not to start: "every address" means those there are.
            Err(error)
                if ip.is_ipv6() && is_no_ipv6(&error) && (ip.is_unspecified() || addresses.len() > 1) =>
            {
                info!(%address, "no IPv6 on this machine");
                if ip.is_unspecified() {
                    let every = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
                    let listener = TcpListener::bind(every)
                        .await
                        .with_context(|| format!("cannot listen on {every} (port, bind)"))?;
                    port = listener.local_addr()?.port();
                    listeners.push(listener);
                }
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot listen on {address} (port, bind)"));
            }
        }
    }
    anyhow::ensure!(!listeners.is_empty(), "no address to listen on (bind_addresses)");
    Ok(listeners)
}

fn is_no_ipv6(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, Unsupported};
    // EAFNOSUPPORT has no kind of its own.
    matches!(error.kind(), AddrNotAvailable | Unsupported) || error.raw_os_error() == Some(97)
}

fn announce(settings: &Settings, addresses: &[SocketAddr], has_tls: bool, serves_streams: bool) {
    let (scheme, ws) = if has_tls { ("https", "wss") } else { ("http", "ws") };
    for address in addresses {
        info!(%address, "listening for {scheme} and {ws}");
    }
    if !settings.dev {
        return;
    }
    let Some(address) = addresses.first() else { return };
    let shown = if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::from([127, 0, 0, 1]), address.port())
    } else {
        *address
    };
    let key = if settings.dev_key { "   key devkey   secret secret" } else { "" };
    let mut page = format!(
        "\n  Millrace is running. Open this in two windows and meet:\n\n      {scheme}://{shown}\n\n  \
         LiveKit SDKs: {ws}://{shown}{key}\n"
    );
    let ports = settings.live.as_ref().filter(|_| serves_streams).map(|live| (live.rtmp, live.http));
    if let Some((Some(rtmp), Some(http))) = ports {
        let host = SocketAddr::new(shown.ip(), http);
        page += &format!(
            "  Live streams: publish to rtmp://{}/live/demo, watch {scheme}://{shown}/watch/live/demo\n                \
             or play {scheme}://{host}/live/demo.flv\n",
            SocketAddr::new(shown.ip(), rtmp)
        );
    }
    // A server goes on whether or not anybody reads this.
    let _ = say(format_args!("{page}"));
}

/// What the operating system asks of a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    child: Signal,
}

impl Signals {
    /// From here on none of them ends the process by itself.
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
            hang_up: signal(SignalKind::hangup()).context("SIGHUP")?,
            child: signal(SignalKind::child()).context("SIGCHLD")?,
        })
    }
}

/// A server at work.
struct Running<'a> {
    options: &'a Options,
    settings: &'a Settings,
    logs: &'a Logs,
    api: &'a Api,
    desk: Option<&'a Desk>,
    tls: Option<&'a Tls>,
    turn: Option<&'a signal::IceServer>,
}

impl Running<'_> {
    /// Returns when it is time to go: after everyone has been told, or at once on a second signal.
    async fn wait_for_the_end(&self, mut signals: Signals, supervisor: &Supervisor) {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hang_up.recv() => self.reload(),
                _ = signals.child.recv() => {
                    net::reap_children();
                }
            }
        }
        supervisor.stopping();
        let shutdown = self.settings.shutdown;
        info!(wait = ?shutdown.wait, grace = ?shutdown.grace, "stopping; a second signal stops at once");
        let drained = async {
            if !shutdown.wait.is_zero() {
                self.api.wait_for_rooms(shutdown.wait).await;
            }
            self.api.drain(shutdown.reconnect, shutdown.grace).await
        };
        tokio::select! {
            left = drained => {
                if left > 0 {
                    warn!(left, "connections did not end in time");
                }
            }
            _ = signals.terminate.recv() => warn!("stopped at once"),
            _ = signals.interrupt.recv() => warn!("stopped at once"),
        }
    }

    /// Keys, guests, limits, webhooks, certificates, live applications and the log level take effect; a
    /// broken file changes nothing.
    fn reload(&self) {
        let settings = match Settings::load(self.options) {
            Ok(settings) => settings,
            Err(error) => return error!("configuration not reloaded: {error:#}"),
        };
        // Before anything else changes: it is the last that can fail.
        if let (Some(tls), Some(source)) = (self.tls, &settings.tls)
            && let Err(error) = tls.reload(source)
        {
            return error!("configuration not reloaded: {error:#}");
        }
        if let Err(error) = self.logs.apply(&settings.logs) {
            error!(%error, "log level not changed");
        }
        for warning in &settings.warnings {
            warn!("{warning}");
        }
        self.api.apply(with(settings.api, self.turn));
        streams::apply(self.desk, settings.live);
        info!("configuration reloaded; ports, addresses and workers need a restart");
    }
}
