//! The Firefox Profiler's processed profile: allocations and frees with their stacks, and memory over time.
//!
//! A capture may have more events than a browser can show. So blocks of a stack that were allocated in the same slice of
//! time, and freed in the same slice, are one entry: bytes are exact at each bound of the slices, whatever range is chosen
//! in the viewer, and there are no more entries than changes in the slices.

use std::io;

use rustc_hash::FxHashMap;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Exporter, Limits, Request};
use crate::report::escaping;
use crate::report::filter::Selection;
use crate::report::name::{UNKNOWN, base_name};
use crate::report::profile::{FrameId, FrameKind, Process, Profile, Thread};
use crate::report::slices::{Change, What};

/// Of the format. The viewer brings older ones up to its own.
const VERSION: u32 = 48;

const NS_PER_MS: f64 = 1e6;

/// Names and colours of categories, by their numbers.
const CATEGORIES: [(&str, &str); 4] = [("Other", "grey"), ("Native", "blue"), ("Python", "orange"), ("JIT", "green")];

#[derive(Debug)]
pub(super) struct Firefox;

impl Exporter for Firefox {
    fn name(&self) -> &'static str {
        "firefox"
    }

    fn about(&self) -> &'static str {
        "for the Firefox Profiler: allocations over time, and memory as counters"
    }

    fn limits(&self) -> Limits {
        Limits { all_metrics: true, whole_time: true, ..Limits::default() }
    }

    fn needs_time(&self) -> bool {
        true
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let selection = request.selection;
        let profile = selection.profile();
        let mut entries = entries(selection);
        out.write_all(b"{\"meta\":")?;
        json_to(out, &meta(profile))?;
        out.write_all(b",\"libs\":")?;
        json_to(out, &profile.modules.iter().map(|module| library(&module.path)).collect::<Vec<_>>())?;
        out.write_all(b",\"threads\":[\n")?;
        // For each process the place of its first thread in the file.
        let mut main_threads: Vec<Option<usize>> = vec![None; profile.processes.len()];
        let mut written = 0;
        for (thread, entries) in profile.threads.iter().zip(&mut entries) {
            let place = profile.processes.iter().position(|process| process.index == thread.process);
            let Some((place, process)) = place.and_then(|at| Some((at, profile.processes.get(at)?))) else { continue };
            if entries.is_empty() {
                continue;
            }
            let is_main = main_threads.get(place) == Some(&None);
            if let Some(main) = main_threads.get_mut(place).filter(|_| is_main) {
                *main = Some(written);
            }
            out.write_all(if written > 0 { b",\n" } else { b"" })?;
            entries.sort_by_key(|entry| entry.time_ns);
            write_thread(out, profile, (process, thread, is_main), entries)?;
            written += 1;
        }
        out.write_all(b"],\n\"counters\":[")?;
        let mut separator = "";
        for (place, process) in profile.processes.iter().enumerate() {
            let Some(main) = main_threads.get(place).copied().flatten() else { continue };
            for (name, points) in [("malloc", live(profile, place)), ("RSS", resident(profile, place))] {
                if points.len() > 1 {
                    out.write_all(separator.as_bytes())?;
                    json_to(out, &counter(name, process, main, &points))?;
                    separator = ",\n";
                }
            }
        }
        out.write_all(b"]}\n")
    }
}

fn json_to(out: &mut dyn io::Write, value: &impl Serialize) -> io::Result<()> {
    escaping::to_writer(out, value).map_err(io::Error::from)
}

fn ms(ns: u64) -> f64 {
    ns as f64 / NS_PER_MS
}

fn meta(profile: &Profile) -> Value {
    let session = &profile.session;
    let command = session.words();
    let product = command.first().map_or("", |word| base_name(word));
    let category = |(name, color): (&str, &str)| json!({"name": name, "color": color, "subcategories": ["Other"]});
    json!({
        "preprocessedProfileVersion": VERSION,
        "version": 30,
        "interval": 1,
        "startTime": session.start_unix_ns as f64 / NS_PER_MS,
        "processType": 0,
        "product": product,
        "arguments": command.join(" "),
        "importedFrom": "memtrack",
        "stackwalk": 1,
        "debug": false,
        "symbolicated": true,
        "usesOnlyOneStackType": true,
        "doesNotUseFrameImplementation": true,
        "sourceCodeIsNotOnSearchfox": true,
        "logicalCPUs": session.cpus,
        "categories": CATEGORIES.map(category),
        "markerSchema": [],
        "extensions": {"id": [], "name": [], "baseURL": [], "length": 0},
        "initialSelectedThreads": [0],
    })
}

