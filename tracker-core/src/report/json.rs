//! Reports as JSON. Rows and frames are written one by one from the profile: a report over a million stacks is never
//! held twice.
//!
//! Schemas only grow: a field that was once written keeps its name and meaning.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use super::filter::Selection;
use super::levels::Level;
use super::metric::{Metric, PeakOf};
use super::places::Place;
use super::profile::{Frame, FrameKind, Process, Profile, Stack, State, Thread};
use super::rows::{Entry, Kind, Report, Sum};
use super::stats::Stats;
use super::summary::state_name;
use super::sums::Sums;
use super::table::{By, Table, TableRow};
use super::tree::Tree;

/// One frame of a `stack` list.
#[derive(Serialize)]
struct FrameJson<'p> {
    function: Option<&'p str>,
    file: Option<&'p str>,
    line: Option<u32>,
    module: Option<&'p str>,
    address: Option<u64>,
    inlined: bool,
    kind: &'static str,
}

impl<'p> FrameJson<'p> {
    /// Of frames that differ in their line or address, one of which is `frame`, when `mixed`.
    fn of_function(profile: &'p Profile, frame: &'p Frame, mixed: bool) -> Self {
        let one = Self::new(profile, frame);
        if mixed { Self { line: None, address: None, ..one } } else { one }
    }

    fn new(profile: &'p Profile, frame: &'p Frame) -> Self {
        let kind = match frame.kind {
            FrameKind::Native | FrameKind::Inlined => "native",
            FrameKind::Jit => "jit",
            FrameKind::Python => "python",
            FrameKind::Task => "task",
            FrameKind::Marker => "marker",
        };
        Self {
            function: frame.function.as_deref(),
            file: frame.file.as_deref(),
            line: frame.line,
            module: profile.module_path(frame),
            address: Some(frame.address),
            inlined: frame.kind == FrameKind::Inlined,
            kind,
        }
    }
}

/// Leaf first.
pub(crate) struct StackJson<'p>(pub(crate) &'p Profile, pub(crate) Option<&'p Stack>);

impl Serialize for StackJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let frames = self.1.map_or(&[][..], |stack| &stack.frames);
        let frames = frames.iter().filter_map(|&id| self.0.frame(id));
        serializer.collect_seq(frames.map(|frame| FrameJson::new(self.0, frame)))
    }
}

#[derive(Serialize)]
struct RowJson<'p> {
    bytes: u64,
    blocks: u64,
    allocations: u64,
    /// Of the largest allocation. Of a part of the time nobody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    largest_bytes: Option<u64>,
    first_ns: u64,
    last_ns: u64,
    /// Of leaks: never, sometimes or usually.
    #[serde(skip_serializing_if = "Option::is_none")]
    freed: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_per_minute: Option<f64>,
    process: Option<u32>,
    thread: Option<u32>,
    allocator: Option<&'static str>,
    stack: StackJson<'p>,
}

impl<'p> RowJson<'p> {
    fn new(selection: &Selection<'p>, entry: &Entry) -> Self {
        let profile = selection.profile();
        let stack = profile.stacks.get(entry.stack.0 as usize);
        let process: Option<&Process> = profile.processes.get(entry.process as usize);
        let thread: Option<&Thread> = profile.threads.get(entry.thread as usize);
        Self {
            bytes: entry.bytes,
            blocks: entry.blocks,
            allocations: entry.allocations,
            largest_bytes: profile.span.is_none().then_some(entry.largest_bytes),
            first_ns: entry.first_ns,
            last_ns: entry.last_ns,
            freed: entry.fate().map(|fate| fate.freed.name()),
            blocks_per_minute: entry.fate().and_then(|fate| fate.blocks_per_minute),
            process: process.filter(|_| entry.processes == 1).map(|process| process.index),
            thread: thread.filter(|_| entry.threads == 1).map(|thread| thread.index),
            allocator: stack.and_then(|stack| stack.function).map(|function| function.name()),
            stack: StackJson(profile, stack),
        }
    }
}

pub(crate) struct RowsJson<'r, 'p>(pub(crate) &'r Selection<'p>, pub(crate) &'r [Entry]);

impl Serialize for RowsJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.1.len()))?;
        for entry in self.1 {
            list.serialize_element(&RowJson::new(self.0, entry))?;
        }
        list.end()
    }
}

#[derive(Serialize)]
struct SuppressedJson<'r, 'p> {
    suppression: &'r str,
    bytes: u64,
    blocks: u64,
    rows: RowsJson<'r, 'p>,
}

