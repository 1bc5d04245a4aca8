//! Open files: how many a run needs, and what to do when there are too few.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, anyhow, ensure};

/// Files that the process itself has open.
const OWN: u64 = 64;
/// Errors of a process, and of a machine, that has no descriptor left: EMFILE and ENFILE of errno(3).
const EXHAUSTED: [i32; 2] = [24, 23];

/// What a run with so many sockets needs.
pub(crate) fn needed(sockets: usize) -> u64 {
    (sockets as u64).saturating_add(OWN)
}

/// Raises the limit as far as it may go, which has to be far enough.
pub(crate) fn raise(needed: u64) -> anyhow::Result<()> {
    let limit = net::raise_file_limit().context("the limit of open files")?;
    ensure!(limit.soft >= needed, "{}", too_few(needed, limit.soft));
    Ok(())
}

fn too_few(needed: u64, allowed: u64) -> String {
    format!(
        "{needed} open files are needed and {allowed} are allowed: as root, `ulimit -n {needed}` before \
         the command or `prlimit --nofile={needed}` in front of it raises the limit; for good, \
         /etc/security/limits.conf or LimitNOFILE= of the service does"
    )
}

/// What an error that may be the lack of files says to whoever runs the load.
pub(crate) fn explain(error: io::Error, needed: u64) -> String {
    match error.raw_os_error() {
        Some(code) if EXHAUSTED.contains(&code) => {
            format!(
                "out of file descriptors: {needed} are needed; `prlimit --nofile={needed}` in front of the command raises the limit of a process, /proc/sys/fs/file-max that of the machine"
            )
        }
        _ => format!("a UDP socket: {error}"),
    }
}

/// Why there is no connection to the address that an option names.
pub(crate) fn unanswered(error: io::Error, option: &str, to: SocketAddr, needed: u64) -> anyhow::Error {
    if is_lack(&error) {
        return anyhow!(explain(error, needed));
    }
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        return anyhow!("{option}: no local port is left for more connections to {to}");
    }
    anyhow!(error).context(format!("{option}: cannot connect to {to}: is it running?"))
}

/// Whether it is one.
pub(crate) fn is_lack(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| EXHAUSTED.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lack_of_files_says_how_many_and_how() {
        let text = explain(io::Error::from_raw_os_error(24), 1234);
        assert!(text.contains("1234") && text.contains("prlimit"), "{text}");
        assert!(!explain(io::ErrorKind::AddrInUse.into(), 1234).contains("prlimit"));
        let to = SocketAddr::from(([127, 0, 0, 1], 1935));
        let text = |error: io::Error| format!("{:#}", unanswered(error, "--url", to, 1234));
        assert!(text(io::Error::from_raw_os_error(23)).contains("1234 are needed"));
        assert!(text(io::ErrorKind::AddrNotAvailable.into()).contains("port"));
        assert!(text(io::ErrorKind::ConnectionRefused.into()).contains("is it running?"));
        let error = raise(u64::MAX).unwrap_err().to_string();
        assert!(error.contains("prlimit") && !error.contains('\n'), "{error}");
    }
}
