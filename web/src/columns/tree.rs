//! The call tree and the numbers on it.
//!
//! Stacks are sorted by their frames, root first; then one pass over neighbours makes a tree in preorder, without a
//! table of nodes. Preorder is a promise to the page: a node's subtree follows it directly.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;
use tracker_core::report::name::base_name;
use tracker_core::report::profile::{Frame, Profile, Row, Stack, StackId};
use tracker_core::report::suppress::Applied;

use super::{Deltas, number};
use crate::kinds::{Kind, classify, is_interpreter};

/// What is called. The first functions are the processes themselves, in their order.
#[derive(Debug, Default, Serialize)]
pub struct Functions {
    /// Number of a string.
    pub name: Vec<u32>,
    /// Number of a string: the module's path.
    pub module: Vec<u32>,
    pub kind: Vec<Kind>,
    /// 1 when its bytes say more about its caller: allocators and standard libraries.
    pub library: Vec<u8>,
    /// 1 when it belongs to an interpreter: in stacks with the frames of the program that it runs, it is plumbing.
    pub interpreter: Vec<u8>,
}

/// Where it is called: a function at a line. The first frames are the processes themselves.
#[derive(Debug, Default, Serialize)]
pub struct Frames {
    pub function: Vec<u32>,
    /// Number of a string.
    pub file: Vec<u32>,
    /// 0 when not known.
    pub line: Vec<u32>,
}

/// The tree, in preorder.
#[derive(Debug, Default, Serialize)]
pub struct Nodes {
    /// How far before a node its parent stands; 0 for the roots.
    pub up: Vec<u32>,
    pub frame: Vec<u32>,
}

/// The numbers, by node and thread.
#[derive(Debug, Default, Serialize)]
pub struct Rows {
    pub node: Deltas,
    /// Position among the threads.
    pub thread: Vec<u32>,
    /// Number of a string: the function that handed the blocks out, or 0 when that is not known.
    pub allocator: Vec<u32>,
    pub allocations: Vec<u64>,
    pub allocated_bytes: Vec<u64>,
    pub temporary: Sparse,
    /// Live at the capture's peak.
    pub peak: Sparse,
    /// Live at the peak of the row's process; absent when it is the same everywhere.
    pub process_peak: Option<Sparse>,
    pub leaked: Sparse,
    /// For each row of `leaked`: first and last allocation.
    pub leaked_first_ns: Vec<u64>,
    pub leaked_last_ns: Vec<u64>,
    /// Number of a string: the rule that sets the leak apart as one nobody wants to hear about, or 0.
    pub leaked_rule: Vec<u32>,
}

/// Two numbers for the rows that have them.
#[derive(Debug, Default, Serialize)]
pub struct Sparse {
    /// Number of the row.
    pub row: Deltas,
    pub blocks: Vec<u64>,
    pub bytes: Vec<u64>,
}

impl Sparse {
    fn push(&mut self, row: usize, blocks: u64, bytes: u64) -> bool {
        let present = blocks != 0 || bytes != 0;
        if present {
            self.row.push(row as u64);
            self.blocks.push(number(blocks));
            self.bytes.push(number(bytes));
        }
        present
    }
}

/// The parts of the page's data that are made together.
pub(super) struct Tree {
    pub(super) strings: Vec<String>,
    pub(super) functions: Functions,
    pub(super) frames: Frames,
    pub(super) nodes: Nodes,
    pub(super) rows: Rows,
    /// For each of the page's rows, which one of the profile it is.
    pub(super) origins: Vec<u32>,
}

