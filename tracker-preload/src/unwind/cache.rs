//! [unsafe] The verified stack cache: the frames of a thread's last walk, root first, with everything needed to prove
//! that memory still leads to them.
//!
//! The next state of an unwind (address of the return-address cell, return address, rbp) is a pure function of the
//! state, the rules and the cells it reads. So a walk that reaches a cached state, and finds every cell that the outer
//! steps read unchanged, has reached the cached frames: nothing is assumed of frames returning, stacks switching,
//! exceptions or longjmp. rbp belongs to the state only where an outer step still uses it (it is *live*); otherwise code
//! that counts in rbp would never converge. Cells are compared outwards, one at a time, in the order in which an unwind
//! would read them: what is read is only ever what it would read. On the first mismatch the walk goes on by the rules
//! from where it stood, and tries again at the cached frames farther out.

use super::{INNERMOST, State, Step, load};
use crate::stacks::{ROOT_HASH, extend};
use crate::unwind::ModuleSink;
use crate::unwind::rules::Rule;
use tracker_core::format::{MARKER_LIMIT, PC_TRUNCATED};

/// One frame, as a state of the unwind, and what proves the step out of it.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Entry {
    /// Return address, or a marker.
    pub(crate) pc: u64,
    /// Hash of the path from the root to this frame.
    pub(crate) hash: u64,
    /// Address of the cell that holds `pc`.
    slot: usize,
    rbp: usize,
    /// A cell that the step out of this frame read, and its value.
    check: usize,
    expect: usize,
    rule: Rule,
    /// Outer steps use rbp as it is here.
    live: bool,
    /// The step out of this frame cannot be checked, or this is no return address: not cached, nor what is inside.
    opaque: bool,
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
}

/// How the walk ended: where it joins the cache, or what ended it.
enum End {
    /// The first `0` cached entries are the outer frames.
    Joined(usize),
    /// The root was reached; the last step read this cell, if any.
    Root(usize, usize),
    Lost,
    /// More frames than there is room for.
    Full,
}

