//! The scopes: the capture, its processes and threads, and what is known about the recording.

use serde::Serialize;
use tracker_core::capture::meta::ExitStatus;
use tracker_core::report::name::base_name;
use tracker_core::report::profile::{self, Profile, Pymalloc, State};

use super::number;

/// The capture as a whole. Times are nanoseconds since its start.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// What the page calls the capture.
    pub name: String,
    /// `complete`, `running` or `cut`.
    pub state: &'static str,
    pub command: Vec<String>,
    pub host: String,
    pub version: String,
    /// Unix time in milliseconds.
    pub start_unix_ms: u64,
    pub duration_ns: u64,
    pub exit: Option<Exit>,
    pub totals: Totals,
    /// Distinct frames, of which `totals.unresolved_frames` have no name.
    pub frames: u64,
    pub untracked: Vec<Untracked>,
    pub warnings: Vec<String>,
    /// Arguments, host and folders were left out.
    pub redacted: bool,
    /// What counts of memory that was recorded twice, in words; `None` where none was.
    pub counted: Option<&'static str>,
    pub sizes: Sizes,
}

/// Allocations of the whole capture by requested size.
#[derive(Debug, Default, Serialize)]
pub struct Sizes {
    /// Smallest size of each class.
    pub from: Vec<u64>,
    pub allocations: Vec<u64>,
    pub bytes: Vec<u64>,
}

/// How the root program ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// Something that could not be tracked.
#[derive(Debug, Serialize)]
pub struct Untracked {
    pub pid: u32,
    pub exe: String,
    pub reason: String,
}

/// Sums of a scope; for a process, `peak_*` are its own.
#[derive(Debug, Serialize)]
pub struct Totals {
    pub allocations: u64,
    pub allocated_bytes: u64,
    pub frees: u64,
    pub reallocations: u64,
    pub leaked_blocks: u64,
    pub leaked_bytes: u64,
    pub peak_blocks: u64,
    pub peak_bytes: u64,
    pub peak_at_ns: u64,
    pub peak_error_bytes: u64,
    pub peak_rss_bytes: u64,
    pub temporary_allocations: u64,
    pub inherited_frees: u64,
    pub unmatched_frees: u64,
    pub lost_events: u64,
    pub truncated_stacks: u64,
    pub unresolved_frames: u64,
}

/// One process image.
#[derive(Debug, Serialize)]
pub struct Process {
    pub index: u32,
    pub pid: u32,
    pub parent: Option<u32>,
    pub name: String,
    pub command: Vec<String>,
    pub start_ns: u64,
    pub end_ns: Option<u64>,
    pub totals: Totals,
}

/// All threads, as columns; `process` is a position among the processes.
#[derive(Debug, Default, Serialize)]
pub struct Threads {
    pub index: Vec<u32>,
    pub tid: Vec<u32>,
    pub name: Vec<String>,
    pub process: Vec<Option<usize>>,
}

impl Summary {
    pub(super) fn new(profile: &Profile, name: &str) -> Self {
        let session = &profile.session;
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        Self {
            name: name.to_owned(),
            state: match profile.state {
                State::Complete => "complete",
                State::Running => "running",
                State::Cut => "cut",
            },
            command: session.command.iter().map(text).collect(),
            host: session.host.clone(),
            version: session.memtrack_version.clone(),
            start_unix_ms: number(session.start_unix_ns / 1_000_000),
            duration_ns: number(profile.duration_ns),
            exit: profile.exit.map(|status| match status {
                ExitStatus::Code(code) => Exit::Code(code),
                ExitStatus::Signal(signal) => Exit::Signal(signal),
            }),
            totals: Totals::capture(&profile.totals),
            frames: profile.frames.len() as u64,
            untracked: profile
                .untracked
                .iter()
                .map(|row| Untracked { pid: row.pid, exe: row.exe.clone(), reason: row.reason.clone() })
                .collect(),
            warnings: profile.warnings.clone(),
            redacted: profile.redacted,
            counted: profile.pymalloc.map(Pymalloc::sentence),
            sizes: Sizes {
                from: profile.sizes.iter().map(|class| number(class.from)).collect(),
                allocations: profile.sizes.iter().map(|class| number(class.allocations)).collect(),
                bytes: profile.sizes.iter().map(|class| number(class.bytes)).collect(),
            },
        }
    }
}

impl Totals {
    fn capture(totals: &profile::Totals) -> Self {
        let metrics = &totals.metrics;
        Self {
            allocations: number(metrics.allocations),
            allocated_bytes: number(metrics.allocated_bytes),
            frees: number(totals.frees),
            reallocations: number(totals.reallocations),
            leaked_blocks: number(metrics.leaked_blocks),
            leaked_bytes: number(metrics.leaked_bytes),
            peak_blocks: number(metrics.peak_blocks),
            peak_bytes: number(metrics.peak_bytes),
            peak_at_ns: number(totals.peak_at_ns),
            peak_error_bytes: number(totals.peak_error_bytes),
            peak_rss_bytes: number(totals.peak_rss_bytes),
            temporary_allocations: number(metrics.temporary_allocations),
            inherited_frees: number(totals.inherited_frees),
            unmatched_frees: number(totals.unmatched_frees),
            lost_events: number(totals.lost_events),
            truncated_stacks: number(totals.truncated_stacks),
            unresolved_frames: number(totals.unresolved_frames),
        }
    }

    fn process(totals: &profile::Totals) -> Self {
        let own = &totals.metrics;
        Self {
            peak_blocks: number(own.process_peak_blocks),
            peak_bytes: number(own.process_peak_bytes),
            ..Self::capture(totals)
        }
    }
}

impl Process {
    pub(super) fn new(process: &profile::Process) -> Self {
        let exe = if process.exe.is_empty() { process.command.first() } else { Some(&process.exe) };
        Self {
            index: process.index,
            pid: process.pid,
            parent: process.parent,
            name: exe.map_or("?", |path| base_name(path)).to_owned(),
            command: process.command.clone(),
            start_ns: number(process.start_ns),
            end_ns: process.end_ns.map(number),
            totals: Totals::process(&process.totals),
        }
    }
}

impl Threads {
    pub(super) fn new(profile: &Profile) -> Self {
        let mut columns = Self::default();
        for thread in &profile.threads {
            columns.index.push(thread.index);
            columns.tid.push(thread.tid);
            columns.name.push(thread.name.clone());
            columns.process.push(profile.processes.iter().position(|process| process.index == thread.process));
        }
        columns
    }
}
