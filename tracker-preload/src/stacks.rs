//! Stack ids: a bounded dictionary from a stack's path hash to the id that this recorder's stream has defined.
//!
//! Nothing is shared and nothing grows without bound. A stack that fell out of the dictionary is defined again under a
//! new id; the reader merges. 64-bit path hashes stand for paths: ten million distinct ones collide with odds of 3e-6.

use tracker_core::format::record::Called;

/// One slot: `id` 0 means empty.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Entry {
    hash: u64,
    id: u32,
    _pad: u32,
}

/// An id as somebody keeps it who recognises its stack without the hash. All zero: none.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct KnownId {
    id: u32,
    /// When it was given, and for what at the stack's end.
    stamp: u32,
}

/// Slots of a dictionary when it starts, and when many stacks missed.
const START: usize = 1 << 10;

/// A direct-mapped dictionary over zeroed memory that starts small and steps to its full size once.
#[derive(Debug)]
pub(crate) struct Dictionary<const FULL: usize> {
    /// Slots in use, less one. 0 in fresh memory, until [`Self::clear`].
    mask: usize,
    misses: usize,
    /// Rises with each [`Self::clear`] by more than a stack has ends.
    cleared: u32,
    next_id: u32,
    entries: [Entry; FULL],
}

/// Hash of the empty stack.
pub(crate) const ROOT_HASH: u64 = 0x9E37_79B9_7F4A_7C15;

/// Hash of the path that is `hash` plus one frame further in. One multiplication, folded; the constant is wyhash's.
#[inline(always)]
pub(crate) const fn extend(hash: u64, pc: u64) -> u64 {
    let product = ((hash ^ pc) as u128).wrapping_mul(0xA076_1D64_78BD_642F);
    (product as u64).rotate_left(17) ^ ((product >> 64) as u64)
}

impl<const FULL: usize> Dictionary<FULL> {
    #[inline(always)]
    fn slot(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.mask
    }

    /// The id of `hash`, if this dictionary still knows it.
    #[inline(always)]
    pub(crate) fn get(&self, hash: u64) -> Option<u32> {
        match self.entries.get(self.slot(hash)) {
            Some(entry) if entry.hash == hash && entry.id != 0 => Some(entry.id),
            _ => None,
        }
    }

    /// Gives `hash` the next id.
    pub(crate) fn insert(&mut self, hash: u64) -> u32 {
        self.misses += 1;
        if self.mask != FULL - 1 && self.misses > START {
            // Old ids stay valid in the stream; only the short cut to them is lost.
            self.entries.iter_mut().take(START).for_each(|entry| entry.id = 0);
            self.mask = FULL - 1;
        }
        self.next_id += 1;
        let (slot, id) = (self.slot(hash), self.next_id);
        if let Some(entry) = self.entries.get_mut(slot) {
            *entry = Entry { hash, id, _pad: 0 };
        }
        id
    }

    /// The id that the next [`Self::insert`] will give.
    pub(crate) fn next_id(&self) -> u32 {
        self.next_id + 1
    }

    /// Differs after it has forgotten everything; wraps.
    pub(crate) fn times_cleared(&self) -> u32 {
        self.cleared
    }

    /// The id of a stack that ends in `called`, if what is kept of it is still true.
    #[inline(always)]
    pub(crate) fn recall(&self, known: KnownId, called: Called) -> Option<u32> {
        (known.id != 0 && known.stamp == self.stamp(called)).then_some(known.id)
    }

    /// What to keep of an id, for [`Self::recall`].
    #[inline(always)]
    pub(crate) fn known(&self, id: u32, called: Called) -> KnownId {
        KnownId { id, stamp: self.stamp(called) }
    }

    #[inline(always)]
    fn stamp(&self, called: Called) -> u32 {
        self.cleared.wrapping_add(called.marker() as u32)
    }

    /// Forgets everything; ids start at 1 again. Must be called once before the first use.
    pub(crate) fn clear(&mut self) {
        self.mask = self.mask.max(START.min(FULL) - 1);
        self.entries.iter_mut().take(self.mask + 1).for_each(|entry| entry.id = 0);
        self.next_id = 0;
        self.cleared = self.cleared.wrapping_add(Called::COUNT);
    }
}
