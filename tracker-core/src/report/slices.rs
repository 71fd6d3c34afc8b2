//! A profile over time: what each row did in each slice, and what that says of a range of time.
//!
//! Three questions are answered for a range: what was allocated in it, what of that was still live at its end, and what
//! was live at its end altogether. An event belongs to the slice that its time lies in, one at a bound to the later; the
//! last slice has its end, too. A block that its image leaves behind is *live at the end* of a range if the image
//! ended in it after the block was allocated in it (it leaked), but at no later moment.

use std::ops::Range;

use super::profile::Metrics;
use crate::replay::slices::Sliced;
pub use crate::replay::slices::What;
use crate::replay::{heap::Amount, slices};

/// What happened to blocks of one row in one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Index into [`Profile::rows`](super::profile::Profile::rows).
    pub row: u32,
    /// Where it happened, as a slice's number.
    pub slice: u16,
    /// The slice in which the blocks were allocated, where they were freed; else `slice` again.
    pub birth: u16,
    pub what: What,
    pub blocks: u64,
    pub bytes: u64,
}

impl Change {
    /// What changes are in order of. Those with equal keys can be [joined](Self::join).
    pub const fn key(&self) -> (u32, u16, What, u16) {
        (self.row, self.slice, self.what, self.birth)
    }

    /// Makes one of neighbours with equal keys.
    pub fn join(changes: &mut Vec<Self>) {
        changes.dedup_by(|next, first| {
            let same = next.key() == first.key();
            if same {
                first.blocks = first.blocks.saturating_add(next.blocks);
                first.bytes = first.bytes.saturating_add(next.bytes);
            }
            same
        });
    }
}

/// The capture cut into slices of time, at most 512. [`Self::window`] shows how to sum changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slices {
    /// Where slices begin, ascending from 0, and, one more, where the last one ends. Nanoseconds since the start.
    pub bounds: Vec<u64>,
    /// By row, slice, what and birth, each combination once.
    pub changes: Vec<Change>,
    /// What the replay's rows have become: rows of the profile.
    pub(super) origins: Vec<Option<u32>>,
}

impl Slices {
    /// Those of a replay whose rows have become these rows of a profile.
    pub(super) fn new(sliced: Sliced, origins: Vec<Option<u32>>) -> Self {
        let row = |change: &slices::Change| *origins.get(change.row() as usize)?;
        // From the order of time to that of rows, by counting, which keeps that of time in each row.
        let rows = origins.iter().flatten().max().map_or(0, |last| *last as usize + 1);
        let mut places = vec![0; rows + 1];
        for row in sliced.changes.iter().filter_map(row) {
            if let Some(next) = places.get_mut(row as usize + 1) {
                *next += 1;
            }
        }
        let mut count = 0;
        places.iter_mut().for_each(|place| {
            count += *place;
            *place = count;
        });
        let mut changes = vec![Change::default(); count];
        for change in &sliced.changes {
            let Some((row, place)) = row(change).and_then(|row| Some((row, places.get_mut(row as usize)?))) else {
                continue;
            };
            if let Some(entry) = changes.get_mut(*place) {
                let (slice, what, birth) = (change.slice(), change.what(), change.birth());
                let Amount { blocks, bytes } = change.amount;
                *entry = Change { row, slice, birth, what, blocks, bytes };
                *place += 1;
            }
        }
        for row in changes.chunk_by_mut(|a, b| a.row == b.row).filter(|row| !row.is_sorted_by_key(Change::key)) {
            row.sort_by_key(Change::key);
        }
        Change::join(&mut changes);
        Self { bounds: sliced.bounds, changes, origins }
    }

    /// Slices that no replay made. Changes come by row, slice, what and birth, each combination once.
    pub const fn known(bounds: Vec<u64>, changes: Vec<Change>) -> Self {
        Self { bounds, changes, origins: Vec::new() }
    }

    /// The same rows cut at other times, which another replay found.
    pub(super) fn recut(&self, sliced: Sliced) -> Self {
        Self::new(sliced, self.origins.clone())
    }

    /// The first of these slices, and behind them the second of a replay that was cut where they end: for questions about what
    /// was from the start on.
    pub(super) fn followed_by(&self, first: u16, sliced: Sliced) -> Self {
        let mut changes: Vec<Change> = self.changes.iter().filter(|change| change.slice < first).copied().collect();
        let last = self.recut(sliced).changes.into_iter().filter(|change| change.slice == 1);
        // The replay does not know in which of the slices before its own a block was allocated.
        let at = |change: Change| {
            let birth = if change.birth == change.slice { first } else { 0 };
            Change { slice: first, birth, ..change }
        };
        changes.extend(last.map(at));
        changes.sort_by_key(Change::key);
        Change::join(&mut changes);
        Self { bounds: Vec::new(), changes, origins: Vec::new() }
    }

    /// How many rows the replay had.
    pub(super) fn rows_of_replay(&self) -> usize {
        self.origins.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// Whether there are none: the profile was not made from a capture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of all rows in a range of slices. `rows` is how many the profile has.
    pub fn window(&self, range: Range<usize>, rows: usize) -> Window {
        let mut window = Window { rows: vec![Metrics::default(); rows] };
        let before = |slice: u16| usize::from(slice) < range.end;
        let inside = |slice: u16| usize::from(slice) >= range.start && before(slice);
        for change in &self.changes {
            let Some(row) = window.rows.get_mut(change.row as usize) else { continue };
            let &Change { blocks, bytes, slice, birth, .. } = change;
            let [allocated, temporary, kept, live] = [
                (&mut row.allocations, &mut row.allocated_bytes),
                (&mut row.temporary_allocations, &mut row.temporary_bytes),
                (&mut row.leaked_blocks, &mut row.leaked_bytes),
                (&mut row.peak_blocks, &mut row.peak_bytes),
            ];
            // By row and slice, so nothing is taken away before it was there.
            match change.what {
                What::Allocated => {
                    for (sum, applies) in [(allocated, inside(slice)), (kept, inside(slice)), (live, before(slice))] {
                        if applies {
                            *sum.0 = sum.0.saturating_add(blocks);
                            *sum.1 = sum.1.saturating_add(bytes);
                        }
                    }
                }
                What::Temporary if inside(birth) && before(slice) => {
                    *temporary.0 = temporary.0.saturating_add(blocks);
                    *temporary.1 = temporary.1.saturating_add(bytes);
                }
                What::Freed | What::Ended => {
                    let freed = change.what == What::Freed;
                    for (sum, applies) in [(kept, freed && inside(birth) && before(slice)), (live, before(slice))] {
                        if applies {
                            *sum.0 = sum.0.saturating_sub(blocks);
                            *sum.1 = sum.1.saturating_sub(bytes);
                        }
                    }
                }
                What::Temporary => {}
            }
        }
        for row in &mut window.rows {
            (row.process_peak_blocks, row.process_peak_bytes) = (row.peak_blocks, row.peak_bytes);
        }
        window
    }
}

/// The numbers of a range of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// For each row of the profile. *allocations*, *allocated*: of the range; *temporary*: of these, freed in it, too;
    /// *leaked*: of these, not freed in it; *peak*: live at its end. Nothing behind a range's end decides what is in it.
    pub rows: Vec<Metrics>,
}
