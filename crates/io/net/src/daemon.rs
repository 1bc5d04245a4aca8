//! Going into the background, and children that nobody else waits for: fork(2), setsid(2), waitpid(2).

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;

use crate::check;

/// Which process goes on behind [`detach`].
#[derive(Debug)]
pub enum Side {
    /// The one that was started, and that its caller waits for. The other has said that it is ready, or has ended
    /// without.
    Caller { started: bool },
    /// The one in the background.
    Daemon(Starter),
}

/// What the caller waits for. Dropped, it says that there will be no start.
#[derive(Debug)]
pub struct Starter(PipeWriter);

/// Goes on in a process without terminal, in a session of its own that it does not lead, so that it never gets one
/// (daemon(7)). Refused when there are other threads: they would not come along, and what they hold locked stays so.
pub fn detach() -> io::Result<Side> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("there are other threads already"));
    }
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: this is the only thread, so the child finds nothing half done.
    let child = check(unsafe { libc::fork() })?;
    if child != 0 {
        drop(writer);
        // SAFETY: no pointer to a status is given.
        check(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) })?;
        let started = reader.read(&mut [0])? == 1;
        return Ok(Side::Caller { started });
    }
    drop(reader);
    // SAFETY: both take no memory of ours; still the only thread.
    unsafe {
        check(libc::setsid())?;
        if check(libc::fork())? != 0 {
            // Ends at once and runs nothing: what is left to do is the other's.
            libc::_exit(0);
        }
    }
    Ok(Side::Daemon(Starter(writer)))
}

impl Starter {
    /// Lets go of the caller's streams and tells it to go on. Standard error stays where it leads unless that is a
    /// terminal.
    pub fn ready(mut self) -> io::Result<()> {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let streams = if io::stderr().is_terminal() { 0..=2 } else { 0..=1 };
        for stream in streams {
            // SAFETY: both are open; the standard streams may lead anywhere.
            check(unsafe { libc::dup2(null.as_raw_fd(), stream) })?;
        }
        self.0.write_all(&[1])
    }
}

/// Waits for children that have ended, without blocking; says how many there were. They are none of ours: whatever
/// becomes this program (`exec`) or is the first of a container inherits some.
pub fn reap_children() -> usize {
    let mut reaped = 0;
    // SAFETY: no pointer to a status is given.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {
        reaped += 1;
    }
    reaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tests have threads: here it can be seen that this is refused. The rest is a test of the binary.
    #[test]
    fn with_other_threads_it_is_refused() {
        let (_stay, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert!(detach().unwrap_err().to_string().contains("threads"));
        drop(_stay);
        let _ = other.join();
    }
}
