//! The binary `millrace`: configuration, wiring, shutdown, subcommands.

mod cli;
mod config;
mod prometheus;
mod run;
mod streams;
mod tls;
mod tokens;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::config::Settings;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("millrace: {error:#}");
            ExitCode::FAILURE
        }
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
        Some(Command::CheckConfig) => {
            let settings = Settings::load(&cli.options)?;
            for warning in &settings.warnings {
                println!("warning: {warning}");
            }
            println!("the configuration is valid");
            Ok(())
        }
    }
}
