//! The capture cut into slices of time, and what each row did in each of them, so that questions about a range of time
//! can be answered without another replay.
//!
//! A slice is a piece of the replay's order: what is applied while the latest time seen lies in it. What a row did is a
//! short list of [`Change`]s; only what happened is listed. A block that goes is booked under the slice of its birth,
//! too: that is what tells whether it came and went inside a range. So a row has at most slices² / 2 changes; where all
//! rows together get too many, slices become twice as wide, as they do when there are too many of them.

use super::heap::Amount;

/// Most slices there ever are.
pub const MAX_SLICES: u64 = 512;
/// Width of the first slices in nanoseconds.
const FIRST_WIDTH: u64 = 1000;
/// Most changes; more when there are many rows.
const CHANGES: usize = 4 << 20;
/// Changes that any row may have beyond those: one slice that spans everything needs no more.
const CHANGES_PER_ROW: usize = 4;
/// Changes gathered in the slice at hand before equal ones are summed.
const LOOSE: usize = 1 << 18;

/// Where slices begin and end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cuts {
    /// At most [`MAX_SLICES`] of equal width.
    #[default]
    Even,
    /// Where these times say, ascending; what happens at such a time comes behind it.
    At(Vec<u64>),
}

/// What happened to blocks of a row in a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum What {
    /// They were allocated.
    #[default]
    Allocated = 0,
    /// They were freed, and temporary.
    Temporary = 1,
    /// They were freed, or are gone without a trace of it.
    Freed = 2,
    /// They are gone with their image, which ended: they leaked.
    Ended = 3,
}

/// A sum of blocks to which the same happened in the same slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Slice, row, what, birth: sorts so.
    key: u64,
    pub amount: Amount,
}

const BIRTH_BITS: u32 = 10;
const WHAT_BITS: u32 = 2;
const ROW_BITS: u32 = 32;

impl Change {
    fn new((slice, birth): (u16, u16), row: u32, what: What, amount: Amount) -> Self {
        let key = u64::from(slice) << ROW_BITS | u64::from(row);
        Self { key: (key << WHAT_BITS | what as u64) << BIRTH_BITS | u64::from(birth), amount }
    }

    /// The slice in which it happened.
    pub const fn slice(&self) -> u16 {
        (self.key >> (ROW_BITS + WHAT_BITS + BIRTH_BITS)) as u16
    }

    /// Whose blocks they are.
    pub const fn row(&self) -> u32 {
        (self.key >> (WHAT_BITS + BIRTH_BITS)) as u32
    }

    /// What happened.
    pub const fn what(&self) -> What {
        match self.key >> BIRTH_BITS & 3 {
            0 => What::Allocated,
            1 => What::Temporary,
            2 => What::Freed,
            _ => What::Ended,
        }
    }

    /// The slice in which freed and temporary blocks were allocated; for all others the slice itself.
    pub const fn birth(&self) -> u16 {
        (self.key & ((1 << BIRTH_BITS) - 1)) as u16
    }

    fn halved(&self) -> Self {
        Self::new((self.slice() / 2, self.birth() / 2), self.row(), self.what(), self.amount)
    }
}

/// What a row did in the slice at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    turn: u32,
    allocated: Amount,
    temporary: Amount,
    /// Freed again in the same slice.
    freed: Amount,
}

/// The finished slices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sliced {
    /// Where slices begin and, one more, where the last ends.
    pub bounds: Vec<u64>,
    /// Sorted, equal ones summed.
    pub changes: Vec<Change>,
}

/// Books what rows do, slice by slice.
#[derive(Debug)]
pub struct Slices {
    cuts: Cuts,
    width: u64,
    /// Most changes of all slices, those that belong to the number of rows not counted.
    most: usize,
    /// The slice at hand.
    current: u16,
    /// Counts the slices as they were entered. Unlike `current` it never changes its meaning, so blocks remember it.
    turn: u32,
    /// The slice that each turn belongs to now.
    turns: Vec<u16>,
    /// Rows that have a tally in this turn.
    touched: Vec<u32>,
    /// Changes of the slice at hand, in any order.
    loose: Vec<Change>,
    sum_at: usize,
    /// Changes of all slices before it.
    closed: Vec<Change>,
    /// What went with the last end of an image, and when that was: if nothing follows, it was the capture's end.
    ended: (u64, Vec<Change>),
}

impl Slices {
    /// Nothing has happened.
    pub(super) fn new(cuts: Cuts) -> Self {
        let mut slices = Self {
            cuts,
            width: FIRST_WIDTH,
            most: CHANGES,
            current: 0,
            turn: 0,
            turns: Vec::new(),
            touched: Vec::new(),
            loose: Vec::new(),
            sum_at: LOOSE,
            closed: Vec::new(),
            ended: (0, Vec::new()),
        };
        // Not 0 where a cut is at time 0.
        slices.current = slices.slice_of(0);
        slices.turns = vec![slices.current];
        slices
    }

