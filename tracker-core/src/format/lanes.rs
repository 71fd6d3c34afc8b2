//! The shared memory between the recorded processes and the collector: one sealed memfd.
//!
//! ```text
//! offset 0            Control
//! HEADERS_OFFSET      ChunkHeader × CHUNKS         (small chunks first)
//! SMALL_OFFSET        SMALL_CHUNKS × 4 KiB         a thread's first events
//! LARGE_OFFSET        LARGE_CHUNKS × 64 KiB        all later ones
//! ```
//!
//! A chunk's life, seen in its header's `owner`:
//!
//! ```text
//! 0 (free) ──thread: CAS──▶ claimed by (image, tid) ──thread: or FULL──▶ full ──collector: store 0──▶ 0
//!                                     └────────────collector, owner dead────────────▲
//! ```
//!
//! Inside a claimed chunk a record is committed by its tag byte, stored last with release order; the byte behind the
//! record is zero before that. So whatever is before the first zero tag is whole, at any instant and after any death.
//! The collector zeroes a chunk's first byte before it frees the chunk. Bitmaps are hints for finding chunks; `owner`
//! decides. Everything here is writable by the recorded processes: the collector copies, then checks.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// Bytes of a thread's first chunks.
pub const SMALL_CHUNK: usize = 4 << 10;
/// Bytes of all later chunks.
pub const LARGE_CHUNK: usize = 64 << 10;
/// Number of small chunks.
pub const SMALL_CHUNKS: usize = 16 << 10;
/// Number of large chunks.
pub const LARGE_CHUNKS: usize = 1024;
/// Number of chunks; small ones have the low indices.
pub const CHUNKS: usize = SMALL_CHUNKS + LARGE_CHUNKS;
/// 64-bit words of a bitmap over all chunks.
pub const BITMAP_WORDS: usize = CHUNKS / 64;

/// Offset of the chunk headers.
pub const HEADERS_OFFSET: usize = 8 << 10;
/// Offset of the small chunks; page aligned.
pub const SMALL_OFFSET: usize = HEADERS_OFFSET + CHUNKS * size_of::<ChunkHeader>();
/// Offset of the large chunks.
pub const LARGE_OFFSET: usize = SMALL_OFFSET + SMALL_CHUNKS * SMALL_CHUNK;
/// Size of the memfd in bytes.
pub const LANES_LEN: usize = LARGE_OFFSET + LARGE_CHUNKS * LARGE_CHUNK;

const _: () = assert!(size_of::<Control>() <= HEADERS_OFFSET && SMALL_OFFSET.is_multiple_of(4096));

/// First word of [`Control`].
pub const LANES_MAGIC: u64 = u64::from_le_bytes(*b"mtlanes1");

/// Bit of `owner`: the chunk was published, its thread is done with it.
pub const OWNER_FULL: u64 = 1 << 63;

/// The owner word of a claimed chunk. Never zero: thread ids start at 1.
pub const fn owner(image: u32, tid: u32) -> u64 {
    ((image as u64) << 32 & !OWNER_FULL) | tid as u64
}

/// Image and thread id of an owner word.
pub const fn owner_parts(owner: u64) -> (u32, u32) {
    (((owner & !OWNER_FULL) >> 32) as u32, owner as u32)
}

/// Offset and length of the bytes of chunk `index`; `None` when there is no such chunk.
pub const fn chunk_range(index: usize) -> Option<(usize, usize)> {
    if index < SMALL_CHUNKS {
        Some((SMALL_OFFSET + index * SMALL_CHUNK, SMALL_CHUNK))
    } else if index < CHUNKS {
        Some((LARGE_OFFSET + (index - SMALL_CHUNKS) * LARGE_CHUNK, LARGE_CHUNK))
    } else {
        None
    }
}

/// Flags in [`Control::flags`], set by the collector before the program starts.
pub mod flag {
    /// Exec images and fork children are not recorded.
    pub const IGNORE_CHILDREN: u32 = 1;
    /// Every event takes an epoch of its own (`--order=exact`).
    pub const ORDER_EXACT: u32 = 2;
    /// `mmap` and friends are recorded too.
    pub const RECORD_MAPS: u32 = 4;
    /// Every stack is walked twice, with and without the cache, and differences are counted (`--unwind=check`).
    pub const UNWIND_CHECK: u32 = 8;
    /// Python frames are not recorded (`--no-python`).
    pub const NO_PYTHON: u32 = 16;
    /// Every object of Python's memory and object domains is recorded (`--python-allocators`).
    pub const PYTHON_OBJECTS: u32 = 32;
}

/// One cache line of its own.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Line<T>(pub T);

