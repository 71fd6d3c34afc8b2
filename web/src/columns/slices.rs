//! What rows did in each slice of time, so that the page can answer for any range without asking.

use serde::Serialize;
use tracker_core::replay::slices::What;
use tracker_core::report::slices::{self as report, Change};

use super::{Deltas, number};

/// Most changes that travel: ranges get coarser instead of pages heavier. A change takes about five bytes compressed.
const MOST: usize = 1_000_000;

/// Changes by row, slice, what and birth.
#[derive(Debug, Default, Serialize)]
pub struct Slices {
    /// Where slices begin and, one more, where the last ends.
    pub bounds_ns: Deltas,
    /// How many changes each row has.
    pub changes: Vec<u32>,
    /// Ascending within a row, as differences.
    pub slice: Vec<u16>,
    /// 0 allocated, 1 freed and temporary, 2 freed, 3 gone with its image.
    pub what: Vec<u8>,
    /// How many slices before its end a freed block was allocated.
    pub age: Vec<u16>,
    pub blocks: Vec<u64>,
    pub bytes: Vec<u64>,
}

impl Slices {
    /// `origins`: for each of the page's rows, the profile's.
    pub(super) fn new(slices: &report::Slices, origins: &[u32]) -> Option<Self> {
        Self::limited(slices, origins, MOST)
    }

    fn limited(slices: &report::Slices, origins: &[u32], most: usize) -> Option<Self> {
        if slices.is_empty() {
            return None;
        }
        let mut bounds = slices.bounds.clone();
        let mut changes = slices.changes.clone();
        while changes.len() > most && bounds.len() > 2 {
            halve(&mut bounds, &mut changes);
        }
        let mut columns = Self::default();
        for bound in bounds {
            columns.bounds_ns.push(number(bound));
        }
        for &origin in origins {
            let first = changes.partition_point(|change| change.row < origin);
            let mut last = 0;
            let own = changes.iter().skip(first).take_while(|change| change.row == origin);
            let before = columns.slice.len();
            for change in own {
                columns.slice.push(change.slice.saturating_sub(last));
                columns.what.push(match change.what {
                    What::Allocated => 0,
                    What::Temporary => 1,
                    What::Freed => 2,
                    What::Ended => 3,
                });
                columns.age.push(change.slice.saturating_sub(change.birth));
                columns.blocks.push(number(change.blocks));
                columns.bytes.push(number(change.bytes));
                last = change.slice;
            }
            columns.changes.push((columns.slice.len() - before) as u32);
        }
        Some(columns)
    }
}

/// Makes one slice of two.
fn halve(bounds: &mut Vec<u64>, changes: &mut Vec<Change>) {
    let end = bounds.last().copied();
    *bounds = bounds.iter().copied().take(bounds.len() - 1).step_by(2).chain(end).collect();
    for change in changes.iter_mut() {
        change.slice /= 2;
        change.birth /= 2;
    }
    changes.sort_by_key(Change::key);
    Change::join(changes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(row: u32, slice: u16, what: What, birth: u16, blocks: u64) -> Change {
        Change { row, slice, birth, what, blocks, bytes: 10 * blocks }
    }

    fn three_rows() -> report::Slices {
        let changes = vec![
            change(0, 0, What::Allocated, 0, 5),
            change(0, 1, What::Allocated, 1, 2),
            change(0, 3, What::Freed, 0, 1),
            change(0, 3, What::Freed, 1, 2),
            change(2, 3, What::Allocated, 3, 7),
            change(2, 3, What::Ended, 3, 7),
        ];
        report::Slices::known(vec![0, 10, 20, 30, 35], changes)
    }

    #[test]
    fn changes_follow_the_pages_rows() {
        let columns = Slices::new(&three_rows(), &[2, 0]).unwrap();
        assert_eq!(columns.changes, [2, 4]);
        assert_eq!(columns.slice, [3, 0, 0, 1, 2, 0]);
        assert_eq!(columns.what, [0, 3, 0, 0, 2, 2]);
        assert_eq!(columns.age, [0, 0, 0, 0, 3, 2]);
        assert_eq!(columns.blocks, [7, 7, 5, 2, 1, 2]);
    }

    #[test]
    fn too_many_changes_make_slices_wider_and_lose_nothing() {
        let columns = Slices::limited(&three_rows(), &[0, 1, 2], 5).unwrap();
        assert_eq!(serde_json::to_string(&columns.bounds_ns).unwrap(), "[0,20,15]");
        assert_eq!(columns.changes, [2, 0, 2]);
        assert_eq!(columns.blocks, [7, 3, 7, 7]);
        let columns = Slices::limited(&three_rows(), &[0, 1, 2], 0).unwrap();
        assert_eq!(columns.blocks, [7, 3, 7, 7], "one slice is the fewest there are");
        assert_eq!(columns.bounds_ns.len(), 2);
    }

    #[test]
    fn profiles_without_time_have_none() {
        assert!(Slices::new(&report::Slices::default(), &[0]).is_none());
    }
}
