//! The contract between replay and every view: one capture, replayed and symbolized.
//!
//! Every view is a sum over [`Profile::rows`], so all of them add up to [`Profile::totals`].

use super::slices::Slices;
use super::span::Span;
use crate::capture::meta::{ExitStatus, Session};
use crate::format::Function;
pub use crate::replay::Pymalloc;

/// Index into [`Profile::frames`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct FrameId(pub u32);

/// Index into [`Profile::stacks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct StackId(pub u32);

/// Whether the capture is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The tree ended and everything was written.
    Complete,
    /// Its collector is still at work.
    Running,
    /// The collector was killed, the disk was full, or bytes are damaged.
    Cut,
}

/// Sums of one scope (the capture, a process, a thread, a stack). Bytes are requested bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metrics {
    pub allocations: u64,
    pub allocated_bytes: u64,
    pub leaked_blocks: u64,
    pub leaked_bytes: u64,
    /// Live at the capture's peak.
    pub peak_blocks: u64,
    pub peak_bytes: u64,
    /// Live at the peak of the row's own process.
    pub process_peak_blocks: u64,
    pub process_peak_bytes: u64,
    pub temporary_allocations: u64,
    pub temporary_bytes: u64,
}

/// Sums that only whole scopes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    pub metrics: Metrics,
    pub frees: u64,
    pub reallocations: u64,
    pub inherited_frees: u64,
    pub unmatched_frees: u64,
    pub lost_events: u64,
    pub truncated_stacks: u64,
    pub unresolved_frames: u64,
    pub peak_at_ns: u64,
    pub peak_error_bytes: u64,
    pub peak_rss_bytes: u64,
}

/// What kind of code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum FrameKind {
    #[default]
    Native,
    /// Inlined into the next outer frame.
    Inlined,
    /// Made at run time; named by a perf map file, if at all.
    Jit,
    Python,
    /// Outermost: the asyncio task that ran, called `[task NAME]`.
    Task,
    /// Stands for frames that are not there (truncated, not walked, lost definition), or is [`ARENA`].
    Marker,
}

/// The innermost frame of memory that Python's pymalloc cuts small objects from: whoever asked for it is not who fills it.
pub const ARENA: &str = "[pymalloc arena]";

/// One distinct frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Frame {
    /// Demangled; `None` when nothing is known.
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    /// Index into [`Profile::modules`].
    pub module: Option<u32>,
    /// Linked address inside the module, or the absolute address without one.
    pub address: u64,
    pub kind: FrameKind,
}

impl Frame {
    /// The file of a Python function, which tells functions of one name apart as modules do with native ones.
    pub fn script(&self) -> Option<&str> {
        self.file.as_deref().filter(|_| self.kind == FrameKind::Python)
    }
}

/// One distinct stack, innermost (leaf) frame first. The allocation function itself is no frame.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stack {
    pub frames: Vec<FrameId>,
    pub function: Option<Function>,
}

/// A stack's numbers in one thread of one process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    pub stack: StackId,
    /// Index into [`Profile::processes`].
    pub process: u32,
    /// Index into [`Profile::threads`].
    pub thread: u32,
    pub metrics: Metrics,
    /// Most bytes of one allocation; like the times, of all of the capture's time.
    pub largest_bytes: u64,
    /// Time of the first and last allocation; of the leaked ones when any leaked.
    pub first_ns: u64,
    pub last_ns: u64,
}

/// One process image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// From 1, as reports show it.
    pub index: u32,
    pub pid: u32,
    /// Index number of the parent row.
    pub parent: Option<u32>,
    pub exe: String,
    pub command: Vec<String>,
    pub start_ns: u64,
    pub end_ns: Option<u64>,
    pub totals: Totals,
}

/// One thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// From 1, as reports show it.
    pub index: u32,
    pub tid: u32,
    pub name: String,
    /// Index number of the process row.
    pub process: u32,
    pub metrics: Metrics,
}

/// What happened in all regions of one name in one process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Region {
    pub name: String,
    /// What the program itself allows in it: `KEY=VALUE`, commas between.
    pub limits: String,
    /// Index into [`Profile::processes`].
    pub process: u32,
    /// How often it was entered and left.
    pub entered: u64,
    /// When it first began and first ended.
    pub begin_ns: u64,
    pub end_ns: u64,
    /// Rows of the profile with the numbers of the region, all the times it was entered. *Leaked* is what was allocated in
    /// it and live when it ended, *peak* (of capture and process alike) what was allocated in it and live at once, the time
    /// it held most.
    pub rows: Vec<Row>,
}

/// One executable or library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    pub path: String,
    pub build_id: Vec<u8>,
    /// It is a Python interpreter: an eval loop of it has run Python frames.
    pub interpreter: bool,
}

/// The state of the tree at one moment. Bytes live in each process at the same moment are in
/// [`Timeline::process_live`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimePoint {
    pub time_ns: u64,
    /// Highest sum of live bytes in the interval that ends here.
    pub live_max_bytes: u64,
    /// Live bytes at the end of the interval.
    pub live_bytes: u64,
    pub allocations: u64,
    pub allocated_bytes: u64,
}

/// Resident memory of one process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RssPoint {
    pub time_ns: u64,
    pub process: u32,
    pub anon_bytes: u64,
    pub file_bytes: u64,
}

/// The capture over time; at most a few thousand points.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timeline {
    pub points: Vec<TimePoint>,
    /// For each process (same order as [`Profile::processes`]) its live bytes at the end of each point's interval.
    pub process_live: Vec<Vec<u64>>,
    pub rss: Vec<RssPoint>,
}

/// Something that could not be tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untracked {
    /// 0: nobody knows which, for the program should have been recorded and was not heard of.
    pub pid: u32,
    pub exe: String,
    pub reason: String,
}

impl Untracked {
    /// Whether the program was started to be recorded, and was not: what it allocated is missing.
    pub fn is_unheard(&self) -> bool {
        self.pid == 0
    }
}

/// Allocations by size class: requested sizes from `from` up to the next class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SizeClass {
    pub from: u64,
    pub allocations: u64,
    pub bytes: u64,
}

/// A capture, replayed and symbolized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub state: State,
    pub session: Session,
    pub duration_ns: u64,
    pub exit: Option<ExitStatus>,
    pub totals: Totals,
    pub processes: Vec<Process>,
    pub threads: Vec<Thread>,
    pub modules: Vec<Module>,
    pub frames: Vec<Frame>,
    pub stacks: Vec<Stack>,
    /// Sorted by nothing in particular; one per (stack, process, thread).
    pub rows: Vec<Row>,
    pub timeline: Timeline,
    /// What rows did over time.
    pub slices: Slices,
    /// What the program marked in its run, by process and first begin.
    pub regions: Vec<Region>,
    /// The part of the time that the numbers are about, when it is not all.
    pub span: Option<Span>,
    /// Powers of two, ascending.
    pub sizes: Vec<SizeClass>,
    pub untracked: Vec<Untracked>,
    /// Remarks: damage, early stop, statically linked allocators.
    pub warnings: Vec<String>,
    /// What says whose machine and work this was has been taken out.
    pub redacted: bool,
    /// Why frames lack names or lines: one line per module, those with the most nameless frames first.
    pub symbol_notes: Vec<String>,
    /// What counts of memory that was recorded twice; `None` where none was.
    pub pymalloc: Option<Pymalloc>,
}