/// `memtrack.leaks/1`, `memtrack.peak/1`, `memtrack.temporary/1`, `memtrack.allocations/1`. Only leaks have leaks; the
/// others have rows.
impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'r, 'p> {
            schema: String,
            #[serde(serialize_with = "state_name")]
            state: State,
            duration_ns: u64,
            /// Of the span that the numbers are about, when it is not the whole capture.
            #[serde(skip_serializing_if = "Option::is_none")]
            from_ns: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            to_ns: Option<u64>,
            #[serde(flatten)]
            sums: Sums,
            #[serde(skip_serializing_if = "Option::is_none")]
            leaks: Option<RowsJson<'r, 'p>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rows: Option<RowsJson<'r, 'p>>,
            hidden: Sum,
            suppressed_bytes: u64,
            suppressed_blocks: u64,
            suppressed: Vec<SuppressedJson<'r, 'p>>,
        }
        let rows = |entries| RowsJson(&self.selection, entries);
        let is_leaks = self.kind == Kind::Leaks;
        let apart = self.suppressed_sum();
        let suppressed = self.suppressed.iter().map(|suppressed| SuppressedJson {
            suppression: &suppressed.rule,
            bytes: suppressed.sum.bytes,
            blocks: suppressed.sum.blocks,
            rows: rows(&suppressed.entries),
        });
        let json = Json {
            schema: format!("memtrack.{}/1", self.kind.name()),
            state: self.selection.profile().state,
            duration_ns: self.selection.profile().duration_ns,
            from_ns: self.selection.profile().span.map(|span| span.from_ns),
            to_ns: self.selection.profile().span.map(|span| span.to_ns),
            sums: Sums::of(&self.selection),
            leaks: is_leaks.then(|| rows(&self.entries)),
            rows: (!is_leaks).then(|| rows(&self.entries)),
            hidden: self.hidden,
            suppressed_bytes: apart.bytes,
            suppressed_blocks: apart.blocks,
            suppressed: suppressed.collect(),
        };
        json.serialize(serializer)
    }
}

/// `memtrack.tree/1`: a flat list, callers before callees, so that no depth of recursion is too deep to read.
#[derive(Debug)]
pub struct TreeJson<'r, 'p> {
    pub selection: &'r Selection<'p>,
    pub tree: &'r Tree,
    pub metric: Metric,
    pub inverted: bool,
}

#[derive(Serialize)]
struct NodeJson<'p> {
    parent: Option<u32>,
    #[serde(rename = "self")]
    own: u64,
    total: u64,
    #[serde(flatten)]
    frame: Option<FrameJson<'p>>,
}

struct NodesJson<'r, 'p>(&'p Profile, &'r Tree);

impl Serialize for NodesJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.1.nodes.iter().map(|node| {
            NodeJson {
                parent: node.parent,
                own: node.own,
                total: node.total,
                frame: node
                    .frame
                    .and_then(|id| self.0.frame(id))
                    .map(|frame| FrameJson::of_function(self.0, frame, node.mixed)),
            }
        }))
    }
}

impl Serialize for TreeJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'r, 'p> {
            schema: &'static str,
            metric: &'static str,
            inverted: bool,
            /// Of the span that the numbers are about, when it is not the whole capture.
            #[serde(skip_serializing_if = "Option::is_none")]
            from_ns: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            to_ns: Option<u64>,
            #[serde(flatten)]
            sums: Sums,
            total: u64,
            nodes: NodesJson<'r, 'p>,
        }
        let json = Json {
            schema: "memtrack.tree/1",
            metric: self.metric.name(),
            inverted: self.inverted,
            from_ns: self.selection.profile().span.map(|span| span.from_ns),
            to_ns: self.selection.profile().span.map(|span| span.to_ns),
            sums: Sums::of(self.selection),
            total: self.tree.total,
            nodes: NodesJson(self.selection.profile(), self.tree),
        };
        json.serialize(serializer)
    }
}

/// `memtrack.table/1`.
#[derive(Debug)]
pub struct TableJson<'r, 'p> {
    pub selection: &'r Selection<'p>,
    pub table: &'r Table<'p>,
    pub by: By,
    pub metric: Metric,
}

#[derive(Serialize)]
struct TableRowJson<'p> {
    name: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'p str>,
    own: u64,
    total: u64,
}

