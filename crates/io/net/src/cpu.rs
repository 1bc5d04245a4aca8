//! Which cores the process may use, and staying on one: sched_setaffinity(2).

use std::io;

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
    fn a_core_that_is_not_there_is_an_error() {
        assert!(pin_to(usize::MAX).is_err());
        assert!(std::thread::spawn(|| pin_to(1023)).join().unwrap().is_err());
    }
}