impl Tree {
    pub(super) fn new(profile: &Profile, suppressed: &Applied<'_>) -> Self {
        let mut names = Names::new();
        for process in &profile.processes {
            // The line keeps processes of one name apart.
            let label = format!("{} {} {}", process.index, base_name(&process.exe), process.pid);
            names.process(&label, process.index);
        }
        let frame_numbers: Vec<u32> = profile.frames.iter().map(|frame| names.frame(profile, frame)).collect();
        let order = Order::new(profile, &frame_numbers, names.unknown_frame());

        let mut rows: Vec<(&Row, u32)> =
            profile.rows.iter().zip(0..).filter(|(row, _)| order.knows(profile, row)).collect();
        rows.sort_unstable_by_key(|(row, _)| (row.process, order.rank(row.stack), row.thread));

        let mut growth = Growth::default();
        let mut columns = Rows::default();
        let mut process_peak = Sparse::default();
        for (at, (row, _)) in rows.iter().enumerate() {
            let node = growth.node(row.process, order.path(profile, row.stack));
            let metrics = &row.metrics;
            columns.node.push(u64::from(node));
            columns.thread.push(row.thread);
            let function = profile.stacks.get(row.stack.0 as usize).and_then(|stack| stack.function);
            columns.allocator.push(function.map_or(0, |function| names.string(function.name())));
            columns.allocations.push(number(metrics.allocations));
            columns.allocated_bytes.push(number(metrics.allocated_bytes));
            columns.temporary.push(at, metrics.temporary_allocations, metrics.temporary_bytes);
            columns.peak.push(at, metrics.peak_blocks, metrics.peak_bytes);
            process_peak.push(at, metrics.process_peak_blocks, metrics.process_peak_bytes);
            if columns.leaked.push(at, metrics.leaked_blocks, metrics.leaked_bytes) {
                columns.leaked_first_ns.push(number(row.first_ns));
                columns.leaked_last_ns.push(number(row.last_ns));
                columns.leaked_rule.push(suppressed.rule(row).map_or(0, |rule| names.string(rule)));
            }
        }
        let same = rows.iter().all(|(row, _)| {
            let metrics = &row.metrics;
            (metrics.peak_blocks, metrics.peak_bytes) == (metrics.process_peak_blocks, metrics.process_peak_bytes)
        });
        columns.process_peak = (!same).then_some(process_peak);
        let (strings, functions, frames) = names.into_columns();
        Self {
            strings,
            functions,
            frames,
            nodes: growth.nodes,
            rows: columns,
            origins: rows.iter().map(|&(_, origin)| origin).collect(),
        }
    }
}

/// Distinct values and their numbers, in order of first sight.
struct Numbered<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn new() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new() }
    }

    /// The value's number, and whether it is new.
    fn number(&mut self, value: T) -> (u32, bool) {
        let next = self.values.len() as u32;
        let number = *self.numbers.entry(value.clone()).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        (number, number == next)
    }
}

/// Frames of the profile as distinct (function, file, line): addresses on one line are one frame here.
pub(super) struct Names {
    strings: Numbered<String>,
    distinct_functions: Numbered<(u32, u32, Kind, bool)>,
    distinct_frames: Numbered<(u32, u32, u32)>,
    functions: Functions,
    frames: Frames,
}

impl Names {
    pub(super) fn new() -> Self {
        let mut names = Self {
            strings: Numbered::new(),
            distinct_functions: Numbered::new(),
            distinct_frames: Numbered::new(),
            functions: Functions::default(),
            frames: Frames::default(),
        };
        names.strings.number(String::new());
        names
    }

    /// The root of a tree.
    pub(super) fn process(&mut self, label: &str, line: u32) -> u32 {
        let function = self.function(label, "", Kind::Process, false);
        self.push_frame(function, "", line)
    }

    fn string(&mut self, text: &str) -> u32 {
        match self.strings.numbers.get(text) {
            Some(&number) => number,
            None => self.strings.number(text.to_owned()).0,
        }
    }

    fn function(&mut self, name: &str, module: &str, kind: Kind, library: bool) -> u32 {
        let path = module;
        let (name, module) = (self.string(name), self.string(path));
        let (number, new) = self.distinct_functions.number((name, module, kind, library));
        if new {
            self.functions.name.push(name);
            self.functions.module.push(module);
            self.functions.kind.push(kind);
            self.functions.library.push(u8::from(library));
            let plumbing = matches!(kind, Kind::Native | Kind::Inlined | Kind::Allocator | Kind::Unknown);
            self.functions.interpreter.push(u8::from(plumbing && is_interpreter(base_name(path))));
        }
        number
    }

