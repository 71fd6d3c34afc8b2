//! What a chunk's header says, for those who take records out of it: the drain, and the rescue when that is dead.
//!
//! The header is the recorded program's: numbers in it are used as they are, never as an index.

use std::sync::atomic::Ordering;

use tracker_core::capture::writer::Events;
use tracker_core::format::Deltas;
use tracker_core::format::lanes::{ChunkHeader, OWNER_FULL, owner_parts};

use super::walk::Walked;

/// Who writes a chunk, as far as its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) owner: u64,
    pub(super) stream: u32,
    pub(super) sequence: u32,
}

impl Key {
    pub(super) fn of(header: &ChunkHeader) -> Self {
        Self {
            owner: header.owner.load(Ordering::Acquire) & !OWNER_FULL,
            stream: header.stream.load(Ordering::Relaxed),
            sequence: header.sequence.load(Ordering::Relaxed),
        }
    }

    /// Image and thread.
    pub(super) fn owner(&self) -> (u32, u32) {
        owner_parts(self.owner)
    }

    /// Describes the records from `offset` on that a walk went over, from `before` to `after`.
    pub(super) fn events(&self, offset: usize, walked: &Walked, before: &Deltas, after: &Deltas) -> Events {
        let (image, tid) = self.owner();
        Events {
            stream: self.stream,
            image,
            tid,
            sequence: self.sequence,
            offset: offset as u32,
            count: walked.records,
            first_epoch: before.epoch,
            last_epoch: after.epoch,
            first_time: before.time,
            last_time: after.time,
        }
    }
}

/// Up to where a chunk may hold records: all of it while it is being filled.
pub(super) fn records_end(header: &ChunkHeader) -> usize {
    let full = header.owner.load(Ordering::Acquire) & OWNER_FULL != 0;
    if full { header.used.load(Ordering::Relaxed) as usize } else { usize::MAX }
}

/// Where its delta coding starts.
pub(super) fn start(header: &ChunkHeader) -> Deltas {
    Deltas::at_chunk_start(header.first_epoch.load(Ordering::Relaxed), header.first_time.load(Ordering::Relaxed))
}
