//! Stacks with the numbers of one question, largest first: what leaks, what made the peak, what churns.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::filter::Selection;
use super::metric::Metric;
use super::profile::{Row, Stack, StackId};
use super::suppress::Suppressions;

/// The question a report answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Leaks,
    Peak,
    Temporary,
    Allocations,
}

impl Kind {
    /// Its name in flags and schemas.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leaks => "leaks",
            Self::Peak => "peak",
            Self::Temporary => "temporary",
            Self::Allocations => "allocations",
        }
    }

    fn bytes(self, selection: &Selection<'_>, row: &Row) -> u64 {
        match self {
            Self::Leaks => row.metrics.leaked_bytes,
            Self::Peak => selection.value(Metric::Peak, row),
            Self::Temporary => row.metrics.temporary_bytes,
            Self::Allocations => row.metrics.allocated_bytes,
        }
    }

    fn blocks(self, selection: &Selection<'_>, row: &Row) -> u64 {
        let metric = match self {
            Self::Leaks => Metric::LeakedBlocks,
            Self::Peak => Metric::PeakBlocks,
            Self::Temporary => Metric::Temporary,
            Self::Allocations => Metric::Allocations,
        };
        selection.value(metric, row)
    }
}

/// What becomes one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grouping {
    /// A stack, whichever threads and processes it occurs in.
    #[default]
    Stack,
    /// A stack in one thread of one process.
    Thread,
}

/// What makes an entry large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Bytes,
    Blocks,
}

/// One stack and its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub stack: StackId,
    pub bytes: u64,
    pub blocks: u64,
    /// Allocations of this stack, for comparison.
    pub allocations: u64,
    pub first_ns: u64,
    pub last_ns: u64,
    /// Index into the profile's processes; one of them when there are several.
    pub process: u32,
    /// Index into the profile's threads; one of them when there are several.
    pub thread: u32,
    /// Threads it occurs in.
    pub threads: u32,
    /// Processes it occurs in.
    pub processes: u32,
}

/// A number of stacks, summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sum {
    pub stacks: u64,
    pub bytes: u64,
    pub blocks: u64,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.stacks += 1;
        self.bytes = self.bytes.saturating_add(entry.bytes);
        self.blocks = self.blocks.saturating_add(entry.blocks);
    }

    fn minus(&self, part: &Self) -> Self {
        Self {
            stacks: self.stacks.saturating_sub(part.stacks),
            bytes: self.bytes.saturating_sub(part.bytes),
            blocks: self.blocks.saturating_sub(part.blocks),
        }
    }

    fn of(entries: &[Entry]) -> Self {
        let mut sum = Self::default();
        entries.iter().for_each(|entry| sum.add(entry));
        sum
    }
}

/// How much of a report is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub grouping: Grouping,
    pub order: Order,
    /// Most entries; the rest is summed in [`Report::hidden`].
    pub count: Option<usize>,
    /// Smallest entry in bytes.
    pub min_bytes: u64,
}

/// Leaks that one suppression sets apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    pub rule: String,
    pub entries: Vec<Entry>,
    pub sum: Sum,
}

/// Stacks by size. `shown + hidden + suppressed` is the selection's sum.
#[derive(Debug, Clone)]
pub struct Report<'p> {
    pub selection: Selection<'p>,
    pub kind: Kind,
    pub entries: Vec<Entry>,
    /// Of all entries, hidden ones too; suppressed ones not.
    pub sum: Sum,
    /// What the limits left out.
    pub hidden: Sum,
    /// Largest first.
    pub suppressed: Vec<Suppressed>,
}

impl<'p> Report<'p> {
    /// Builds the report. Suppressions concern leaks only.
    pub fn new(selection: Selection<'p>, kind: Kind, limits: &Limits, suppressions: &Suppressions) -> Self {
        let mut shown = Vec::new();
        let mut suppressed: FxHashMap<&str, Vec<&Row>> = FxHashMap::default();
        let applied = (kind == Kind::Leaks).then(|| suppressions.apply(selection.profile()));
        for &row in selection.rows() {
            if kind.blocks(&selection, row) == 0 && kind.bytes(&selection, row) == 0 {
                continue;
            }
            match applied.as_ref().and_then(|applied| applied.rule(row)) {
                Some(rule) => suppressed.entry(rule).or_default().push(row),
                None => shown.push(row),
            }
        }
        let mut entries = group(&selection, kind, limits, &shown);
        let sum = Sum::of(&entries);
        entries.retain(|entry| entry.bytes >= limits.min_bytes);
        entries.truncate(limits.count.unwrap_or(usize::MAX));
        let hidden = sum.minus(&Sum::of(&entries));

        let apart = |(rule, rows): (&str, Vec<&Row>)| {
            let entries = group(&selection, kind, limits, &rows);
            Suppressed { rule: rule.to_owned(), sum: Sum::of(&entries), entries }
        };
        let mut suppressed: Vec<_> = suppressed.into_iter().map(apart).collect();
        suppressed.sort_by(|a, b| (b.sum.bytes, &a.rule).cmp(&(a.sum.bytes, &b.rule)));
        Self { selection, kind, entries, sum, hidden, suppressed }
    }

    /// The stack of an entry.
    pub fn stack(&self, entry: &Entry) -> Option<&'p Stack> {
        self.selection.profile().stacks.get(entry.stack.0 as usize)
    }

    /// The sum of everything suppressed.
    pub fn suppressed_sum(&self) -> Sum {
        let mut sum = Sum::default();
        for suppressed in &self.suppressed {
            suppressed.entries.iter().for_each(|entry| sum.add(entry));
        }
        sum
    }
}

fn group(selection: &Selection<'_>, kind: Kind, limits: &Limits, rows: &[&Row]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut sorted = rows.to_vec();
    sorted.sort_unstable_by_key(|row| (row.stack, row.process, row.thread));
    for row in sorted {
        let bytes = kind.bytes(selection, row);
        let blocks = kind.blocks(selection, row);
        match entries.last_mut().filter(|e| limits.grouping == Grouping::Stack && e.stack == row.stack) {
            Some(entry) => {
                entry.bytes = entry.bytes.saturating_add(bytes);
                entry.blocks = entry.blocks.saturating_add(blocks);
                entry.allocations = entry.allocations.saturating_add(row.metrics.allocations);
                entry.first_ns = entry.first_ns.min(row.first_ns);
                entry.last_ns = entry.last_ns.max(row.last_ns);
                entry.threads += 1;
                // Rows come by process, so a new one is met once.
                if entry.process != row.process {
                    entry.processes += 1;
                    entry.process = row.process;
                }
            }
            None => entries.push(Entry {
                stack: row.stack,
                bytes,
                blocks,
                allocations: row.metrics.allocations,
                first_ns: row.first_ns,
                last_ns: row.last_ns,
                process: row.process,
                thread: row.thread,
                threads: 1,
                processes: 1,
            }),
        }
    }
    let size = |entry: &Entry| match limits.order {
        Order::Bytes => (entry.bytes, entry.blocks),
        Order::Blocks => (entry.blocks, entry.bytes),
    };
    // Stable: equal entries stay in the order of their stacks.
    entries.sort_by_key(|entry| std::cmp::Reverse(size(entry)));
    entries
}
