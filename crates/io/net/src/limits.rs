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

/// Raises the soft limit to the hard one and says where it stands now.
pub fn raise_file_limit() -> io::Result<FileLimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and of the type that the call fills.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
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
