//! Stacks with the numbers of one question, largest first: what leaks, what made the peak, what churns.

use rustc_hash::FxHashMap;
use serde::Serialize;

use super::filter::Selection;
use super::metric::Metric;
use super::profile::{Row, Stack, StackId};
use super::suppress::Applied;
use crate::format::Function;

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

    /// Whether suppressions set a part of it apart.
    pub const fn is_suppressed(self) -> bool {
        matches!(self, Self::Leaks)
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
    /// By the largest single allocation.
    Largest,
}

/// One stack and its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub stack: StackId,
    pub bytes: u64,
    pub blocks: u64,
    /// Allocations of this stack, for comparison.
    pub allocations: u64,
    /// Most bytes of one of them, in all of the capture's time.
    pub largest_bytes: u64,
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
    /// Its bytes and blocks are leaks.
    pub leaked: bool,
}

/// What becomes of the blocks of a stack that leaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fate {
    pub freed: Freed,
    /// Blocks that leaked per minute, between the first and the last of them; `None` when they are no two moments.
    pub blocks_per_minute: Option<f64>,
}

/// How many of a stack's blocks were freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// None of them.
    Never,
    /// Half of them at most.
    Sometimes,
    /// More than that: what is left is the exception.
    Usually,
}

impl Freed {
    /// The word for it, in text and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Sometimes => "sometimes",
            Self::Usually => "usually",
        }
    }
}

impl Entry {
    /// What becomes of its blocks, where they are leaks.
    pub fn fate(&self) -> Option<Fate> {
        let freed = match self.allocations.saturating_sub(self.blocks) {
            0 => Freed::Never,
            freed if freed <= self.blocks => Freed::Sometimes,
            _ => Freed::Usually,
        };
        let minutes = self.last_ns.saturating_sub(self.first_ns) as f64 / 60e9;
        let blocks_per_minute = (self.blocks > 1 && minutes > 0.0).then(|| (self.blocks - 1) as f64 / minutes);
        (self.leaked && self.blocks > 0).then_some(Fate { freed, blocks_per_minute })
    }
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

    fn plus(&self, other: &Self) -> Self {
        Self {
            stacks: self.stacks.saturating_add(other.stacks),
            bytes: self.bytes.saturating_add(other.bytes),
            blocks: self.blocks.saturating_add(other.blocks),
        }
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
    /// What of `sum` are arenas of Python's small objects: blocks that hold other blocks, which were not recorded.
    pub arenas: Sum,
}

impl<'p> Report<'p> {
    /// Builds the report, with suppressions that are decided for the selection's profile.
    pub fn new(selection: Selection<'p>, kind: Kind, limits: &Limits, applied: &Applied<'_>) -> Self {
        let mut shown = Vec::new();
        let mut suppressed: FxHashMap<&str, Vec<&Row>> = FxHashMap::default();
        for &row in selection.rows() {
            if kind.blocks(&selection, row) == 0 && kind.bytes(&selection, row) == 0 {
                continue;
            }
            match applied.rule(row).filter(|_| kind.is_suppressed()) {
                Some(rule) => suppressed.entry(rule).or_default().push(row),
                None => shown.push(row),
            }
        }
        let mut entries = group(&selection, kind, limits, &shown);
        let sum = Sum::of(&entries);
        let is_arena = |entry: &&Entry| {
            let stack = selection.profile().stacks.get(entry.stack.0 as usize);
            stack.is_some_and(|stack| stack.function == Some(Function::PythonArena))
        };
        let arenas = entries.iter().filter(is_arena).fold(Sum::default(), |mut sum, entry| {
            sum.add(entry);
            sum
        });
        entries.retain(|entry| entry.bytes >= limits.min_bytes);
        entries.truncate(limits.count.unwrap_or(usize::MAX));
        let hidden = sum.minus(&Sum::of(&entries));

        let apart = |(rule, rows): (&str, Vec<&Row>)| {
            let entries = group(&selection, kind, limits, &rows);
            Suppressed { rule: rule.to_owned(), sum: Sum::of(&entries), entries }
        };
        let mut suppressed: Vec<_> = suppressed.into_iter().map(apart).collect();
        suppressed.sort_by(|a, b| (b.sum.bytes, &a.rule).cmp(&(a.sum.bytes, &b.rule)));
        Self { selection, kind, entries, sum, hidden, suppressed, arenas }
    }

    /// The stack of an entry.
    pub fn stack(&self, entry: &Entry) -> Option<&'p Stack> {
        self.selection.profile().stacks.get(entry.stack.0 as usize)
    }

    /// The sum of everything, suppressed entries too: what the summary says.
    pub fn total(&self) -> Sum {
        self.sum.plus(&self.suppressed_sum())
    }

