//! A file with the number of the running process: who is asked to stop, and that there is only one.
//!
//! The lock on it counts, not its being there: a file that a crash left behind stops nobody.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Gone with the process that wrote it.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// Locked for as long as it is open.
    file: File,
}

impl PidFile {
    /// Writes this process's number, unless another one that runs has written its own.
    pub(crate) fn take(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        loop {
            let open = || {
                OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path)
            };
            let mut file = open().with_context(|| format!("--pid-file {shown}"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut owner = String::new();
                    let _ = file.read_to_string(&mut owner);
                    bail!("--pid-file {shown}: a server runs already (process {})", owner.trim());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("--pid-file {shown}: cannot be locked"));
                }
            }
            // Its last owner may have removed it between opening and locking: then this is no file of that name.
            if !is_at(&file, path) {
                continue;
            }
            file.set_len(0)
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .with_context(|| format!("--pid-file {shown}"))?;
            // A server that is started from another directory than it ends in removes the same file.
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            return Ok(Self { path, file });
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(here), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (here.dev(), here.ino()) == (there.dev(), there.ino())
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // While it is locked, so that nobody else's is removed.
        if is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_what_a_crash_left_behind_stops_nobody() {
        let path = std::env::temp_dir().join(format!("millrace-{}.pid", std::process::id()));
        std::fs::write(&path, "999999999 and more than is written now\n").unwrap();
        let first = PidFile::take(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let refused = PidFile::take(&path).unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()) && refused.contains("runs already"),
            "{refused}"
        );
        // Another's file in its place is left alone.
        std::fs::remove_file(&path).unwrap();
        let second = PidFile::take(&path).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
        assert!(PidFile::take(Path::new("/nowhere/at/all.pid")).is_err());
    }
}
