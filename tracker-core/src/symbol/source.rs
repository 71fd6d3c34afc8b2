//! The bytes of one file, on disk or in memory, read piece by piece. Owns the checks of offsets and lengths.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::symbolizer::FileIdentity;

/// A file to read from. Not a map: a file that shrinks meanwhile gives an error, not a signal.
#[derive(Debug)]
pub(super) enum Source {
    File { file: File, identity: FileIdentity },
    Memory(Vec<u8>),
}

impl Source {
    /// Opens a regular file. Others are refused unopened: a pipe would block, a device may act.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified_ns = u64::try_from(modified.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self::File { file, identity: FileIdentity { len: metadata.len(), modified_ns } })
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File { identity, .. } => identity.len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// What tells this file from a changed one; `None` for bytes in memory.
    pub(super) fn identity(&self) -> Option<FileIdentity> {
        match self {
            Self::File { identity, .. } => Some(*identity),
            Self::Memory(_) => None,
        }
    }

    /// `len` bytes from `offset`. Allocates only what the file has.
    pub(super) fn read(&self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let outside = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = offset.checked_add(len).filter(|end| *end <= self.len()).ok_or_else(outside)?;
        match self {
            Self::File { file, .. } => {
                let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
                file.read_exact_at(&mut bytes, offset)?;
                Ok(bytes)
            }
            Self::Memory(bytes) => {
                let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
                let piece = range.and_then(|(start, end)| bytes.get(start..end));
                piece.map(<[u8]>::to_vec).ok_or_else(outside)
            }
        }
    }
}
