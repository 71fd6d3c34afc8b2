//! \[unsafe\] The verified stack cache: the frames of a thread's last walk, root first, with everything needed to prove
//! that memory still leads to them.
//!
//! The next state of an unwind (address of the return-address cell, return address, rbp) is a pure function of the
//! state, the rules and the cells it reads. So a walk that reaches a cached state, and finds every cell that the outer
//! steps read unchanged, has reached the cached frames: nothing is assumed of frames returning, stacks switching,
//! exceptions or longjmp. rbp belongs to the state only where an outer step still uses it (it is *live*); otherwise code
//! that counts in rbp would never converge.
//!
//! The cells stand in one array, in the order in which an unwind from the leaf would read them last to first, so that
//! the proof is one loop over (address, value) pairs, two loads and a comparison each. It goes outwards one cell at a
//! time and stops at the first difference: what is read is only ever what an unwind would read, and no cell is
//! trusted whose address follows from one that was not compared. The frames inside of the difference are proven and
//! stay; the walk goes on by the rules from the frame that changed, and tries again at the cached frames farther out.

use super::cells::{self, Cell};
use super::memos::{CHAIN, Joint, Key, Memos, Recalled};
use super::{INNERMOST, State, Step, load};
use crate::stacks::{ROOT_HASH, extend};
use crate::unwind::ModuleSink;
use crate::unwind::rules::{self, Rule};
use tracker_core::format::{MARKER_LIMIT, PC_TRUNCATED};

/// One frame, as a state of the unwind, and how to step out of it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Entry {
    /// Return address, or a marker.
    pub(crate) pc: u64,
    /// Hash of the path from the root to this frame.
    pub(crate) hash: u64,
    /// Address of the cell that holds `pc`.
    slot: usize,
    /// Means something only where it is live.
    rbp: usize,
    rule: Rule,
    /// How many cells the steps from here to the root read: those that stand in front of this entry's own.
    proof: u32,
    /// Outer steps use rbp as it is here.
    live: bool,
}

/// The frames of one walk, root first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    /// A marker outside all entries; 0 for none.
    pub(crate) marker: u64,
    pub(crate) entries: &'a [Entry],
}

impl Path<'_> {
    /// A path that consists of a marker.
    pub(crate) const fn only(marker: u64) -> Self {
        Self { marker, entries: &[] }
    }

    /// Hash of the root's part: the marker, if there is one.
    pub(crate) const fn root_hash(&self) -> u64 {
        if self.marker == 0 { ROOT_HASH } else { extend(ROOT_HASH, self.marker) }
    }

    /// Hash of the whole path.
    #[inline(always)]
    pub(crate) fn hash(&self) -> u64 {
        match self.entries.last() {
            Some(leaf) => leaf.hash,
            None => self.root_hash(),
        }
    }
}

/// Room for `N` frames. Zero is its valid initial state: nothing cached.
///
/// Invariants: `cached` ≤ N; the entries below it have rising proofs and falling slots; an entry's proof is the number
/// of its own cell (`slot`, `pc`), so at most `2 * N - 1`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Frames<const N: usize> {
    /// Entries from the root on that the next walk may converge to.
    cached: usize,
    /// What the cached entries depend on beside memory.
    high: usize,
    generation: u32,
    /// The outermost frame had a caller that could not be found.
    lost: bool,
    entries: [Entry; N],
    /// First one that the root's step read, then at most two for each frame: where the step out of it found the caller's
    /// rbp, and where its return address stands.
    cells: [[Cell; 2]; N],
    memos: Memos,
}

/// No stack has more frames: one that seems to is damaged and goes in circles.
const DEEPEST: usize = 1 << 24;

/// Where a walk stands.
struct Position {
    state: State,
    /// Cached entries that it may still join.
    kept: usize,
    /// The new entries start here.
    free: usize,
    /// The outermost of the new entries whose step cannot be checked, or that holds no return address: N for none.
    opaque: usize,
}

/// How the walk ended.
enum End {
    /// It joined the kept entries.
    Joined,
    /// The root was reached; the last step read this cell, if any.
    Root(Option<Cell>),
    Lost,
    /// More frames than there is room for.
    Full,
}

