//! What the server's process costs: proc(5).

use std::time::Duration;

/// `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux that this runs on.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// User and system time since it began, to the microsecond where the kernel counts so.
    pub(crate) cpu: Duration,
    /// Resident memory, bytes.
    pub(crate) rss: u64,
}

/// Reads it; `None` if there is no such process.
pub(crate) fn of(pid: u32) -> Option<Cost> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    // The name is in parentheses and may hold anything.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let ticked = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = rss.trim().trim_end_matches("kB").trim().parse().ok()?;
    // Whole ticks, rounded down, are coarse. Threads count in nanoseconds, but only while they last.
    let cpu = ticked.max(of_threads(pid).unwrap_or_default());
    Some(Cost { cpu, rss: kilobytes * 1024 })
}

/// The time of all threads that there are: the first field of their `schedstat`.
fn of_threads(pid: u32) -> Option<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // One that has ended meanwhile has none.
        let Ok(stat) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
        nanos += stat.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_costs_something() {
        let cost = super::of(std::process::id()).unwrap();
        assert!(cost.rss > 100_000);
        assert!(super::of(u32::MAX).is_none());
    }
}
