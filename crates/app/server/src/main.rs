//! The binary `millrace`: configuration, wiring, shutdown, subcommands.

mod cli;
mod config;
mod external_ip;
mod nodes;
mod pid_file;
mod prometheus;
mod run;
mod streams;
mod supervisor;
mod tls;
mod tokens;
mod turn_server;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Cli, Command, Load};
use crate::config::Settings;

fn main() -> ExitCode {
    let cli = Cli::read();
    match execute(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard output. That nobody reads it any more (`| head`) is no error.
fn say(line: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn execute(cli: &Cli) -> anyhow::Result<()> {
    match &cli.command {
        None => run::run(&cli.options),
        Some(Command::GenerateKeys) => tokens::generate_keys(),
        Some(Command::CreateJoinToken(wanted)) => {
            tokens::create_join_token(wanted, &Settings::load(&cli.options)?)
        }
        Some(Command::CreateLiveToken(wanted)) => {
            tokens::create_live_token(wanted, &Settings::load(&cli.options)?)
        }
        Some(Command::Load(Load::Room(room))) => load::run(room),
        Some(Command::Load(Load::Live(live))) => load::live::run(live),
        Some(Command::HelpVerbose) => say(format_args!("{}", Cli::verbose_help())),
        Some(Command::Ports) => {
            let settings = Settings::load(&cli.options)?;
            settings.ports().into_iter().try_for_each(|line| say(format_args!("{line}")))
        }
        Some(Command::ListNodes) => nodes::list(&Settings::load(&cli.options)?),
        Some(Command::CheckConfig) => {
            let settings = Settings::load(&cli.options)?;
            for warning in &settings.warnings {
                say(format_args!("warning: {warning}"))?;
            }
            say(format_args!("the configuration is valid"))
        }
    }
}
