//! Sealing: the index of a capture, appended by whoever replays it first and used by everybody after.
//!
//! Only what is behind a capture's last byte is written, under its lock, and only while the file is as it was replayed;
//! a write that fails is taken back. So nothing that happens here can lose an event.

use std::fs::{File, TryLockError};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::index;
use super::open::{Fresh, OpenOptions};
use super::profile::{Profile, Pymalloc, State};
use crate::capture::index::Index;
use crate::capture::source::Source;
use crate::capture::writer::Writer;
use crate::replay::checkpoint::Resume;
use crate::replay::slices::Cuts;

/// Why a capture was not sealed.
#[derive(Debug)]
pub enum Unsealed {
    /// It is still being recorded, or somebody else is sealing it.
    Busy,
    /// It has changed since it was replayed.
    Changed,
    /// The file cannot be written.
    Io(io::Error),
}

impl std::fmt::Display for Unsealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Busy => f.write_str("is still being written"),
            Self::Changed => f.write_str("was changed meanwhile"),
            Self::Io(error) => write!(f, "cannot be written: {error}"),
        }
    }
}

impl std::error::Error for Unsealed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Unsealed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The right to seal a file, which one has at a time: whoever comes second waits for the first one's index instead of
/// replaying the capture as well.
#[derive(Debug)]
pub(super) struct Turn<'f>(&'f File);

impl<'f> Turn<'f> {
    /// Waits for it. `file` must have been written to its end: its collector has the same lock. `None` where files cannot be
    /// locked.
    pub(super) fn wait(file: &'f File) -> Option<Self> {
        file.lock().is_ok().then_some(Self(file))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Closing the file does it too.
        let _ = self.0.unlock();
    }
}

/// The profile that the index of `source` holds; `None` where there is no index that answers these options.
pub fn load(source: impl Source, options: &OpenOptions) -> Option<Profile> {
    if !options.symbols || options.cuts != Cuts::Even {
        return None;
    }
    // Whatever is wrong with an index, the events are still there.
    let index = Index::open(source).ok()??;
    let profile = index::decode(options.temporary_distance, |section| {
        if section == index::SLICES && !options.slices { Some(Vec::new()) } else { index.section(section).ok()? }
    })?;
    profile.pymalloc.is_none_or(|counted| counted == options.pymalloc).then_some(profile)
}

/// Whether an index is of what counts in `profile`: it has what does by default.
pub(super) fn is_of(profile: &Profile) -> bool {
    profile.pymalloc.is_none_or(|counted| counted == Pymalloc::default())
}

/// Where a replay of `source` for what comes from `time` on can begin; `None`: only at its start.
pub(super) fn resume(source: impl Source, options: &OpenOptions, time: u64) -> Option<Resume> {
    let index = Index::open(source).ok()??;
    let at = (time, index.seal.covers);
    index::resume(options.temporary_distance, at, |section| index.section(section).ok()?)
}

/// Appends the index of `fresh`, which is without its checkpoints then, and was made from `replayed`, the file at `path`.
/// Answers the bytes written. Without a turn, nobody else must be writing the file.
///
/// # Errors
/// See [`Unsealed`]; the file is then as it was.
pub(super) fn append(
    path: &Path,
    replayed: &File,
    fresh: &mut Fresh,
    turn: Option<&Turn<'_>>,
    options: &OpenOptions,
) -> Result<u64, Unsealed> {
    let covers = fresh.covers;
    if fresh.profile.state == State::Running {
        return Err(Unsealed::Busy);
    }
    let mut sections = index::encode(&fresh.profile, options.temporary_distance);
    sections.append(&mut fresh.checkpoints.0);
    let file = File::options().read(true).append(true).open(path)?;
    if turn.is_none() {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Unsealed::Busy,
            TryLockError::Error(error) => Unsealed::Io(error),
        })?;
    }
    let (now, then) = (file.metadata()?, replayed.metadata()?);
    if (now.dev(), now.ino(), now.len()) != (then.dev(), then.ino(), covers) {
        return Err(Unsealed::Changed);
    }
    write(&file, covers, &sections).map_err(|error| {
        // What was written of it is in nobody's way, but may be large.
        let _ = file.set_len(covers);
        Unsealed::Io(error)
    })
}

fn write(file: &File, covers: u64, sections: &[Vec<u8>]) -> io::Result<u64> {
    let mut writer = Writer::behind(BufWriter::new(file), covers)?;
    writer.index(sections)?;
    writer.get_mut().flush()?;
    Ok(writer.written() - covers)
}
