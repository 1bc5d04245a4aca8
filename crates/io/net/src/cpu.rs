//! Which cores the process may use, and staying on one: sched_setaffinity(2). What a thread has used of them.

use std::io;
use std::time::Duration;

use crate::check;

/// Cores this thread may run on, lowest first: the machine's, less what a container or taskset took away.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is plain integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is live and of the size given; 0 is the calling thread.
    check(unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    let bits = libc::CPU_SETSIZE as usize;
    // SAFETY: `cpu` stays below the number of bits in the set.
    Ok((0..bits).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// Keeps the calling thread on `cpu`.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a cpu_set_t is plain integers, for which zero is a value; `cpu` is below its number of bits.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: `set` is live and of the size given; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })?;
    Ok(())
}

/// CPU time that the calling thread has used. Unlike proc(5)'s, it is exact between the scheduler's ticks.
pub fn thread_cpu_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which `time` is.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_sees_one_core_and_leaves_others_alone() {
        let before = allowed_cpus().unwrap();
        let last = *before.last().unwrap();
        let seen = std::thread::spawn(move || pin_to(last).and_then(|()| allowed_cpus())).join().unwrap();
        assert_eq!(seen.unwrap(), [last]);
        assert_eq!(allowed_cpus().unwrap(), before);
    }

    #[test]
    fn work_takes_cpu_time_and_sleep_does_not() {
        let before = thread_cpu_time().unwrap();
        let mut n = 0u64;
        while thread_cpu_time().unwrap() == before {
            n = std::hint::black_box(n + 1);
        }
        let worked = thread_cpu_time().unwrap();
        std::thread::park_timeout(Duration::from_millis(30));
        assert!(thread_cpu_time().unwrap() - worked < Duration::from_millis(20));
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        assert!(pin_to(usize::MAX).is_err());
        assert!(std::thread::spawn(|| pin_to(1023)).join().unwrap().is_err());
    }
}
