//! Flags, environment and subcommands: LiveKit's names where it has one.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{self, Override};

/// One server for real-time media: meetings that any LiveKit SDK can join, a page to meet on, and live streams (RTMP in;
/// RTMP, HTTP-FLV, HLS out) with a page to watch on.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Cli {
    /// Reads command line and environment; ends the process where they are wrong, or ask for help.
    pub(crate) fn read() -> Self {
        // As livekit-server has it, a variable that is empty is not given: files for containers list them so.
        let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|text| text.is_empty());
        let command = Self::command().mut_args(|arg| match arg.get_env() {
            Some(name) if is_empty(name) => arg.env(None::<&str>),
            _ => arg,
        });
        let matches = config::with_flags(command, true).get_matches();
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        // What is not text is no value of ours.
        let texts = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .filter(|(_, text)| !text.is_empty());
        (cli.options.overrides, cli.options.unknown_variables) = config::given_outside(&matches, texts);
        cli
    }

    /// The help with a line for every key.
    pub(crate) fn verbose_help() -> String {
        config::with_flags(Self::command(), false).render_long_help().to_string()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a new API key with its secret.
    GenerateKeys,
    /// Print an access token to join a room with.
    CreateJoinToken(JoinToken),
    /// Print an access token to publish or play live streams with, or to look after them.
    CreateLiveToken(LiveToken),
    /// Read the configuration, say what is wrong with it, and start nothing.
    CheckConfig,
    /// Print the ports that the server is configured to use.
    Ports,
    /// Print the nodes of the cluster: this server is alone, and says whether it answers.
    ListNodes,
    /// Print this help with the flags and variables of all keys.
    HelpVerbose,
    /// Put a known load on a server, and report what arrives and what it costs.
    #[command(subcommand)]
    Load(Load),
}

/// What is loaded.
#[derive(Debug, Subcommand)]
pub(crate) enum Load {
    Room(Box<load::Room>),
    Live(Box<load::Live>),
}

/// What the server is told on its command line. Flags win over the environment, both over the file.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Options {
    /// For this machine: key `devkey` with secret `secret`, loopback addresses only, UDP port 7882, guests
    /// welcome, more logs.
    #[arg(long, global = true)]
    pub(crate) dev: bool,
    /// The YAML file; one for livekit-server is accepted as it is.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The file's content instead.
    #[arg(long, global = true, value_name = "YAML", env = "LIVEKIT_CONFIG", hide_env_values = true)]
    pub(crate) config_body: Option<String>,
    /// Address for HTTP and WebSocket; may be repeated.
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) bind: Vec<IpAddr>,
    /// API keys as "key: secret", one a line.
    #[arg(long, global = true, value_name = "KEYS", env = "LIVEKIT_KEYS", hide_env_values = true)]
    pub(crate) keys: Option<String>,
    /// YAML file of API keys; nobody else may be able to read it.
    #[arg(long, global = true, value_name = "FILE", alias = "key_file", env = "LIVEKIT_KEY_FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Address that clients are told to send media to, instead of those of the interfaces.
    #[arg(long, global = true, value_name = "ADDRESS", env = "NODE_IP")]
    pub(crate) node_ip: Option<IpAddr>,
    /// UDP port for media, or a range "a-b" with a port for each worker.
    #[arg(long, global = true, value_name = "PORT", env = "UDP_PORT")]
    pub(crate) udp_port: Option<String>,
    /// Name of the region this server is in.
    #[arg(long, global = true, value_name = "NAME", env = "LIVEKIT_REGION")]
    pub(crate) region: Option<String>,
    /// With --dev: HTTPS with a certificate made for the occasion, because phones refuse cameras without.
    #[arg(long, global = true)]
    pub(crate) https: bool,
    /// Warn of unknown configuration keys instead of refusing them.
    #[arg(long, global = true)]
    pub(crate) disable_strict_config: bool,
    /// Go on in the background once the server listens. Standard error stays open unless it is a terminal.
    #[arg(long)]
    pub(crate) daemon: bool,
    /// Write the process id there; a second server with the same file does not start.
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// What the flags and variables say that are made from the table of keys.
    #[arg(skip)]
    pub(crate) overrides: Vec<Override>,
    /// Variables that look like one of them and are none.
    #[arg(skip)]
    pub(crate) unknown_variables: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct JoinToken {
    /// The room to join.
    #[arg(long)]
    pub(crate) room: String,
    /// Who joins; unique in the room.
    #[arg(long)]
    pub(crate) identity: String,
    /// The name that others see.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Join as a recorder: hidden, exempt from limits.
    #[arg(long)]
    pub(crate) recorder: bool,
    /// How long the token is valid, such as 30m or 6h.
    #[arg(long, default_value = "6h", value_parser = crate::config::parse_duration)]
    pub(crate) valid_for: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct LiveToken {
    /// The stream: app/stream, or domain/app/stream; `*` stands for any.
    #[arg(long, default_value = "")]
    pub(crate) stream: String,
    /// Who has it, for callbacks.
    #[arg(long, default_value = "")]
    pub(crate) identity: String,
    /// To publish it.
    #[arg(long, requires = "stream")]
    pub(crate) publish: bool,
    /// To play it.
    #[arg(long, requires = "stream")]
    pub(crate) play: bool,
    /// To list all streams and send publishers and players away.
    #[arg(long)]
    pub(crate) admin: bool,
    /// How long the token is valid, such as 30m or 6h.
    #[arg(long, default_value = "6h", value_parser = crate::config::parse_duration)]
    pub(crate) valid_for: Duration,
}