    /// Time from which on [`Self::close`] has to be called before anything else is booked.
    pub(super) fn next_close(&self) -> u64 {
        match &self.cuts {
            Cuts::Even => (u64::from(self.current) + 1).saturating_mul(self.width),
            Cuts::At(times) => times.get(usize::from(self.current)).copied().unwrap_or(u64::MAX),
        }
    }

    /// The slice at hand.
    pub(super) const fn current(&self) -> u16 {
        self.current
    }

    /// The turn at hand, for blocks to remember.
    #[inline(always)]
    pub(super) const fn turn(&self) -> u32 {
        self.turn
    }

    /// A block of `row` was allocated.
    #[inline(always)]
    pub(super) fn allocated(&mut self, tally: &mut Tally, row: u32, size: u64) {
        if tally.turn != self.turn || tally.allocated.blocks == 0 {
            *tally = Tally { turn: self.turn, ..Tally::default() };
            self.touched.push(row);
        }
        tally.allocated.add(size);
    }

    /// A block of `row` that was allocated in the turn `birth` is gone.
    #[inline(always)]
    pub(super) fn freed(&mut self, tally: &mut Tally, (row, birth): (u32, u32), size: u64, temporary: bool) {
        if birth == self.turn {
            tally.freed.add(size);
            if temporary {
                tally.temporary.add(size);
            }
        } else {
            self.freed_later(row, birth, size, temporary);
        }
    }

    /// Some bytes of a block are gone, the block is not.
    pub(super) fn shrunk(&mut self, tally: &mut Tally, (row, birth): (u32, u32), bytes: u64) {
        let amount = Amount { blocks: 0, bytes };
        if birth == self.turn {
            tally.freed.join(amount);
        } else {
            let birth = self.slice_of_turn(birth);
            self.book(Change::new((self.current, birth), row, What::Freed, amount));
        }
    }

    fn freed_later(&mut self, row: u32, birth: u32, size: u64, temporary: bool) {
        let birth = self.slice_of_turn(birth);
        let amount = Amount { blocks: 1, bytes: size };
        self.book(Change::new((self.current, birth), row, What::Freed, amount));
        if temporary {
            self.book(Change::new((self.current, birth), row, What::Temporary, amount));
        }
    }

    fn slice_of_turn(&self, turn: u32) -> u16 {
        self.turns.get(turn as usize).copied().unwrap_or(0)
    }

    fn book(&mut self, change: Change) {
        self.loose.push(change);
        if self.loose.len() >= self.sum_at {
            sum(&mut self.loose);
            self.sum_at = LOOSE.max(2 * self.loose.len());
        }
    }

    /// Images end at `time`: what follows is about their blocks.
    pub(super) fn begin_end(&mut self, time: u64) {
        if time > self.ended.0 {
            self.loose.append(&mut self.ended.1);
            self.ended.0 = time;
            self.reach(time);
        }
    }

    /// A block of `row` is gone with its image, which ended at `time`.
    pub(super) fn gone(&mut self, row: u32, size: u64, time: u64) {
        let slice = self.slice_of(time).max(self.current);
        let change = Change::new((slice, slice), row, What::Ended, Amount { blocks: 1, bytes: size });
        if time < self.ended.0 {
            return self.book(change);
        }
        let ended = &mut self.ended.1;
        match ended.last_mut().filter(|last| last.key == change.key) {
            Some(last) => last.amount.join(change.amount),
            None => ended.push(change),
        }
    }

    fn slice_of(&self, time: u64) -> u16 {
        let slice = match &self.cuts {
            Cuts::Even => time / self.width,
            Cuts::At(times) => times.partition_point(|cut| *cut <= time) as u64,
        };
        u16::try_from(slice).unwrap_or(u16::MAX)
    }

    /// The rows that did something in the slice at hand, in order.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        // So that what is settled is in order.
        self.touched.sort_unstable();
        sum(&mut self.loose);
        std::mem::take(&mut self.touched)
    }

    /// Books what a row did in the slice at hand.
    pub(super) fn settle(&mut self, row: u32, tally: &Tally) {
        let sums = [(What::Allocated, tally.allocated), (What::Temporary, tally.temporary), (What::Freed, tally.freed)];
        for (what, amount) in sums {
            if amount != Amount::default() {
                self.loose.push(Change::new((self.current, self.current), row, what, amount));
            }
        }
    }

    /// Ends the slice at hand, after the tallies of the rows that it touched were [settled](Self::settle), and goes on
    /// to the one that `now` is in. `rows`: how many there are.
    pub(super) fn close(&mut self, now: u64, rows: usize) {
        sum(&mut self.loose);
        self.closed.append(&mut self.loose);
        self.sum_at = LOOSE;
        if self.cuts == Cuts::Even {
            let limit = self.most.saturating_add(rows.saturating_mul(CHANGES_PER_ROW));
            while self.closed.len() > limit && self.current > 0 {
                self.halve();
            }
        }
        self.reach(now);
        self.current = self.slice_of(now);
        self.turn += 1;
        self.turns.push(self.current);
    }

    /// Makes slices so wide that `time` is in one.
    fn reach(&mut self, time: u64) {
        while self.cuts == Cuts::Even && time / self.width >= MAX_SLICES {
            self.halve();
        }
    }

    /// Doubles the width.
    fn halve(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.current /= 2;
        self.turns.iter_mut().for_each(|slice| *slice /= 2);
        for changes in [&mut self.closed, &mut self.loose, &mut self.ended.1] {
            changes.iter_mut().for_each(|change| *change = change.halved());
            sum(changes);
        }
    }

    /// The finished slices, of a capture whose last moment is `end`. What ended then counts as live to the last.
    pub(super) fn finish(mut self, end: u64) -> Sliced {
        if self.ended.0 < end {
            self.loose.append(&mut self.ended.1);
        }
        self.closed.append(&mut self.loose);
        self.reach(end);
        sum(&mut self.closed);
        let last = self.closed.last().map_or(0, Change::slice).max(self.current);
        let mut bounds = vec![0];
        match &self.cuts {
            Cuts::Even => {
                let cuts = (1u64..).map(|slice| slice.saturating_mul(self.width));
                bounds.extend(cuts.take_while(|cut| *cut < end).take(MAX_SLICES as usize - 1));
                while bounds.len() <= usize::from(last) {
                    bounds.push(end);
                }
            }
            Cuts::At(times) => bounds.extend(times.iter().map(|time| *time.min(&end))),
        }
        bounds.push(end);
        Sliced { bounds, changes: self.closed }
    }
}

