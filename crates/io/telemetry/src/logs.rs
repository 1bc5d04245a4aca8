//! Log lines on standard error.

use std::io::IsTerminal as _;
use std::panic::{self, PanicHookInfo};
use std::str::FromStr;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, reload};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.to_ascii_lowercase().as_str() {
            "error" => Ok(Self::Error),
            "warn" | "warning" => Ok(Self::Warn),
            "" | "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(format!("{name:?} is not a log level: use error, warn, info, debug or trace")),
        }
    }
}

/// How this process logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// For our own crates; those of others are kept one level quieter, and never below warnings.
    pub level: Level,
    /// For the libraries below media transports, as LiveKit's `pion_level` is for its own.
    pub transport: Option<Level>,
    /// One JSON object a line.
    pub json: bool,
    /// Directives in the syntax of `RUST_LOG`, which then decide alone.
    pub directives: Option<String>,
}

/// Libraries whose debugging lines drown ours; above warnings they only speak when asked by directive.
const OTHERS: LevelFilter = LevelFilter::WARN;

/// Our crates, as their modules are called in log lines.
const OURS: [&str; 21] = [
    "millrace", "api", "auth", "engine", "fetch", "flv", "hls", "live", "load", "media", "net", "peer",
    "relay", "room", "rtmp", "sdp", "sfu", "signal", "srtp", "turn", "turn_net",
];

/// The libraries of ICE, DTLS and SCTP.
const TRANSPORT: [&str; 3] = ["is", "dimpl", "sctp_proto"];

impl Config {
    fn filter(&self) -> Result<EnvFilter, String> {
        if let Some(directives) = &self.directives {
            return EnvFilter::builder().parse(directives).map_err(|e| format!("log directives: {e}"));
        }
        let level = LevelFilter::from(self.level);
        let mut directives = OTHERS.min(level).to_string();
        let mut add = |names: &[&str], level: LevelFilter| {
            for name in names {
                directives += &format!(",{name}={level}");
            }
        };
        add(&OURS, level);
        if let Some(level) = self.transport {
            add(&TRANSPORT, level.into());
        }
        EnvFilter::builder().parse(directives).map_err(|e| e.to_string())
    }
}

/// The running logs, whose level can be changed.
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logs {
    /// Starts logging for the whole process; an error if something else logs already.
    pub fn start(config: &Config) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(config.filter()?);
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let registry = tracing_subscriber::registry().with(filter);
        let started = if config.json {
            registry.with(lines.json().flatten_event(true)).try_init()
        } else {
            registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()
        };
        started.map_err(|e| e.to_string())?;
        panic::set_hook(Box::new(log_panic));
        Ok(Self { filter: handle })
    }

    /// Changes what is written from now on. Whether it is JSON is decided at the start.
    pub fn apply(&self, config: &Config) -> Result<(), String> {
        self.filter.reload(config.filter()?).map_err(|e| e.to_string())
    }
}

/// What is not meant to happen stands in the log like everything else, with its place.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
    tracing::error!(thread = thread.name().unwrap_or_default(), place, "panic: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_names_that_livekit_uses() {
        assert_eq!("warn".parse(), Ok(Level::Warn));
        assert_eq!("".parse(), Ok(Level::Info));
        assert!("loud".parse::<Level>().unwrap_err().contains("use error, warn"));
    }

    #[test]
    fn others_stay_quiet_when_we_debug_and_are_quieter_still_when_we_are() {
        let filter = Config { level: Level::Debug, ..Config::default() }.filter().unwrap().to_string();
        assert!(filter.contains("engine=debug") && filter.contains("warn"), "{filter}");
        let filter = Config { level: Level::Error, ..Config::default() }.filter().unwrap().to_string();
        assert!(!filter.contains("warn"), "{filter}");
        let filter =
            Config { transport: Some(Level::Trace), ..Config::default() }.filter().unwrap().to_string();
        assert!(filter.contains("dimpl=trace") && filter.contains("engine=info"), "{filter}");
    }

    #[test]
    fn directives_decide_alone_and_are_checked() {
        let with = |text: &str| Config { directives: Some(text.into()), ..Config::default() }.filter();
        assert_eq!(with("dimpl=trace").unwrap().to_string(), "dimpl=trace");
        assert!(with("a=b=c").is_err());
    }
}
