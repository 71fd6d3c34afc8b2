//! Which functions call which. A call that ends a function leaves no frame of it where the compiler made it a jump, and some
//! inlined calls have no debug data: another compiler or level of optimisation has other frames of the same calls.

use rustc_hash::FxHashSet;

use super::keys::Key;

/// Called by the leaf, and by itself.
const ALLOCATOR: u32 = u32::MAX;

/// Frames in a row that may be missing.
const MOST_MISSING: usize = 8;

/// Who calls whom on the stacks of one side.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Callers and their callees.
    pairs: FxHashSet<[u32; 2]>,
    /// The same with what these call in turn.
    triples: FxHashSet<[u32; 3]>,
}

impl Calls {
    pub(super) fn of<'k>(stacks: impl Iterator<Item = &'k Key>) -> Self {
        let mut calls = Self::default();
        for key in stacks {
            let mut inner = [ALLOCATOR; 2];
            for &caller in key {
                let [callee, next] = inner;
                calls.pairs.insert([caller, callee]);
                calls.triples.insert([caller, callee, next]);
                inner = [caller, callee];
            }
        }
        calls
    }

    /// A stack of the other side without the frames that are none here: where it goes from one function to another in
    /// several calls, and this side does in one.
    pub(super) fn without_missing(&self, key: &Key) -> Key {
        let mut kept = Vec::with_capacity(key.len());
        let mut inner = &key[..];
        while let Some((&caller, rest)) = inner.split_last() {
            kept.push(caller);
            let mut callees = rest.iter().rev().copied().chain([ALLOCATOR; 2]);
            let calls = |callee: u32| self.pairs.contains(&[caller, callee]);
            let first = callees.next().unwrap_or(ALLOCATOR);
            let mut others = callees.take(MOST_MISSING);
            let second = others.clone().next().unwrap_or(ALLOCATOR);
            let missing = match self.triples.contains(&[caller, first, second]) {
                true => 0,
                false => others.position(calls).map_or(0, |at| at + 1),
            };
            inner = rest.get(..rest.len().saturating_sub(missing)).unwrap_or_default();
        }
        kept.reverse();
        kept.into()
    }
}