fn library(path: &str) -> Value {
    let name = base_name(path);
    json!({"arch": "", "name": name, "path": path, "debugName": name, "debugPath": path, "breakpadId": "", "codeId": null})
}

/// Blocks that were allocated or, with a negative `weight` in bytes, freed. Both of the same blocks have one `address`.
struct Entry {
    time_ns: u64,
    weight: i64,
    stack: u32,
    address: u32,
}

/// Those of each thread.
fn entries(selection: &Selection<'_>) -> Vec<Vec<Entry>> {
    let profile = selection.profile();
    let selected = selection.mask();
    let mut threads: Vec<Vec<Entry>> = profile.threads.iter().map(|_| Vec::new()).collect();
    let mut address = 0;
    for changes in profile.slices.changes.chunk_by(|a, b| a.row == b.row) {
        let at = changes.first().map_or(0, |change| change.row as usize);
        let row = profile.rows.get(at).filter(|_| selected.get(at) == Some(&true));
        let Some((row, entries)) = row.and_then(|row| Some((row, threads.get_mut(row.thread as usize)?))) else {
            continue;
        };
        row_entries(&profile.slices.bounds, changes, (row.stack.0, &mut address), entries);
    }
    threads
}

fn row_entries(bounds: &[u64], changes: &[Change], (stack, address): (u32, &mut u32), entries: &mut Vec<Entry>) {
    let start = |slice: u16| bounds.get(usize::from(slice)).copied().unwrap_or(0);
    // Inside its slice, behind all that is allocated in it.
    let middle = |slice: u16| {
        let end = bounds.get(usize::from(slice) + 1).copied().unwrap_or(u64::MAX);
        start(slice).midpoint(end.max(start(slice)))
    };
    let weight = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut allocate = |time_ns, bytes, freed: Option<u64>| {
        *address += 1;
        entries.push(Entry { time_ns, weight: weight(bytes), stack, address: *address });
        if let Some(time_ns) = freed {
            entries.push(Entry { time_ns, weight: -weight(bytes), stack, address: *address });
        }
    };
    let mut kept: FxHashMap<u16, u64> = FxHashMap::default();
    for change in changes.iter().filter(|change| change.what == What::Allocated) {
        let sum = kept.entry(change.slice).or_default();
        *sum = sum.saturating_add(change.bytes);
    }
    for change in changes.iter().filter(|change| change.what == What::Freed) {
        let Some(left) = kept.get_mut(&change.birth) else { continue };
        let bytes = change.bytes.min(*left);
        *left -= bytes;
        allocate(start(change.birth), bytes, Some(middle(change.slice)));
    }
    let mut kept: Vec<_> = kept.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
    kept.sort_unstable();
    for (slice, bytes) in kept {
        allocate(start(slice), bytes, None);
    }
}

/// Values over time: nanoseconds and bytes.
fn live(profile: &Profile, process: usize) -> Vec<(u64, u64)> {
    let values = profile.timeline.process_live.get(process).into_iter().flatten();
    let points = profile.timeline.points.iter().zip(values).map(|(point, bytes)| (point.time_ns, *bytes));
    std::iter::once((0, 0)).chain(points).collect()
}

fn resident(profile: &Profile, process: usize) -> Vec<(u64, u64)> {
    let points = profile.timeline.rss.iter().filter(|point| point.process as usize == process);
    let points = points.map(|point| (point.time_ns, point.anon_bytes.saturating_add(point.file_bytes)));
    std::iter::once((0, 0)).chain(points).collect()
}

