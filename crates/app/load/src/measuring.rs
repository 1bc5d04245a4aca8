//! What every kind of load is told of its measurement: for how long, of which server, and where the report goes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

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

/// Joins a second that are taken: below one an hour nobody waits, and time has an end.
pub(crate) fn check_rate(join_rate: f64) -> anyhow::Result<()> {
    ensure!(join_rate >= 1.0 / 3600.0, "--join-rate must be more than 0, and at least one an hour");
    Ok(())
}

/// For how long nothing has come: the sockets of a server that has stopped stay open.
#[derive(Debug)]
pub(crate) struct Silence {
    longest: Duration,
    bytes: u64,
    /// When there were last more than before; none before anything has come.
    heard: Option<Instant>,
}

impl Silence {
    /// `bytes` have come until now. Longer than `longest` is too long.
    pub(crate) fn of(now: Instant, bytes: u64, longest: Duration) -> Self {
        Self { longest, bytes, heard: (bytes > 0).then_some(now) }
    }

    /// So many have come by then.
    pub(crate) fn hear(&mut self, at: Instant, bytes: u64) {
        if bytes > self.bytes {
            (self.bytes, self.heard) = (bytes, Some(at));
        }
    }

    /// What is wrong, if something came once and it has been silent for too long.
    pub(crate) fn verdict(&self, now: Instant) -> Option<String> {
        let silent = now.saturating_duration_since(self.heard?);
        (silent > self.longest)
            .then(|| format!("nothing has come for {} s: the server has stopped answering", silent.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_falls_silent_is_told_from_one_that_never_had_to_speak() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut silence = Silence::of(began, 0, Duration::from_secs(3));
        silence.hear(at(5), 0);
        assert_eq!(silence.verdict(at(60)), None, "nobody subscribes");
        silence.hear(at(60), 1);
        silence.hear(at(61), 1);
        assert_eq!(silence.verdict(at(63)), None);
        assert!(silence.verdict(at(64)).unwrap().contains("for 4 s"));
        silence.hear(at(65), 2);
        assert_eq!(silence.verdict(at(66)), None, "it speaks again");
        assert!(Silence::of(began, 1, Duration::from_secs(3)).verdict(at(4)).is_some());
    }

    #[test]
    fn a_rate_is_one_that_time_can_tell() {
        for rate in [0.0, -1.0, f64::NAN, 1e-300] {
            assert!(check_rate(rate).unwrap_err().to_string().contains("--join-rate"), "{rate}");
        }
        assert!(check_rate(0.5).is_ok() && check_rate(f64::INFINITY).is_ok());
    }
}