impl Serialize for TableJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'r> {
            schema: &'static str,
            by: &'static str,
            metric: &'static str,
            /// Of the span that the numbers are about, when it is not the whole capture.
            #[serde(skip_serializing_if = "Option::is_none")]
            from_ns: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            to_ns: Option<u64>,
            sum: u64,
            rows: Vec<TableRowJson<'r>>,
        }
        fn row<'r>(TableRow { name, module, own, total }: &'r TableRow<'_>) -> TableRowJson<'r> {
            TableRowJson { name, module: *module, own: *own, total: *total }
        }
        let span = self.selection.profile().span;
        let json = Json {
            schema: "memtrack.table/1",
            by: self.by.name(),
            metric: self.metric.name(),
            from_ns: span.map(|span| span.from_ns),
            to_ns: span.map(|span| span.to_ns),
            sum: self.table.sum,
            rows: self.table.rows.iter().map(row).collect(),
        };
        json.serialize(serializer)
    }
}

/// `memtrack.timeline/1`.
#[derive(Debug)]
pub struct TimelineJson<'r, 'p> {
    pub selection: &'r Selection<'p>,
    pub levels: &'r [Level],
}

impl Serialize for TimelineJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'r> {
            schema: &'static str,
            #[serde(flatten)]
            sums: Sums,
            intervals: &'r [Level],
        }
        let sums = Sums::of(self.selection);
        Json { schema: "memtrack.timeline/1", sums, intervals: self.levels }.serialize(serializer)
    }
}

/// `memtrack.stats/1`.
#[derive(Debug)]
pub struct StatsJson<'r, 'p> {
    pub selection: &'r Selection<'p>,
    pub stats: &'r Stats<'p>,
}

#[derive(Serialize)]
struct SizeJson {
    from: u64,
    allocations: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct AllocatorJson {
    allocator: Option<&'static str>,
    allocations: u64,
    allocated_bytes: u64,
    peak_bytes: u64,
    leaked_bytes: u64,
    leaked_blocks: u64,
}

#[derive(Serialize)]
struct PlaceJson<'p> {
    frame: Option<FrameJson<'p>>,
    allocations: u64,
    allocated_bytes: u64,
    peak_bytes: u64,
    leaked_bytes: u64,
    leaked_blocks: u64,
    temporary_allocations: u64,
}

fn place<'p>(profile: &'p Profile, place: &Place<'p>, peak: PeakOf) -> PlaceJson<'p> {
    PlaceJson {
        frame: place.frame.map(|frame| FrameJson::of_function(profile, frame, place.mixed)),
        allocations: place.metrics.allocations,
        allocated_bytes: place.metrics.allocated_bytes,
        peak_bytes: Metric::Peak.of(&place.metrics, peak),
        leaked_bytes: place.metrics.leaked_bytes,
        leaked_blocks: place.metrics.leaked_blocks,
        temporary_allocations: place.metrics.temporary_allocations,
    }
}

impl Serialize for StatsJson<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'p> {
            schema: &'static str,
            #[serde(flatten)]
            sums: Sums,
            sizes: Option<Vec<SizeJson>>,
            allocators: Vec<AllocatorJson>,
            top_by_bytes: Vec<PlaceJson<'p>>,
            top_by_count: Vec<PlaceJson<'p>>,
        }
        let stats = self.stats;
        let profile = self.selection.profile();
        let peak = stats.peak_of;
        let sizes = stats.sizes.map(|classes| {
            let json = |class: &super::profile::SizeClass| SizeJson {
                from: class.from,
                allocations: class.allocations,
                bytes: class.bytes,
            };
            classes.iter().map(json).collect()
        });
        let allocators = stats.functions.iter().map(|by| AllocatorJson {
            allocator: by.function.map(|function| function.name()),
            allocations: by.metrics.allocations,
            allocated_bytes: by.metrics.allocated_bytes,
            peak_bytes: Metric::Peak.of(&by.metrics, peak),
            leaked_bytes: by.metrics.leaked_bytes,
            leaked_blocks: by.metrics.leaked_blocks,
        });
        let json = Json {
            schema: "memtrack.stats/1",
            sums: Sums::of(self.selection),
            sizes,
            allocators: allocators.collect(),
            top_by_bytes: stats.by_bytes.0.iter().map(|(_, p)| place(profile, p, peak)).collect(),
            top_by_count: stats.by_count.0.iter().map(|(_, p)| place(profile, p, peak)).collect(),
        };
        json.serialize(serializer)
    }
}
