//! Results that go into files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::clean::clean;
use super::to_stdout;
use crate::error::Error;

/// Where a result goes. Opened before the work, so that nobody waits for a result that cannot be kept.
#[derive(Debug)]
pub(crate) enum Target {
    Stdout,
    File { path: PathBuf, file: File, created: bool },
}

impl Target {
    /// Opens `path`, or stdout for `-`.
    ///
    /// # Errors
    /// The file exists and `force` is not set, or it cannot be created.
    pub(crate) fn new(path: &Path, force: bool) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let shown = path.display();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::usage(format!("{shown} exists (-f overwrites it)")),
            _ => Error::usage(format!("cannot write {shown}: {error}")),
        };
        let fresh = OpenOptions::new().write(true).create_new(true).open(path);
        let (file, created) = match fresh {
            // What is no regular file (a pipe, /dev/null) has nothing to lose.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let is_file = fs::metadata(path).is_ok_and(|file| file.is_file());
                if is_file && !force {
                    return Err(failed(error));
                }
                (OpenOptions::new().write(true).truncate(true).open(path).map_err(failed)?, false)
            }
            fresh => (fresh.map_err(failed)?, true),
        };
        Ok(Self::File { path: path.to_owned(), file, created })
    }

    /// Lets `write` fill it. A file that was created for it does not stay behind half written.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(mut self, write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Error> {
        let Self::File { path, file, .. } = &mut self else { return to_stdout(write) };
        let mut out = io::BufWriter::with_capacity(64 << 10, file);
        let written = write(&mut out).and_then(|()| out.flush());
        let _ = out.into_parts();
        let failed = |error| Error::usage(format!("cannot write {}: {error}", path.display()));
        written.map_err(failed)?;
        if let Self::File { created, .. } = &mut self {
            *created = false;
        }
        Ok(())
    }
}

/// What is said of a page that was written: whoever shares it should know what is in it.
pub(crate) fn wrote(page: &Path, redacted: bool) -> String {
    let hint = if redacted { "" } else { "; to share it, leave out arguments and folders by --redact" };
    format!("wrote {}{hint}", clean(&page.to_string_lossy()))
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Self::File { path, created: true, .. } = self {
            // It may be gone already; then all is well.
            let _ = fs::remove_file(path);
        }
    }
}
