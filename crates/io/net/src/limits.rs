//! How many files this process may have open: getrlimit(2), RLIMIT_NOFILE.

use std::io;

use crate::check;

/// Descriptors that the process may have open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// Now.
    pub soft: u64,
    /// As far as it may go without root.
    pub hard: u64,
}

/// Where the kernel says how far root may raise the hard limit: proc_sys_fs(5), `nr_open`.
const NR_OPEN: &str = "/proc/sys/fs/nr_open";

/// Raises the soft limit to the hard one, and both as far as the kernel goes where this process may (root, with
/// CAP_SYS_RESOURCE); says where it stands now.
pub fn raise_file_limit() -> io::Result<FileLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and of the type that the call fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    let most = std::fs::read_to_string(NR_OPEN).ok().and_then(|text| text.trim().parse().ok());
    if let Some(most) = most.filter(|most| *most > limit.rlim_max) {
        let raised = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: `raised` is live and of the type that the call reads.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is live and of the type that the call reads.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(FileLimit { soft: limit.rlim_cur, hard: limit.rlim_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_goes_up_as_far_as_it_may_and_stays_there() {
        let limit = raise_file_limit().unwrap();
        assert!(limit.soft == limit.hard && limit.soft > 0);
        assert_eq!(raise_file_limit().unwrap(), limit);
    }
}