/// Counters count changes.
fn counter(name: &str, process: &Process, main_thread: usize, points: &[(u64, u64)]) -> Value {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut before = 0;
    let change = |(_, bytes): &(u64, u64)| signed(*bytes) - std::mem::replace(&mut before, signed(*bytes));
    let counts: Vec<i64> = points.iter().map(change).collect();
    let times: Vec<f64> = points.iter().map(|point| ms(point.0)).collect();
    json!({
        "name": name,
        "category": "Memory",
        "description": if name == "RSS" { "Resident memory" } else { "Live heap bytes" },
        "pid": process.pid.to_string(),
        "mainThreadIndex": main_thread,
        "samples": {"time": times, "count": counts, "length": points.len()},
    })
}

/// The tables of one thread.
#[derive(Default)]
struct Tables {
    strings: FxHashMap<String, usize>,
    texts: Vec<String>,
    frames: FxHashMap<Option<FrameId>, usize>,
    frame_order: Vec<Option<FrameId>>,
    /// Frame and caller.
    nodes: FxHashMap<(usize, Option<usize>), usize>,
    node_order: Vec<(usize, Option<usize>)>,
    stacks: FxHashMap<u32, usize>,
}

impl Tables {
    fn string(&mut self, text: &str) -> usize {
        if let Some(&known) = self.strings.get(text) {
            return known;
        }
        self.strings.insert(text.to_owned(), self.texts.len());
        self.texts.push(text.to_owned());
        self.texts.len() - 1
    }

    fn node(&mut self, frame: Option<FrameId>, caller: Option<usize>) -> usize {
        let next = self.frame_order.len();
        let frame = *self.frames.entry(frame).or_insert_with(|| {
            self.frame_order.push(frame);
            next
        });
        let next = self.node_order.len();
        *self.nodes.entry((frame, caller)).or_insert_with(|| {
            self.node_order.push((frame, caller));
            next
        })
    }

    fn stack(&mut self, profile: &Profile, stack: u32) -> usize {
        if let Some(&known) = self.stacks.get(&stack) {
            return known;
        }
        let frames = profile.stacks.get(stack as usize).map_or(&[][..], |stack| &stack.frames);
        let mut node = None;
        for frame in frames.iter().rev() {
            node = Some(self.node(Some(*frame), node));
        }
        let node = node.unwrap_or_else(|| self.node(None, None));
        self.stacks.insert(stack, node);
        node
    }

    /// Frames and their functions, one function per name, file and module.
    fn frame_tables(&mut self, profile: &Profile) -> (Value, Value, Value) {
        let mut functions: FxHashMap<(usize, Option<usize>, Option<u32>), usize> = FxHashMap::default();
        let mut order = Vec::new();
        let mut resources: FxHashMap<u32, usize> = FxHashMap::default();
        let mut used = Vec::new();
        let (mut address, mut depth, mut category, mut function, mut line) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.frame_order) {
            let frame = id.and_then(|id| profile.frame(id));
            let name = frame.map_or(UNKNOWN.into(), |frame| profile.frame_name(frame));
            let file = frame.and_then(|frame| frame.file.as_deref()).map(|file| self.string(file));
            let key = (self.string(&name), file, frame.and_then(|frame| frame.module));
            let next = order.len();
            function.push(*functions.entry(key).or_insert_with(|| {
                order.push(key);
                next
            }));
            let kind = frame.map_or(FrameKind::Marker, |frame| frame.kind);
            let native = matches!(kind, FrameKind::Native | FrameKind::Inlined | FrameKind::Jit);
            address.push(frame.filter(|_| native).map_or(json!(-1), |frame| json!(frame.address.saturating_sub(1))));
            depth.push(u32::from(kind == FrameKind::Inlined));
            category.push(match kind {
                FrameKind::Native | FrameKind::Inlined => 1,
                FrameKind::Python | FrameKind::Task => 2,
                FrameKind::Jit => 3,
                FrameKind::Marker => 0,
            });
            line.push(frame.and_then(|frame| frame.line));
        }
        let count = function.len();
        let (nulls, zeros) = (vec![Value::Null; count], vec![0; count]);
        let frames = json!({
            "address": address, "inlineDepth": depth, "category": category, "subcategory": zeros, "func": function,
            "nativeSymbol": nulls, "innerWindowID": nulls, "implementation": nulls, "line": line, "column": nulls,
            "length": count,
        });
        let resource: Vec<Value> = order
            .iter()
            .map(|(_, _, module)| match module {
                None => json!(-1),
                Some(module) => {
                    let next = used.len();
                    json!(*resources.entry(*module).or_insert_with(|| {
                        used.push(*module);
                        next
                    }))
                }
            })
            .collect();
        let count = order.len();
        let (nulls, no) = (vec![Value::Null; count], vec![false; count]);
        let functions = json!({
            "name": order.iter().map(|key| key.0).collect::<Vec<_>>(), "isJS": no, "relevantForJS": no, "resource": resource,
            "fileName": order.iter().map(|key| key.1).collect::<Vec<_>>(), "lineNumber": nulls, "columnNumber": nulls,
            "length": count,
        });
        let path = |module: &u32| profile.modules.get(*module as usize).map_or("", |module| base_name(&module.path));
        let names: Vec<_> = used.iter().map(|module| self.string(path(module))).collect();
        // Resources of type 1 are libraries.
        let resources = json!({
            "lib": used, "name": names, "host": vec![Value::Null; used.len()], "type": vec![1; used.len()],
            "length": used.len(),
        });
        (frames, functions, resources)
    }
}

