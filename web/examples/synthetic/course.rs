//! What rows did over time: births spread over the run, frees after them, what leaks left over. Each row's changes add up
//! to its numbers.

use tracker_core::replay::slices::What;
use tracker_core::report::profile::Row;
use tracker_core::report::slices::{Change, Slices};

use super::Random;

const SLICES: u16 = 126;
/// Slices in which a row allocates at most.
const BIRTHS: u64 = 6;

/// Slices of equal width over `run` nanoseconds.
pub(super) fn course(rows: &[Row], run: u64, random: &mut Random) -> Slices {
    let bounds = (0..=u64::from(SLICES)).map(|slice| run / u64::from(SLICES) * slice).collect();
    let mut changes = Vec::new();
    for (row, number) in rows.iter().zip(0..) {
        one(row, number, random, &mut changes);
    }
    changes.sort_unstable_by_key(|change: &Change| (change.row, change.slice, change.what, change.birth));
    changes.dedup_by(|next, first| {
        let same = (next.row, next.slice, next.what, next.birth) == (first.row, first.slice, first.what, first.birth);
        if same {
            first.blocks += next.blocks;
            first.bytes += next.bytes;
        }
        same
    });
    Slices::known(bounds, changes)
}

fn one(row: &Row, number: u32, random: &mut Random, changes: &mut Vec<Change>) {
    let metrics = &row.metrics;
    let births = metrics.allocations.clamp(1, BIRTHS);
    // Part `i` of a number that is split over the births.
    let part = |whole: u64, i: u64| whole * (i + 1) / births - whole * i / births;
    for i in 0..births {
        let slice = (i * u64::from(SLICES - 1) / BIRTHS) as u16 + random.below(usize::from(SLICES / 7)) as u16;
        let mut add = |what, slice: u16, birth, blocks, bytes| {
            if blocks > 0 {
                changes.push(Change { row: number, slice, birth, what, blocks, bytes });
            }
        };
        let all = (part(metrics.allocations, i), part(metrics.allocated_bytes, i));
        let kept = (part(metrics.leaked_blocks, i), part(metrics.leaked_bytes, i));
        let short = (part(metrics.temporary_allocations, i), part(metrics.temporary_bytes, i));
        add(What::Allocated, slice, slice, all.0, all.1);
        add(What::Temporary, slice, slice, short.0, short.1);
        let freed = (all.0.saturating_sub(kept.0), all.1.saturating_sub(kept.1));
        let at_once = (short.0.min(freed.0), short.1.min(freed.1));
        add(What::Freed, slice, slice, at_once.0, at_once.1);
        let later = (slice + 1 + random.below(20) as u16).min(SLICES - 1);
        add(What::Freed, later, slice, freed.0 - at_once.0, freed.1 - at_once.1);
    }
}