    /// The sum of everything suppressed.
    pub fn suppressed_sum(&self) -> Sum {
        self.suppressed.iter().fold(Sum::default(), |sum, suppressed| sum.plus(&suppressed.sum))
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
                entry.largest_bytes = entry.largest_bytes.max(row.largest_bytes);
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
                largest_bytes: row.largest_bytes,
                first_ns: row.first_ns,
                last_ns: row.last_ns,
                process: row.process,
                thread: row.thread,
                threads: 1,
                processes: 1,
                leaked: kind == Kind::Leaks,
            }),
        }
    }
    let size = |entry: &Entry| match limits.order {
        Order::Bytes => (entry.bytes, entry.blocks),
        Order::Blocks => (entry.blocks, entry.bytes),
        Order::Largest => (entry.largest_bytes, entry.bytes),
    };
    // Stable: equal entries stay in the order of their stacks.
    entries.sort_by_key(|entry| std::cmp::Reverse(size(entry)));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::profile::Profile;
    use crate::report::sketch::{Numbers, Sketch};
    use crate::report::suppress::Suppressions;

    fn profile() -> Profile {
        let leak = |blocks, bytes| Numbers {
            allocated: (blocks + 1, bytes + 100),
            leaked: (blocks, bytes),
            largest: bytes + 100,
            seen: (blocks, blocks * 10),
            ..Numbers::default()
        };
        Sketch::new("./app")
            .row("malloc: small main", leak(9, 90))
            .row("malloc: large main", leak(1, 1000))
            .row("malloc: nothing main", leak(0, 0))
            .row("malloc: empty main", leak(2, 0))
            .row("malloc: known main", leak(3, 300))
            .thread("worker")
            .row("malloc: small main", leak(5, 50))
            .build()
    }

    /// One line per entry, then what is hidden and suppressed.
    #[track_caller]
    fn check(kind: Kind, limits: Limits, expected: &str) {
        let profile = profile();
        let mut suppressions = Suppressions::none();
        suppressions.add_file("x.supp", "leak:known").unwrap();
        let report = Report::new(Selection::whole(&profile), kind, &limits, &suppressions.apply(&profile).unwrap());
        let mut text = String::new();
        for entry in &report.entries {
            let stack = report.stack(entry).and_then(|stack| profile.blamed(stack)).unwrap();
            let Entry { bytes, blocks, first_ns, last_ns, threads, .. } = entry;
            let name = profile.frame_name(stack);
            text += &format!("{name} {bytes}/{blocks} {first_ns}-{last_ns} x{threads}; ");
        }
        let apart = report.suppressed_sum();
        text += &format!(
            "hidden {}/{}, suppressed {}/{}",
            report.hidden.bytes, report.hidden.blocks, apart.bytes, apart.blocks
        );
        assert_eq!(text, expected);
        let sum = report.total().bytes;
        let total = profile.rows.iter().map(|row| kind.bytes(&report.selection, row)).sum::<u64>();
        assert_eq!(sum, total, "every view sums to the total");
    }

    #[test]
    fn the_largest_come_first() {
        let all = Limits::default();
        check(
            Kind::Leaks,
            all,
            "large 1000/1 1-10 x1; small 140/14 5-90 x2; empty 0/2 2-20 x1; hidden 0/0, suppressed 300/3",
        );
        let by_blocks = Limits { order: Order::Blocks, count: Some(2), ..all };
        let largest = Limits { order: Order::Largest, count: Some(1), ..all };
        check(Kind::Leaks, largest, "large 1000/1 1-10 x1; hidden 140/16, suppressed 300/3");
        check(Kind::Leaks, by_blocks, "small 140/14 5-90 x2; empty 0/2 2-20 x1; hidden 1000/1, suppressed 300/3");
        let large = Limits { min_bytes: 140, grouping: Grouping::Thread, ..all };
        check(Kind::Leaks, large, "large 1000/1 1-10 x1; hidden 140/16, suppressed 300/3");
    }

    #[test]
    fn what_becomes_of_blocks() {
        const SECOND: u64 = 1_000_000_000;
        for (blocks, allocations, seconds, freed, rate) in [
            (1, 1, 0, Freed::Never, None),
            (7, 7, 3, Freed::Never, Some(120.0)),
            (3, 6, 0, Freed::Sometimes, None),
            (3, 7, 60, Freed::Usually, Some(2.0)),
        ] {
            let numbers = Numbers {
                allocated: (allocations, 1),
                leaked: (blocks, 1),
                seen: (SECOND, (1 + seconds) * SECOND),
                ..Numbers::default()
            };
            let profile = Sketch::new("./app").row("malloc: main", numbers).build();
            let whole = Selection::whole(&profile);
            let report = Report::new(whole, Kind::Leaks, &Limits::default(), &Applied::default());
            let fate = Some(Fate { freed, blocks_per_minute: rate });
            assert_eq!(report.entries[0].fate(), fate, "{blocks} of {allocations}");
        }
    }

    #[test]
    fn only_leaks_are_suppressed() {
        let two = Limits { count: Some(2), ..Limits::default() };
        check(Kind::Allocations, two, "large 1100/2 1-10 x1; known 400/4 3-30 x1; hidden 540/20, suppressed 0/0");
        check(Kind::Peak, two, "hidden 0/0, suppressed 0/0");
    }
}