fn write_thread(
    out: &mut dyn io::Write,
    profile: &Profile,
    (process, thread, is_main): (&Process, &Thread, bool),
    entries: &[Entry],
) -> io::Result<()> {
    let mut tables = Tables::default();
    let stacks: Vec<usize> = entries.iter().map(|entry| tables.stack(profile, entry.stack)).collect();
    let (frames, functions, resources) = tables.frame_tables(profile);
    let nodes = &tables.node_order;
    let categories: Vec<Value> = nodes.iter().map(|(frame, _)| frames["category"][*frame].clone()).collect();
    let head = json!({
        "name": thread.name, "tid": thread.tid, "pid": process.pid.to_string(), "isMainThread": is_main,
        "processType": "default", "processName": base_name(&process.exe), "processStartupTime": ms(process.start_ns),
        "processShutdownTime": process.end_ns.map(ms), "registerTime": ms(process.start_ns), "unregisterTime": null,
        "pausedRanges": [],
        "samples": {"stack": [], "time": [], "weight": null, "weightType": "samples", "length": 0},
        "markers": {
            "data": [], "name": [], "startTime": [], "endTime": [], "phase": [], "category": [], "length": 0
        },
        "nativeSymbols": {"libIndex": [], "address": [], "name": [], "functionSize": [], "length": 0},
        "frameTable": frames, "funcTable": functions, "resourceTable": resources,
        "stackTable": {
            "frame": nodes.iter().map(|node| node.0).collect::<Vec<_>>(),
            "prefix": nodes.iter().map(|node| node.1).collect::<Vec<_>>(),
            "category": categories, "subcategory": vec![0; nodes.len()], "length": nodes.len(),
        },
        "stringArray": tables.texts,
    });
    let mut text = Vec::new();
    json_to(&mut text, &head)?;
    // The object goes on with the column that may be long.
    text.pop();
    out.write_all(&text)?;
    out.write_all(b",\"nativeAllocations\":{\"weightType\":\"bytes\"")?;
    column(out, "time", entries.iter().map(|entry| ms(entry.time_ns)))?;
    column(out, "weight", entries.iter().map(|entry| entry.weight))?;
    column(out, "stack", stacks.into_iter())?;
    column(out, "memoryAddress", entries.iter().map(|entry| entry.address))?;
    column(out, "threadId", entries.iter().map(|_| thread.tid))?;
    write!(out, ",\"length\":{}}}}}", entries.len())
}

fn column<T: Serialize>(out: &mut dyn io::Write, name: &str, values: impl Iterator<Item = T>) -> io::Result<()> {
    write!(out, ",\"{name}\":[")?;
    let mut separator = "";
    for value in values {
        out.write_all(separator.as_bytes())?;
        json_to(out, &value)?;
        separator = ",";
    }
    out.write_all(b"]")
}
