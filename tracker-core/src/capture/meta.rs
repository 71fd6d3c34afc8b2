//! The small, rare frames that the collector writes beside the events: bincode, always length-limited.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Longest encoded frame in bytes.
pub const MAX_META_LEN: u64 = 1 << 20;

/// Bytes of frames that a capture may decode to, as a multiple of its size and beyond it. Frames are kept in memory, and a
/// few bytes may decode to a megabyte of one; honest ones compress to a tenth at best.
const MAX_META_RATIO: u64 = 8;
const META_SLACK: u64 = 2 * MAX_META_LEN;

/// The room that the frames of one capture have; what lies beyond it is read as damage.
#[derive(Debug)]
pub struct MetaRoom(u64);

impl MetaRoom {
    /// In a capture of `size` bytes.
    pub const fn new(size: u64) -> Self {
        Self(size.saturating_mul(MAX_META_RATIO).saturating_add(META_SLACK))
    }

    /// Whether a frame of `len` bytes has room; it is gone in either case.
    pub fn take(&mut self, len: u32) -> bool {
        let len = u64::from(len);
        let fits = len <= MAX_META_LEN && len <= self.0;
        self.0 = self.0.saturating_sub(len);
        fits
    }
}

/// One metadata frame. Times are nanoseconds since the session's start, paths and names raw bytes as the kernel gave
/// them. New kinds are added at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Meta {
    /// First block of every capture.
    Session(Session),
    /// A thread's name, as of `time`; a later one replaces it.
    ThreadName { image: u32, tid: u32, name: Vec<u8> },
    /// Resident memory of one process, in bytes, the lanes not counted; `high`: the most it has been so far.
    Rss { time: u64, image: u32, anon: u64, file: u64, shmem: u64, high: u64 },
    /// The collector saw that the process of `image` is gone (or that a later image replaced it).
    ImageEnd { time: u64, image: u32 },
    /// What the collector found when it opened a module at first sight. `number` counts from 0 in order of writing.
    ModuleFile(ModuleFile),
    /// How the root program ended, as waitpid told the parent: an exit code, or a signal.
    /// `max_rss`: the kernel's maximum of its resident bytes, 0 when not known. It counts what the process was before it
    /// became the program, too: `before` bytes.
    RootExit { time: u64, status: ExitStatus, max_rss: u64, before: u64 },
    /// A program that could not be tracked and never ran any of our code (the root).
    Untracked { pid: u32, exe: Vec<u8>, reason: String },
    /// A remark for the reader of reports, for example that the allocator is linked in statically.
    Warning { text: String },
    /// The disk was full or failed: events from `time` on were drained but not written.
    Stopped { time: u64, reason: String, lost_bytes: u64 },
    /// Last block of a capture whose tree has ended.
    End { time: u64, lost_events: u64, unwind_differences: u64 },
    /// What says whose machine and work this was has been taken out, see [`super::redact`].
    Redacted,
}

/// What was recorded, where and when. No environment values, no memory contents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Session {
    pub command: Vec<Vec<u8>>,
    pub exe: Vec<u8>,
    pub cwd: Vec<u8>,
    pub host: String,
    /// Kernel release.
    pub kernel: String,
    pub memtrack_version: String,
    pub page_size: u32,
    pub cpus: u32,
    /// Unix time in nanoseconds.
    pub start_unix_ns: u64,
    pub pid: u32,
}

impl Session {
    /// The command line, a text for each word.
    pub fn words(&self) -> Vec<Cow<'_, str>> {
        self.command.iter().map(|word| String::from_utf8_lossy(word)).collect()
    }
}

/// A module's file as the collector found it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModuleFile {
    pub number: u32,
    pub image: u32,
    pub path: Vec<u8>,
    pub build_id: Vec<u8>,
    pub len: u64,
    pub device: u64,
    pub inode: u64,
    pub modified_ns: u64,
    /// The file's bytes are in this capture's `ModuleData` blocks, because readers would not find it at `path`.
    pub embedded: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

impl Meta {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Writing to memory cannot fail, and every type here is serializable.
        bincode::serialize(self).unwrap_or_default()
    }

    /// Reads a frame; `None` when it is not one, or too long.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        use bincode::Options as _;
        let options = bincode::DefaultOptions::new().with_fixint_encoding().with_limit(MAX_META_LEN);
        options.allow_trailing_bytes().deserialize(bytes).ok()
    }
}