/// What the hooks read on every event but rarely change.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Control {
    /// [`LANES_MAGIC`].
    pub magic: AtomicU64,
    /// [`super::VERSION`].
    pub version: AtomicU32,
    /// See [`flag`].
    pub flags: AtomicU32,
    /// `CLOCK_MONOTONIC` at the session's start, in nanoseconds; times in records count from here.
    pub start_monotonic: AtomicU64,
    /// Inode number of the collector's network namespace, whose socket gives new images the lanes; 0 when unknown.
    pub network: AtomicU64,

    /// The epoch; see `docs/format.md` on order.
    pub epoch: Line<AtomicU64>,

    /// The counters that threads and processes draw numbers from.
    pub numbers: Line<Numbers>,

    /// What the hooks and the collector tell each other.
    pub talk: Line<Talk>,

    /// Bit set: the chunk is probably free. Lowest index first, so that few pages are touched.
    pub free: [AtomicU64; BITMAP_WORDS],
    /// Bit set: the chunk was published and waits for the collector.
    pub full: [AtomicU64; BITMAP_WORDS],
}

/// Sources of numbers, each drawn with `fetch_add(1)`.
#[derive(Debug)]
#[repr(C)]
pub struct Numbers {
    /// Next image number; the first image is 1.
    pub next_image: AtomicU32,
    /// Next stream number; the first is 1. A stream is what one recorder of one thread writes.
    pub next_stream: AtomicU32,
    /// Next number of a Python code object; the first is 1.
    pub next_code: AtomicU32,
}

/// Wake-ups, heartbeats and losses.
#[derive(Debug)]
#[repr(C)]
pub struct Talk {
    /// Counted up by the collector at least ten times a second while it lives. Also the futex word that hooks wait on
    /// for a free chunk.
    pub heartbeat: AtomicU32,
    /// Nonzero: hooks wait on `heartbeat`; the collector wakes them after freeing.
    pub waiters: AtomicU32,
    /// Futex word of the collector; a hook that finds no chunk adds one and wakes it.
    pub wake: AtomicU32,
    /// Set by a hook that wrote something the collector should see soon (an image, a module). No system call.
    pub attention: AtomicU32,
    /// Execs under way whose new image has not attached yet; a hint for the collector's end.
    pub pending_execs: AtomicU32,
    /// Set to 1 by the collector when recording ends early (size limit, fatal error): hooks stop recording.
    pub stopped: AtomicU32,
    /// Events dropped so far, by anyone.
    pub lost: AtomicU64,
    /// Events that the unwinder's self-check found different.
    pub unwind_differences: AtomicU64,
    /// Chunks that the collector has freed so far; wraps.
    pub freed: AtomicU32,
    /// Events in the chunks that the collector has freed so far.
    pub released: AtomicU64,
    /// A heartbeat in the high half; in the low half milliseconds of the coarse monotonic clock (they wrap), when an exec first
    /// met it. The image waits for an answer, so the next exec need not where the heart has not beaten since.
    pub met_at_exec: AtomicU64,
}

/// Who writes a chunk, and where its delta coding starts. All fields but `owner` are written by the owner before its
/// first record, the last four when it publishes the chunk (zero before).
#[derive(Debug)]
#[repr(C, align(64))]
pub struct ChunkHeader {
    /// 0, or [`owner`], or that with [`OWNER_FULL`].
    pub owner: AtomicU64,
    /// The stream that writes here.
    pub stream: AtomicU32,
    /// Number of this chunk in its stream, from 0, without gaps unless chunks were lost.
    pub sequence: AtomicU32,
    /// Epoch in force at the chunk's first record.
    pub first_epoch: AtomicU64,
    /// Time at the chunk's first record, nanoseconds since the session's start.
    pub first_time: AtomicU64,
    /// Bytes of records; valid when full, a hint otherwise.
    pub used: AtomicU32,
    /// Kind of recorder: 0 the thread's own, 1 the one for signal handlers inside a hook.
    pub recorder: AtomicU32,
    /// Epoch in force at the chunk's end.
    pub last_epoch: AtomicU64,
    /// Time at the chunk's end.
    pub last_time: AtomicU64,
}
const _: () = assert!(size_of::<ChunkHeader>() == 64);

/// Name of the one environment variable that brings the session into an image. The library removes it, and its own
/// part of `LD_PRELOAD`, before the program can look.
///
/// Value: `1 ':' token ':' parent ':' fd ':' inode ':' path`: version, 32 hex digits (see [`DOOR_NAME_LEN`]), parent
/// image (`-` for none), a descriptor of the lanes with its inode number (`-`, `-` when the image shall ask the
/// socket), and the library's own path.
pub const SESSION_VARIABLE: &str = "MEMTRACK_SESSION";

/// Name of the collector's abstract socket, before the token's first [`DOOR_NAME_LEN`] digits.
pub const DOOR_PREFIX: &str = "memtrack-";

/// So many of the token's hex digits name the socket, for everyone on the machine to see. Who sends the other ones to
/// it gets the lanes.
pub const DOOR_NAME_LEN: usize = 16;

/// Hex digits of a token.
pub const TOKEN_LEN: usize = 32;