impl<const N: usize> Frames<N> {
    /// The frames from `state` outwards.
    #[inline]
    pub(super) fn unwind(&mut self, state: State, high: usize, generation: u32, modules: ModuleSink<'_>) -> Path<'_> {
        if self.high != high || self.generation != generation {
            self.forget();
            (self.high, self.generation) = (high, generation);
        }
        let mut kept = self.cached;
        // New frames are pushed from the end downwards, so that they stand root first when the walk is done.
        let mut free = N;
        let end = self.advance(state, high, &mut kept, &mut free, modules);
        let (base, terminal) = match end {
            End::Joined(base) => (base, None),
            End::Root(cell, value) => (0, Some((cell, value))),
            End::Lost => (0, None),
            End::Full => return self.walk_deep(state, high, modules),
        };
        if base == 0 {
            self.lost = matches!(end, End::Lost);
        }
        let marker = if self.lost { PC_TRUNCATED } else { 0 };
        self.append(base, free, terminal, Path::only(marker).root_hash());
        Path { marker, entries: self.entries.get(..base + (N - free)).unwrap_or(&[]) }
    }

    /// The next walk starts from nothing.
    pub(crate) fn forget(&mut self) {
        self.cached = 0;
    }

    #[inline(always)]
    fn advance(
        &mut self,
        mut state: State,
        high: usize,
        kept: &mut usize,
        free: &mut usize,
        modules: ModuleSink<'_>,
    ) -> End {
        loop {
            if (state.pc as u64) < MARKER_LIMIT {
                return End::Root(state.sp.wrapping_sub(8), state.pc);
            }
            let slot = state.sp.wrapping_sub(8);
            if !state.exact
                && let Some(base) = self.converge(kept, slot, &state)
            {
                return End::Joined(base);
            }
            if *free <= *kept {
                return End::Full;
            }
            *free -= 1;
            let rule = state.rule(modules);
            if let Some(entry) = self.entries.get_mut(*free) {
                entry.pc = state.pc as u64;
                entry.slot = slot;
                entry.rbp = state.rbp;
                entry.rule = rule;
                entry.opaque = state.exact || rule.is_opaque();
            }
            match state.step(rule, high) {
                Step::Next(next) => state = next,
                Step::Root => return End::Root(slot, state.pc),
                Step::Lost => return End::Lost,
            }
        }
    }

    /// Drops cached frames inside of `slot`; if the outermost of the rest is this state, and proves right all the way
    /// out, how many entries stand.
    #[inline(always)]
    fn converge(&self, kept: &mut usize, slot: usize, state: &State) -> Option<usize> {
        let mut top = loop {
            let top = self.entries.get(kept.checked_sub(1)?)?;
            if top.slot >= slot {
                break top;
            }
            *kept -= 1;
        };
        if top.slot != slot || top.pc != state.pc as u64 || (top.live && top.rbp != state.rbp) {
            return None;
        }
        let mut outer = *kept - 1;
        loop {
            // SAFETY: the states inside are proven equal, so an unwind would read this very cell next.
            if unsafe { load(top.check) } != top.expect {
                break;
            }
            if outer == 0 {
                return Some(*kept);
            }
            outer -= 1;
            top = self.entries.get(outer)?;
            // SAFETY: as above.
            if unsafe { load(top.slot) } as u64 != top.pc {
                break;
            }
        }
        // The entry at `outer` does not follow from memory any more; those farther out may.
        *kept = outer;
        None
    }

    /// Moves the new frames behind the `base` entries that stand, and completes them.
    #[inline(always)]
    fn append(&mut self, base: usize, free: usize, terminal: Option<(usize, usize)>, root: u64) {
        let outer = base.checked_sub(1).and_then(|index| self.entries.get(index)).copied();
        let mut hash = outer.map_or(root, |entry| entry.hash);
        // Behind an opaque step nothing can be proven.
        let mut cached = base;
        let mut outer = outer;
        for (to, from) in (base..).zip(free..N) {
            let Some(mut entry) = self.entries.get(from).copied() else { break };
            hash = extend(hash, entry.pc);
            entry.hash = hash;
            entry.complete(outer.as_ref(), terminal);
            if !entry.opaque && cached == to {
                cached = to + 1;
            }
            if let Some(place) = self.entries.get_mut(to) {
                *place = entry;
            }
            outer = Some(entry);
        }
        self.cached = cached;
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
            let at = if count < N { count } else { INNERMOST + (count - INNERMOST) % ring };
            if let Some(entry) = self.entries.get_mut(at) {
                entry.pc = state.pc as u64;
            }
            count += 1;
            match state.step(state.rule(modules), high) {
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
        let marker = if lost { PC_TRUNCATED } else { 0 };
        let mut hash = Path::only(marker).root_hash();
        let kept = count.min(N);
        if let Some(entries) = self.entries.get_mut(..kept) {
            entries.reverse();
            for entry in entries {
                hash = extend(hash, entry.pc);
                entry.hash = hash;
            }
        }
        self.forget();
        Path { marker, entries: self.entries.get(..kept).unwrap_or(&[]) }
    }
}

impl Entry {
    /// An entry that holds nothing but its place in a path, for tests of what comes after the walk.
    #[cfg(test)]
    pub(crate) fn plain(pc: u64, hash: u64) -> Self {
        Self { pc, hash, slot: 0, rbp: 0, check: 0, expect: 0, rule: Rule::ROOT, live: false, opaque: true }
    }

    /// Liveness of rbp, and the cell that proves the step to `outer`. At the root, `terminal` is the last cell read.
    #[inline(always)]
    fn complete(&mut self, outer: Option<&Self>, terminal: Option<(usize, usize)>) {
        let restores = self.rule.restores_rbp();
        let Some(outer) = outer else {
            self.live = self.rule.uses_rbp();
            (self.check, self.expect) = terminal.unwrap_or((self.slot, self.pc as usize));
            return;
        };
        self.live = self.rule.uses_rbp() || (!restores && outer.live);
        if restores && outer.live {
            // The caller's frame ends right behind its return address.
            self.check = outer.slot.wrapping_add(8).wrapping_sub(self.rule.rbp_offset());
            self.expect = outer.rbp;
        } else {
            (self.check, self.expect) = (outer.slot, outer.pc as usize);
        }
    }
}
