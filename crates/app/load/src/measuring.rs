//! What every kind of load is told of its measurement: for how long, of which server, and where the report goes.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

use crate::cost::{self, Cost};

/// Options of every load.
#[derive(Debug, Clone, Args)]
pub struct Measuring {
    /// Seconds to measure, from when everybody is in.
    #[arg(long, default_value_t = 10)]
    pub duration: u64,
    /// A server on this machine, whose CPU time and memory are to be measured.
    #[arg(long)]
    pub server_pid: Option<u32>,
    /// Write the report to this file as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Allow a server that is not on this machine.
    #[arg(long)]
    pub i_own_this_server: bool,
}

impl Measuring {
    /// `url` is for the error, without secrets; whether it `is_ours`, on this machine, has been seen.
    pub(crate) fn check(&self, url: &str, is_ours: bool) -> anyhow::Result<()> {
        ensure!(
            is_ours || self.i_own_this_server,
            "--url {url}: not on this machine; add --i-own-this-server if you may load it"
        );
        ensure!(self.duration > 0, "--duration must be at least 1");
        if let Some(pid) = self.server_pid {
            ensure!(cost::of(pid).is_some(), "--server-pid {pid}: no such process on this machine");
        }
        Ok(())
    }

    /// What the server has cost so far, if it is to be measured and still there.
    pub(crate) fn cost(&self) -> Option<Cost> {
        self.server_pid.and_then(cost::of)
    }
}
