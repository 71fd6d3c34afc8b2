//! The capture's file: whole blocks at the end, and always room left for the last words.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;

use crate::sys;

/// Room kept on the disk for the blocks that say why a capture ends early.
const LAST_WORDS: u64 = 4096;

/// Most that is reserved in one go beyond what is needed: one system call per so many bytes. A small capture reserves
/// as much again as it has.
const STEP: u64 = 1 << 20;

/// Reserved room of this size is not worth giving back.
const SPARE: u64 = 4 * LAST_WORDS;

/// Where blocks go, with some room that only the last ones may use.
pub(super) trait Sink: Write {
    /// From here on writes use the room that was kept.
    fn begin_last_words(&mut self);

    /// Gives back room that was not used, and what a failed write left behind; puts the header back where it is gone.
    fn finish(&self);
}

/// The file would become larger than it may.
#[derive(Debug)]
pub(super) struct LimitReached;

impl std::fmt::Display for LimitReached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the limit of --max-size is reached")
    }
}

impl std::error::Error for LimitReached {}

/// A file that takes a write wholly or not at all.
#[derive(Debug)]
pub(crate) struct CaptureFile {
    file: File,
    /// What was written first: the header. Without it nothing of the capture opens.
    header: Vec<u8>,
    /// End of the last whole write.
    position: u64,
    /// Up to here the disk has room for us.
    reserved: u64,
    /// Most bytes it may have.
    limit: u64,
    /// The file system cannot reserve.
    unreserved: bool,
    /// The last words may use what was kept for them.
    last_words: bool,
}

impl CaptureFile {
    /// Takes a new, empty file, which may become `limit` bytes long. An error means that there is no room even for a
    /// failure notice.
    pub(crate) fn new(file: File, limit: u64) -> io::Result<Self> {
        let mut this = Self::behind(file, 0, limit);
        this.make_room(LAST_WORDS)?;
        Ok(this)
    }

    /// Goes on with a file of `position` bytes.
    pub(super) fn behind(file: File, position: u64, limit: u64) -> Self {
        Self { file, header: Vec::new(), position, reserved: position, limit, unreserved: false, last_words: false }
    }

    fn make_room(&mut self, len: u64) -> io::Result<()> {
        let needed = self.position + len + LAST_WORDS;
        if self.last_words || needed <= self.reserved {
            return Ok(());
        }
        if needed > self.limit {
            return Err(io::Error::other(LimitReached));
        }
        if self.unreserved {
            return Ok(());
        }
        // Near the end of the disk there may be room for the block but not for the whole step.
        for end in [(needed + self.position.min(STEP)).min(self.limit), needed] {
            match sys::file::reserve(&self.file, self.reserved, end) {
                Ok(()) => {
                    self.reserved = end;
                    return Ok(());
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
                    self.unreserved = true;
                    return Ok(());
                }
                Err(error) if end == needed => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl Sink for CaptureFile {
    fn begin_last_words(&mut self) {
        self.last_words = true;
    }

    fn finish(&self) {
        let mut header = vec![0; self.header.len()];
        if self.file.read_exact_at(&mut header, 0).is_ok() && header != self.header {
            // Somebody has cut the file while we wrote. What came behind is there, and this is what it takes to read it.
            let _ = self.file.write_all_at(&self.header, 0);
        }
        if self.last_words || self.reserved > self.position + SPARE {
            // The capture is as good with the room still reserved.
            let _ = self.file.set_len(self.position);
        }
    }
}

impl Write for CaptureFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.make_room(bytes.len() as u64)?;
        self.file.write_all_at(bytes, self.position)?;
        if self.position == 0 {
            self.header = bytes.to_vec();
        }
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
