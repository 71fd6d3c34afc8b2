//! The whole capture on one page: what was recorded, its sums, its processes and threads.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::filter::Selection;
use super::labels::Label;
use super::metric::{Metric, PeakOf};
use super::profile::{Metrics, Process, Profile, Pymalloc, Region, State, Thread, Untracked};
use super::sums::Sums;
use crate::capture::meta::ExitStatus;

/// Version of [`Summary`]'s JSON.
pub const SCHEMA: &str = "memtrack.summary/1";

/// The answer to `memtrack summary`.
#[derive(Debug, Serialize)]
pub struct Summary<'p> {
    pub schema: &'static str,
    #[serde(serialize_with = "state_name")]
    pub state: State,
    pub command: Vec<Cow<'p, str>>,
    pub duration_ns: u64,
    #[serde(flatten)]
    pub sums: Sums,
    #[serde(serialize_with = "exit_status")]
    pub exit: Option<ExitStatus>,
    pub untracked: Vec<UntrackedRow<'p>>,
    pub processes: Vec<ProcessRow<'p>>,
    pub threads: Vec<ThreadRow<'p>>,
    /// What the program marked in its run.
    pub regions: Vec<RegionRow<'p>>,
    pub warnings: &'p [String],
    pub symbol_notes: &'p [String],
    pub redacted: bool,
    /// What counts of memory that was recorded twice: `objects` or `arenas` of Python's; `None` where none was.
    pub pymalloc: Option<&'static str>,
    pub cwd: Cow<'p, str>,
    pub host: &'p str,
    pub start_unix_ns: u64,
    pub memtrack_version: &'p str,
}

/// Something that could not be tracked.
#[derive(Debug, Serialize)]
pub struct UntrackedRow<'p> {
    pub pid: u32,
    pub exe: &'p str,
    pub reason: &'p str,
}

/// One process image; its peak is its own.
#[derive(Debug, Serialize)]
pub struct ProcessRow<'p> {
    pub index: u32,
    pub pid: u32,
    pub parent: Option<u32>,
    pub exe: &'p str,
    pub command: &'p [String],
    /// What it is called where there is room for a few words: its program, its Python script, its worker's number.
    pub label: String,
    #[serde(skip)]
    pub is_worker: bool,
    pub start_ns: u64,
    pub end_ns: Option<u64>,
    #[serde(flatten)]
    pub sums: Sums,
    /// Its share of the capture's peak.
    pub capture_peak_bytes: u64,
}

/// The numbers of a thread or a region.
#[derive(Debug, Serialize)]
pub struct Counts {
    pub allocations: u64,
    pub allocated_bytes: u64,
    pub peak_bytes: u64,
    pub peak_blocks: u64,
    pub leaked_bytes: u64,
    pub leaked_blocks: u64,
    pub temporary_allocations: u64,
}

impl Counts {
    fn of(metrics: &Metrics, peak: PeakOf) -> Self {
        Self {
            allocations: metrics.allocations,
            allocated_bytes: metrics.allocated_bytes,
            peak_bytes: Metric::Peak.of(metrics, peak),
            peak_blocks: Metric::PeakBlocks.of(metrics, peak),
            leaked_bytes: metrics.leaked_bytes,
            leaked_blocks: metrics.leaked_blocks,
            temporary_allocations: metrics.temporary_allocations,
        }
    }
}

/// One thread; its peak is its share of the capture's.
#[derive(Debug, Serialize)]
pub struct ThreadRow<'p> {
    pub index: u32,
    pub tid: u32,
    pub name: &'p str,
    pub process: u32,
    #[serde(flatten)]
    pub counts: Counts,
}

/// All regions of one name in one process. Leaked is what was live when a region ended.
#[derive(Debug, Serialize)]
pub struct RegionRow<'p> {
    pub name: &'p str,
    pub process: u32,
    pub entered: u64,
    pub begin_ns: u64,
    pub end_ns: u64,
    #[serde(flatten)]
    pub counts: Counts,
}

impl<'p> Summary<'p> {
    /// Of everything a selection holds. A selected process leaves only its own row and threads.
    pub fn of(selection: &Selection<'p>) -> Self {
        let profile: &'p Profile = selection.profile();
        let shown = |index: u32| selection.process().is_none_or(|process| process.index == index);
        let labelled = profile.processes.iter().zip(profile.process_labels());
        let processes = labelled.filter(|(process, _)| shown(process.index));
        let threads = profile.threads.iter().filter(|t| shown(t.process));
        let session = &profile.session;
        Self {
            schema: SCHEMA,
            state: profile.state,
            command: session.words(),
            duration_ns: profile.duration_ns,
            sums: Sums::of(selection),
            exit: profile.exit,
            untracked: profile.untracked.iter().map(untracked_row).collect(),
            processes: processes.map(process_row).collect(),
            threads: threads.map(|thread| thread_row(thread, selection.peak_of())).collect(),
            regions: profile
                .regions
                .iter()
                .filter_map(|region| region_row(profile, region))
                .filter(|r| shown(r.process))
                .collect(),
            warnings: &profile.warnings,
            symbol_notes: &profile.symbol_notes,
            pymalloc: profile.pymalloc.map(Pymalloc::name),
            redacted: profile.redacted,
            cwd: String::from_utf8_lossy(&session.cwd),
            host: &session.host,
            start_unix_ns: session.start_unix_ns,
            memtrack_version: &session.memtrack_version,
        }
    }
}

fn untracked_row(untracked: &Untracked) -> UntrackedRow<'_> {
    UntrackedRow { pid: untracked.pid, exe: &untracked.exe, reason: &untracked.reason }
}

fn process_row((process, label): (&Process, Label)) -> ProcessRow<'_> {
    ProcessRow {
        index: process.index,
        pid: process.pid,
        parent: process.parent,
        exe: &process.exe,
        command: &process.command,
        label: label.text,
        is_worker: label.is_worker,
        start_ns: process.start_ns,
        end_ns: process.end_ns,
        sums: Sums::of_scope(&process.totals, PeakOf::Process),
        capture_peak_bytes: process.totals.metrics.peak_bytes,
    }
}

fn region_row<'p>(profile: &'p Profile, region: &'p Region) -> Option<RegionRow<'p>> {
    Some(RegionRow {
        name: &region.name,
        process: profile.processes.get(region.process as usize)?.index,
        entered: region.entered,
        begin_ns: region.begin_ns,
        end_ns: region.end_ns,
        counts: Counts::of(Selection::of_region(profile, region).metrics(), PeakOf::Capture),
    })
}

fn thread_row(thread: &Thread, peak: PeakOf) -> ThreadRow<'_> {
    ThreadRow {
        index: thread.index,
        tid: thread.tid,
        name: &thread.name,
        process: thread.process,
        counts: Counts::of(&thread.metrics, peak),
    }
}

impl State {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Running => "running",
            Self::Cut => "cut",
        }
    }
}

pub(super) fn state_name<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

fn exit_status<S: Serializer>(exit: &Option<ExitStatus>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    enum Exit {
        Code(i32),
        Signal(i32),
    }
    let exit = exit.map(|status| match status {
        ExitStatus::Code(code) => Exit::Code(code),
        ExitStatus::Signal(signal) => Exit::Signal(signal),
    });
    exit.serialize(serializer)
}