impl<const N: usize> Frames<N> {
    /// The path from `state` outwards, where it can be told without a walk.
    #[inline(always)]
    pub(super) fn recall_path(&mut self, state: State, high: usize, generation: u32) -> Option<Recalled<'_>> {
        if self.high != high || self.generation != generation {
            return None;
        }
        let (place, joint, slot) = self.memos.find(state.key())?;
        if joint.len != 0 {
            let entry = self.entries.get(..self.cached)?.get(joint.len as usize - 1)?;
            // The same path by the same rules: what it depends on is the same, too.
            let same = entry.slot == slot && entry.hash == joint.hash && (!entry.live || entry.rbp == joint.rbp);
            if !same || self.first_difference(entry.proof) != 0 {
                return None;
            }
        }
        self.memos.recalled(place)
    }

    /// The frames from `state` outwards.
    #[inline(never)]
    pub(super) fn unwind(&mut self, state: State, high: usize, generation: u32, modules: ModuleSink<'_>) -> Path<'_> {
        if self.high != high || self.generation != generation {
            self.forget();
            (self.high, self.generation) = (high, generation);
        }
        // New frames are pushed from the end downwards, so that they stand root first when the walk is done.
        let mut at = Position { state, kept: self.cached, free: N, opaque: N };
        let (base, root_cell) = match self.advance(&mut at, high, modules) {
            End::Joined => (at.kept, None),
            End::Root(cell) => (0, cell),
            End::Lost => {
                self.lost = true;
                (0, None)
            }
            End::Full => return self.walk_deep(state, high, modules),
        };
        self.append(base, at.free, root_cell);
        let len = base + (N - at.free);
        // Behind a step that cannot be checked nothing can be proven.
        self.cached = base + (at.opaque - at.free);
        if self.cached == len && self.memos.wants_walk() {
            self.remember(state.key(), base);
        }
        self.path(len)
    }

    /// The frames from `state` outwards by the rules alone. What is cached stays.
    pub(super) fn walk_afresh(&mut self, state: State, high: usize, modules: ModuleSink<'_>) -> Path<'_> {
        let mut at = Position { state, kept: 0, free: N, opaque: N };
        match self.advance(&mut at, high, modules) {
            End::Joined | End::Root(_) => {}
            End::Lost => self.lost = true,
            End::Full => return self.walk_deep(state, high, modules),
        }
        if at.free < self.cached {
            self.forget();
        }
        let Path { marker, .. } = self.path(0);
        let mut hash = self.path(0).root_hash();
        let entries = self.entries.get_mut(at.free..).unwrap_or(&mut []);
        for entry in &mut *entries {
            hash = extend(hash, entry.pc);
            entry.hash = hash;
        }
        Path { marker, entries }
    }

    /// Remembers how this walk, from `key`, went to the `base` entries that stood.
    #[inline(always)]
    fn remember(&mut self, key: Key, base: usize) {
        let Some(outside) = self.cached.checked_sub(1) else { return };
        let entries = self.entries.as_ptr();
        // SAFETY: entries below `cached` stand, and their proofs rise and count cells of the array (invariants of `Frames`).
        unsafe {
            let leaf = &*entries.add(outside);
            let from_joint = |len: usize| match len.checked_sub(1).map(|index| &*entries.add(index)) {
                Some(entry) => (Joint { len: len as u32, hash: entry.hash, rbp: entry.rbp }, entry.proof as usize),
                None => (Joint { len: 0, hash: 0, rbp: 0 }, 0),
            };
            let (mut joint, mut first) = from_joint(base.min(outside));
            if leaf.proof as usize - first > CHAIN {
                // Not all of them then: a frame has two cells at most.
                (joint, first) = from_joint(outside - (CHAIN / 2 - 1));
            }
            let cells = self.cells.as_flattened().get_unchecked(first..leaf.proof as usize);
            self.memos.remember((key, leaf.live), leaf.hash, joint, cells);
        }
    }

    /// The next walk starts from nothing.
    pub(crate) fn forget(&mut self) {
        self.cached = 0;
        self.memos.forget();
    }

    fn path(&self, len: usize) -> Path<'_> {
        let marker = if self.lost { PC_TRUNCATED } else { 0 };
        Path { marker, entries: self.entries.get(..len).unwrap_or(&[]) }
    }

    #[inline(always)]
    fn advance(&mut self, at: &mut Position, high: usize, modules: ModuleSink<'_>) -> End {
        loop {
            if !at.state.exact && self.pass_ordinary(at, high) {
                return End::Joined;
            }
            let state = at.state;
            if (state.pc as u64) < MARKER_LIMIT {
                self.lost = false;
                return End::Root(Some(Cell { address: state.slot(), value: state.pc }));
            }
            if at.free <= at.kept {
                return End::Full;
            }
            at.free -= 1;
            let rule = state.rule(high, modules);
            if let Some(entry) = self.entries.get_mut(at.free) {
                entry.pc = state.pc as u64;
                entry.slot = state.slot();
                entry.rbp = state.rbp;
                entry.rule = rule;
            }
            if state.exact || rule.is_opaque() {
                at.opaque = at.free;
            }
            match state.step(rule, high) {
                Step::Next(next) => at.state = next,
                Step::Root => {
                    self.lost = false;
                    return End::Root(None);
                }
                Step::Lost => return End::Lost,
            }
        }
    }

    /// Walks as far as frames are what nearly all are: of a rule that is known, and goes from one stack pointer to the next
    /// inside a stack whose end is known. Whether the walk has joined the cache.
    #[inline(always)]
    fn pass_ordinary(&mut self, at: &mut Position, high: usize) -> bool {
        let (mut slot, mut pc, mut rbp) = (at.state.slot(), at.state.pc, at.state.rbp);
        let known = high != usize::MAX && slot & 7 == 0;
        let first = self.entries.as_mut_ptr();
        // SAFETY: kept ≤ free ≤ N, and `top`, one behind the last kept entry, and `new`, the last of the new ones, stay between
        // the first and the one behind the last; see `State::leave` for what bounds the frame.
        let joined = unsafe {
            let (mut top, mut new) = (first.add(at.kept), first.add(at.free));
            // Nothing is kept outside of all.
            let slot_below = |top: *mut Entry| if top == first { usize::MAX } else { (*top.sub(1)).slot };
            let mut kept_slot = slot_below(top);
            let joined = loop {
                while kept_slot < slot {
                    top = top.sub(1);
                    kept_slot = slot_below(top);
                }
                if kept_slot == slot {
                    let kept = &*top.sub(1);
                    if kept.pc == pc as u64 && (!kept.live || kept.rbp == rbp) {
                        let different = self.first_difference(kept.proof);
                        if different == 0 {
                            break true;
                        }
                        let (kept, free) = (top.offset_from_unsigned(first), new.offset_from_unsigned(first));
                        let inside = Position { state: State::returned(pc, slot, rbp), kept, free, opaque: 0 };
                        let Some(outside) = self.keep_inside(different, inside) else { break false };
                        (slot, pc, rbp) = (outside.state.slot(), outside.state.pc, outside.state.rbp);
                        (top, new) = (first.add(outside.kept), first.add(outside.free));
                        kept_slot = slot_below(top);
                    }
                }
                let Some(rule) = rules::known_ordinary(pc) else { break false };
                let cfa = slot.wrapping_add(8 + rule.cfa_offset());
                if cfa > high || !known || new <= top {
                    break false;
                }
                new = new.sub(1);
                let entry = &mut *new;
                (entry.pc, entry.slot, entry.rbp, entry.rule) = (pc as u64, slot, rbp, rule);
                if rule.restores_rbp() {
                    rbp = load(cfa - rule.rbp_offset());
                }
                slot = cfa - 8;
                pc = load(slot);
            };
            (at.kept, at.free) = (top.offset_from_unsigned(first), new.offset_from_unsigned(first));
            joined
        };
        at.state = State::returned(pc, slot, rbp);
        joined
    }

    /// As [`cells::first_difference`], of the cells in front of an entry's own.
    #[inline(always)]
    fn first_difference(&self, proof: u32) -> usize {
        // SAFETY: an entry's proof counts cells of this array (invariant of `Frames`), and its state is proven.
        unsafe { cells::first_difference(self.cells.as_flattened().as_ptr(), proof) }
    }

    /// `at` stands at the last kept entry, and the first cells up to `different` do not all hold. Moves the entries that
    /// the difference leaves proven to the new ones, and goes to the outermost state whose place is proven. `None`: no room.
    #[inline(never)]
    fn keep_inside(&mut self, different: usize, mut at: Position) -> Option<Position> {
        let mut changed = at.kept - 1;
        while changed != 0 && self.entries.get(changed)?.proof as usize >= different {
            changed -= 1;
        }
        let inside = at.kept - 1 - changed;
        if at.free - inside <= at.kept {
            return None;
        }
        let mut rbp = at.state.rbp;
        for from in (changed + 1..at.kept).rev() {
            let (&entry, outer_slot) = (self.entries.get(from)?, self.entries.get(from - 1)?.slot);
            at.free -= 1;
            // Where rbp was dead it was not compared, and other rules may make it live.
            *self.entries.get_mut(at.free)? = Entry { rbp, ..entry };
            if entry.rule.restores_rbp() {
                // SAFETY: the step out of a proven state; an unwind reads this cell there.
                rbp = unsafe { load(entry.rule.rbp_cell(outer_slot)) };
            }
        }
        if inside != 0 {
            let slot = self.entries.get(changed)?.slot;
            // SAFETY: as above: the step out of the last proven state reads this cell.
            at.state = State::returned(unsafe { load(slot) }, slot, rbp);
        }
        at.kept = changed;
        Some(at)
    }

    /// Moves the new frames behind the `base` entries that stand, and completes them.
    #[inline(always)]
    fn append(&mut self, base: usize, free: usize, root_cell: Option<Cell>) {
        let (mut hash, mut count, mut live, mut outer_slot, mut outer_rbp) =
            match base.checked_sub(1).and_then(|index| self.entries.get(index)) {
                Some(outer) => (outer.hash, outer.proof + 1, outer.live, outer.slot, outer.rbp),
                None => (self.path(0).root_hash(), 1, false, 0, 0),
            };
        let entries = self.entries.as_mut_ptr();
        let cells = self.cells.as_flattened_mut().as_mut_ptr();
        // SAFETY: base ≤ free ≤ N, so `to` and `from` stay below N, and `to` at or below `from`: each entry is read before its
        // place is written. Cells: one for the root's step, one for the first entry, and at most two for each other.
        unsafe {
            if base == 0 && free < N {
                let first = &*entries.add(free);
                // Where the root's step read nothing, its return address stands for it.
                *cells = root_cell.unwrap_or(Cell { address: first.slot, value: first.pc as usize });
            }
            let (mut to, mut from, end) = (entries.add(base), entries.add(free), entries.add(N));
            while from != end {
                let Entry { pc, slot, rbp, rule, .. } = *from;
                hash = extend(hash, pc);
                if rule.restores_rbp() {
                    if live {
                        *cells.add(count as usize) = Cell { address: rule.rbp_cell(outer_slot), value: outer_rbp };
                        count += 1;
                    }
                    live = false;
                }
                live |= rule.uses_rbp();
                *cells.add(count as usize) = Cell { address: slot, value: pc as usize };
                *to = Entry { pc, hash, slot, rbp, rule, proof: count, live };
                count += 1;
                (outer_slot, outer_rbp) = (slot, rbp);
                (to, from) = (to.add(1), from.add(1));
            }
        }
    }

    /// A stack with more frames than there is room for: the innermost, a marker, and the outermost. Not cached.
    #[cold]
    #[inline(never)]
    fn walk_deep(&mut self, start: State, high: usize, modules: ModuleSink<'_>) -> Path<'_> {
        let ring = N - INNERMOST;
        let (mut state, mut count) = (start, 0usize);
        let lost = loop {
            if (state.pc as u64) < MARKER_LIMIT {
                break false;
            }
            if count == DEEPEST {
                break true;
            }
            let at = if count < N { count } else { INNERMOST + (count - INNERMOST) % ring };
            if let Some(entry) = self.entries.get_mut(at) {
                (entry.pc, entry.slot) = (state.pc as u64, state.sp.wrapping_sub(8));
            }
            count += 1;
            match state.step(state.rule(high, modules), high) {
                Step::Next(next) => state = next,
                Step::Root => break false,
                Step::Lost => break true,
            }
        };
        if count > N
            && let Some(outer) = self.entries.get_mut(INNERMOST..)
        {
            outer.rotate_left((count - INNERMOST) % ring);
            if let Some(cut) = outer.first_mut() {
                cut.pc = PC_TRUNCATED;
            }
        }
        self.lost = lost;
        let mut hash = self.path(0).root_hash();
        let kept = count.min(N);
        if let Some(entries) = self.entries.get_mut(..kept) {
            entries.reverse();
            for entry in entries {
                hash = extend(hash, entry.pc);
                entry.hash = hash;
            }
        }
        self.forget();
        self.path(kept)
    }
}

impl Entry {
    /// Address of the cell that holds the return address: the caller's frame begins right behind it.
    pub(crate) fn cell(&self) -> usize {
        self.slot
    }

    /// An entry that holds nothing but its place in a path, for tests of what comes after the walk.
    #[cfg(test)]
    pub(crate) fn plain(pc: u64, hash: u64) -> Self {
        Self { pc, hash, slot: 0, rbp: 0, rule: Rule::ROOT, proof: 0, live: false }
    }
}

#[cfg(test)]
mod tests;