/// Sorts changes and makes one of equal ones.
fn sum(changes: &mut Vec<Change>) {
    if changes.is_sorted_by(|a, b| a.key < b.key) {
        return;
    }
    // Nearly always slices are in order, and each is a few sorted runs, which a stable sort merges.
    changes.chunk_by_mut(|a, b| a.slice() == b.slice()).for_each(|slice| slice.sort_by_key(|change| change.key));
    if !changes.is_sorted_by_key(|change| change.key) {
        changes.sort_by_key(|change| change.key);
    }
    changes.dedup_by(|next, first| {
        let same = next.key == first.key;
        if same {
            first.amount.join(next.amount);
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row gets a block in each step and keeps it for `kept` steps.
    fn churn(rows: u32, steps: u64, kept: u64, most: usize) -> Sliced {
        let mut slices = Slices::new(Cuts::Even);
        slices.most = most;
        let mut tallies = vec![Tally::default(); rows as usize];
        let mut births = std::collections::VecDeque::new();
        for step in 0..steps {
            let time = step * 1000;
            if time >= slices.next_close() {
                for row in slices.take_touched() {
                    slices.settle(row, &tallies[row as usize]);
                }
                slices.close(time, rows as usize);
            }
            births.push_back(slices.turn());
            let old = (step >= kept).then(|| births.pop_front().unwrap());
            for (row, tally) in (0..).zip(&mut tallies) {
                slices.allocated(tally, row, 8);
                if let Some(birth) = old {
                    slices.freed(tally, (row, birth), 8, row == 0);
                }
            }
        }
        for row in slices.take_touched() {
            slices.settle(row, &tallies[row as usize]);
        }
        slices.finish(steps * 1000)
    }

    fn total(sliced: &Sliced, what: What) -> (u64, u64) {
        let of = sliced.changes.iter().filter(|change| change.what() == what);
        of.fold((0, 0), |sum, change| (sum.0 + change.amount.blocks, sum.1 + change.amount.bytes))
    }

    #[test]
    fn slices_get_wider_where_there_would_be_too_many_changes() {
        for (most, slices, changes) in [(CHANGES, 500, 20 * (500 + 497) + 497), (600, 8, 20 * (8 + 8 + 7) + 8 + 7)] {
            let sliced = churn(20, 500, 3, most);
            assert_eq!((sliced.bounds.len() - 1, sliced.changes.len()), (slices, changes));
            assert_eq!(total(&sliced, What::Allocated), (20 * 500, 20 * 500 * 8));
            assert_eq!(total(&sliced, What::Freed), (20 * 497, 20 * 497 * 8));
            assert_eq!(total(&sliced, What::Temporary), (497, 497 * 8));
            let ordered = |change: &Change| change.birth() <= change.slice();
            assert!(sliced.changes.iter().all(ordered));
        }
    }

    #[test]
    fn equal_changes_of_one_slice_are_summed_on_the_way() {
        let mut slices = Slices::new(Cuts::At(vec![5]));
        let mut tally = Tally::default();
        let many = 3 * LOOSE as u64;
        (0..many).for_each(|_| slices.allocated(&mut tally, 7, 2));
        slices.take_touched();
        slices.settle(7, &tally);
        slices.close(5, 8);
        (0..many).for_each(|_| slices.freed(&mut tally, (7, 0), 2, false));
        assert!(slices.loose.len() <= LOOSE);
        let sliced = slices.finish(9);
        assert_eq!(sliced.bounds, [0, 5, 9]);
        let shown: Vec<_> =
            sliced.changes.iter().map(|c| (c.slice(), c.row(), c.what(), c.birth(), c.amount)).collect();
        let amount = Amount { blocks: many, bytes: 2 * many };
        assert_eq!(shown, [(0, 7, What::Allocated, 0, amount), (1, 7, What::Freed, 0, amount)]);
    }
}
