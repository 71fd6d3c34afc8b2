//! \[unsafe\] The shared memory as this process maps it. Mapped once, never unmapped, so references are `'static`.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tracker_core::format::VERSION;
use tracker_core::format::lanes::{CHUNKS, ChunkHeader, Control, HEADERS_OFFSET, LANES_LEN, LANES_MAGIC, chunk_range};

use crate::{os, weak};

/// Milliseconds. An image waits for the lanes no shorter than this, and a living collector beats ten times in it.
const LONG_SILENCE: u32 = 900;

static BASE: AtomicUsize = AtomicUsize::new(0);

/// The mapped lanes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes {
    base: usize,
}

/// The bytes of one chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkBytes {
    pub(crate) start: *mut u8,
    pub(crate) len: usize,
}

/// Maps the lanes behind `fd`. False when that is not possible or they are not ours.
pub(crate) fn attach(fd: i32) -> bool {
    let base = os::map_shared(fd, LANES_LEN);
    if base.is_null() {
        return false;
    }
    os::advise(base, LANES_LEN, libc::MADV_DONTDUMP);
    let lanes = Lanes { base: base as usize };
    let control = lanes.control();
    if control.magic.load(Ordering::Relaxed) != LANES_MAGIC || control.version.load(Ordering::Relaxed) != VERSION {
        return false;
    }
    BASE.store(base as usize, Ordering::Release);
    true
}

impl Lanes {
    /// The lanes, once [`attach`] has succeeded.
    #[inline(always)]
    pub(crate) fn get() -> Option<Self> {
        let base = BASE.load(Ordering::Relaxed);
        if base == 0 { None } else { Some(Self { base }) }
    }

    /// The words all processes share.
    #[inline(always)]
    pub(crate) fn control(self) -> &'static Control {
        // SAFETY: the mapping is LANES_LEN long, page aligned, lives as long as the process, and Control is atomics.
        unsafe { &*(self.base as *const Control) }
    }

    /// Counts an event that could not be recorded. False after the recording's end, when nothing is lost any more: the capture
    /// says when that was.
    #[cold]
    pub(crate) fn count_lost() -> bool {
        let Some(talk) = Self::get().map(|lanes| &lanes.control().talk.0) else { return false };
        let counts = talk.stopped.load(Ordering::Relaxed) == 0;
        if counts {
            talk.lost.fetch_add(1, Ordering::Relaxed);
        }
        counts
    }

    /// Whether an exec has found the collector's heart where it is now, most of a second ago or more. An image waits so long for
    /// the lanes: one is enough. Without a system call.
    pub(crate) fn collector_is_silent(self) -> bool {
        let talk = &self.control().talk.0;
        let beat = talk.heartbeat.load(Ordering::Acquire);
        let now = (weak::coarse_clock() / 1_000_000) as u32;
        let met = talk.met_at_exec.load(Ordering::Relaxed);
        if (met >> 32) as u32 == beat && met != 0 {
            return now.wrapping_sub(met as u32) >= LONG_SILENCE;
        }
        talk.met_at_exec.store(u64::from(beat) << 32 | u64::from(now), Ordering::Relaxed);
        false
    }

    /// Whether the session was started with `flag`, one of those in [`tracker_core::format::lanes::flag`].
    #[inline(always)]
    pub(crate) fn has(self, flag: u32) -> bool {
        self.control().flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Header of chunk `index`.
    pub(crate) fn header(self, index: usize) -> Option<&'static ChunkHeader> {
        if index >= CHUNKS {
            return None;
        }
        // SAFETY: inside the mapping, by the constants' own check; ChunkHeader is atomics.
        Some(unsafe { &*((self.base + HEADERS_OFFSET + index * size_of::<ChunkHeader>()) as *const ChunkHeader) })
    }

    /// Bytes of chunk `index`.
    pub(crate) fn chunk(self, index: usize) -> Option<ChunkBytes> {
        let (offset, len) = chunk_range(index)?;
        Some(ChunkBytes { start: (self.base + offset) as *mut u8, len })
    }

    /// The bit of `bitmap` that belongs to chunk `index`.
    pub(crate) fn bit(bitmap: &[AtomicU64], index: usize) -> Option<(&AtomicU64, u64)> {
        bitmap.get(index / 64).map(|word| (word, 1u64 << (index % 64)))
    }
}