    fn push_frame(&mut self, function: u32, file: &str, line: u32) -> u32 {
        let file = self.string(file);
        let (number, new) = self.distinct_frames.number((function, file, line));
        if new {
            self.frames.function.push(function);
            self.frames.file.push(file);
            self.frames.line.push(line);
        }
        number
    }

    fn frame(&mut self, profile: &Profile, frame: &Frame) -> u32 {
        self.named_frame(profile, frame, &profile.frame_name(frame), frame.line.unwrap_or(0))
    }

    /// A frame under a name that the caller gives to its function.
    pub(super) fn named_frame(&mut self, profile: &Profile, frame: &Frame, name: &str, line: u32) -> u32 {
        let module = profile.module_path(frame);
        let (kind, library) = classify(frame.kind, frame.function.as_deref(), module, frame.file.as_deref());
        let function = self.function(name, module.unwrap_or(""), kind, library);
        self.push_frame(function, frame.file.as_deref().unwrap_or(""), line)
    }

    /// What the page is given of them.
    pub(super) fn into_columns(self) -> (Vec<String>, Functions, Frames) {
        (self.strings.values, self.functions, self.frames)
    }

    /// Stands for a frame number that the profile does not have.
    pub(super) fn unknown_frame(&mut self) -> u32 {
        let function = self.function("[unknown]", "", Kind::Unknown, false);
        self.push_frame(function, "", 0)
    }
}

/// The stacks sorted by their frames, root first.
struct Order<'a> {
    frame_numbers: &'a [u32],
    unknown: u32,
    ranks: Vec<u32>,
}

impl<'a> Order<'a> {
    fn new(profile: &Profile, frame_numbers: &'a [u32], unknown: u32) -> Self {
        let mut order = Self { frame_numbers, unknown, ranks: Vec::new() };
        let mut sorted: Vec<u32> = (0..profile.stacks.len() as u32).collect();
        sorted.sort_by(|&left, &right| order.compare(profile, StackId(left), StackId(right)));
        order.ranks = vec![0; sorted.len()];
        for (rank, &stack) in sorted.iter().enumerate() {
            if let Some(slot) = order.ranks.get_mut(stack as usize) {
                *slot = rank as u32;
            }
        }
        order
    }

    fn compare(&self, profile: &Profile, left: StackId, right: StackId) -> Ordering {
        self.path(profile, left).cmp(self.path(profile, right))
    }

    /// The stack's frames as the page numbers them, root first.
    fn path<'p>(&'p self, profile: &'p Profile, stack: StackId) -> impl Iterator<Item = u32> + 'p {
        let frames = profile.stacks.get(stack.0 as usize).map_or(&[][..], |stack: &Stack| &stack.frames);
        frames.iter().rev().map(|frame| self.frame_numbers.get(frame.0 as usize).copied().unwrap_or(self.unknown))
    }

    fn rank(&self, stack: StackId) -> u32 {
        self.ranks.get(stack.0 as usize).copied().unwrap_or(u32::MAX)
    }

    fn knows(&self, profile: &Profile, row: &Row) -> bool {
        (row.stack.0 as usize) < self.ranks.len() && (row.process as usize) < profile.processes.len()
    }
}

/// The tree while it grows: the path to the newest node.
#[derive(Default)]
pub(super) struct Growth {
    pub(super) nodes: Nodes,
    /// (frame, node), the process first.
    path: Vec<(u32, u32)>,
}

impl Growth {
    /// The node of a stack. Stacks come in order, so a common beginning is always the newest path's.
    pub(super) fn node(&mut self, process: u32, stack: impl Iterator<Item = u32>) -> u32 {
        let mut depth = 0;
        for frame in std::iter::once(process).chain(stack) {
            if self.path.get(depth).is_none_or(|&(known, _)| known != frame) {
                self.path.truncate(depth);
                let node = self.nodes.frame.len() as u32;
                let parent = self.path.last().map_or(node, |&(_, parent)| parent);
                self.nodes.up.push(node - parent);
                self.nodes.frame.push(frame);
                self.path.push((frame, node));
            }
            depth += 1;
        }
        self.path.truncate(depth);
        self.path.last().map_or(0, |&(_, node)| node)
    }
}
