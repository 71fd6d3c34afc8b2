//! Which fields of a profile's tables are written, and how.

use crate::capture::columns::{Column as _, Columns, Field, Input, Plain, Step, coded, columns, fields};
use crate::capture::meta::{ExitStatus, Meta, Session};
use crate::format::Function;
use crate::replay::Pymalloc;
use crate::replay::slices::What;
use crate::report::profile::{
    Frame, FrameId, FrameKind, Metrics, Module, Process, Region, Row, RssPoint, SizeClass, StackId, State, Thread,
    TimePoint, Totals, Untracked,
};
use crate::report::slices::Change;

coded!(State: State::Complete = 0, State::Running = 1, State::Cut = 2);
coded!(FrameKind: FrameKind::Native = 0, FrameKind::Inlined = 1, FrameKind::Jit = 2, FrameKind::Python = 3,
    FrameKind::Marker = 4, FrameKind::Task = 5);
coded!(Pymalloc: Pymalloc::Objects = 0, Pymalloc::Arenas = 1);
coded!(What: What::Allocated = 0, What::Temporary = 1, What::Freed = 2, What::Ended = 3);

fields!(Metrics: allocations, allocated_bytes, leaked_blocks, leaked_bytes, peak_blocks, peak_bytes,
    process_peak_blocks, process_peak_bytes, temporary_allocations, temporary_bytes);
fields!(Totals: metrics, frees, reallocations, inherited_frees, unmatched_frees, lost_events, truncated_stacks,
    unresolved_frames, peak_at_ns, peak_error_bytes, peak_rss_bytes);
fields!(Process: index, pid, parent, exe, command, start_ns, end_ns, totals);
fields!(Thread: index, tid, name, process, metrics);
fields!(Module: path, build_id, interpreter);
fields!(Region: name, limits, process, entered, begin_ns, end_ns, rows [table]);
fields!(Untracked: pid, exe, reason);
fields!(SizeClass: from, allocations, bytes);

columns!(Frame: Plain function, Plain file, Plain line, Plain module, Step address, Plain kind);
columns!(Row: Step stack, Step process, Step thread, Plain metrics.allocations, Plain metrics.allocated_bytes,
    Plain metrics.leaked_blocks, Plain metrics.leaked_bytes, Plain metrics.peak_blocks, Plain metrics.peak_bytes,
    Plain metrics.process_peak_blocks, Plain metrics.process_peak_bytes, Plain metrics.temporary_allocations,
    Plain metrics.temporary_bytes, Plain largest_bytes, Step first_ns, Step last_ns);
columns!(TimePoint: Step time_ns, Step live_max_bytes, Step live_bytes, Plain allocations, Plain allocated_bytes);
columns!(RssPoint: Step time_ns, Plain process, Step anon_bytes, Step file_bytes);
columns!(Change: Step row, Step slice, Plain what, Step birth, Plain blocks, Plain bytes);
columns!(TreeNode: Step parent, Plain frame);
columns!(TreeStack: Step node, Plain function);

/// A frame of the tree that stacks are written as; node 0 is the root, the first entry node 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TreeNode {
    pub(super) parent: u32,
    pub(super) frame: u32,
}

/// A stack: its innermost frame's node, and the number of the allocation function plus 1.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TreeStack {
    pub(super) node: u32,
    pub(super) function: u8,
}

impl From<StackId> for u64 {
    fn from(id: StackId) -> Self {
        Self::from(id.0)
    }
}

impl TryFrom<u64> for StackId {
    type Error = std::num::TryFromIntError;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        u32::try_from(number).map(Self)
    }
}

/// 0 for none.
pub(super) fn function_code(function: Option<Function>) -> u8 {
    function.map_or(0, |function| function as u8 + 1)
}

/// The inverse; `None` for a number that is none.
pub(super) fn function_of(code: u8) -> Option<Option<Function>> {
    match code.checked_sub(1) {
        None => Some(None),
        Some(number) => Function::ALL.get(usize::from(number)).map(|function| Some(*function)),
    }
}

impl Field for FrameId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        u32::take(input).map(Self)
    }
}

impl Field for ExitStatus {
    fn put(&self, out: &mut Vec<u8>) {
        let (kind, value) = match self {
            Self::Code(code) => (0u8, code),
            Self::Signal(signal) => (1, signal),
        };
        kind.put(out);
        value.put(out);
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        match u8::take(input)? {
            0 => i32::take(input).map(Self::Code),
            1 => i32::take(input).map(Self::Signal),
            _ => None,
        }
    }
}

/// As the metadata frame that it came in.
impl Field for Session {
    fn put(&self, out: &mut Vec<u8>) {
        Meta::Session(self.clone()).encode().put(out);
    }

    fn take(input: &mut Input<'_>) -> Option<Self> {
        match Meta::decode(&Vec::<u8>::take(input)?)? {
            Meta::Session(session) => Some(session),
            _ => None,
        }
    }
}
