//! Telling systemd how the server is: sd_notify(3), with the watchdog.
//!
//! Owns: the socket that `NOTIFY_SOCKET` names and the rhythm that `WATCHDOG_USEC` asks for. Without them, as
//! outside of systemd, everything here does nothing.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tracing::{debug, warn};

/// Who watches over this process, if anybody does.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    pub(crate) fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = socket.and_then(|name| match open(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                warn!(%error, "NOTIFY_SOCKET cannot be used");
                None
            }
        });
        let for_us = std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let watchdog = std::env::var("WATCHDOG_USEC").ok().filter(|_| for_us);
        Self { socket, watchdog: watchdog.as_deref().and_then(rhythm) }
    }

    /// The server listens.
    pub(crate) fn ready(&self) {
        self.say("READY=1");
    }

    /// The server is about to end.
    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Says that the control plane still turns, as often as it is asked to. Never returns.
    pub(crate) async fn keep_alive(&self) {
        let Some(period) = self.watchdog else { return std::future::pending().await };
        let mut beats = tokio::time::interval(period);
        loop {
            beats.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            debug!(%error, "systemd was not told");
        }
    }
}

/// A path, or behind `@` a name in the abstract namespace.
fn open(name: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// Twice within the time after which silence is taken for death, as sd_watchdog_enabled(3) advises.
fn rhythm(micros: &str) -> Option<Duration> {
    micros.parse().ok().filter(|micros| *micros > 1).map(|micros: u64| Duration::from_micros(micros / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_hears_what_is_said_and_its_absence_is_no_error() {
        let name = format!("@millrace-test-{}", std::process::id());
        let listener =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap());
        let listener = listener.unwrap();
        let supervisor = Supervisor { socket: open(OsStr::new(&name)).ok(), watchdog: None };
        supervisor.ready();
        supervisor.stopping();
        let mut heard = [0; 64];
        let mut next = || {
            let n = listener.recv(&mut heard).unwrap();
            String::from_utf8_lossy(&heard[..n]).into_owned()
        };
        assert_eq!((next(), next()), ("READY=1".into(), "STOPPING=1".into()));
        drop(listener);
        supervisor.ready();
        Supervisor { socket: None, watchdog: None }.ready();
    }

    #[test]
    fn the_rhythm_is_twice_what_is_asked() {
        assert_eq!(rhythm("30000000"), Some(Duration::from_secs(15)));
        assert!(rhythm("0").is_none() && rhythm("x").is_none() && rhythm("").is_none());
    }
}
