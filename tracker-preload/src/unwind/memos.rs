//! \[unsafe\] Walks remembered by where they began. A program that calls `malloc` in turn from a few places under one caller
//! changes the innermost frames with every call, and the same ones come back: here they are found whole.
//!
//! A memo is the inner part of a walk: the state that it began with, the cells that were read from there to a *joint*, and
//! what the joint was. If the cells still hold, an unwind from the same state reaches the same joint, by the same argument
//! as for the cache ([`super::cache`]), whose entries take over from there: the joint must be in it as it was then, and its
//! cells must hold. Nothing is copied, hashed or stepped: the hash of the whole path is known.

//!
//! Where paths hardly come back, as in a parser that goes up and down all the time, remembering costs more than it saves:
//! hits are counted, and with too few of them the memos rest for a while.

use super::cells::{Cell, first_difference};
use crate::stacks::KnownId;

/// Memos kept; a power of two. A place that two walks share is the later one's.
const MEMOS: usize = 64;
/// Cells of one memo: at least half as many frames.
pub(super) const CHAIN: usize = 16;
/// After so many walks that had to be remembered, the hits meanwhile decide.
const TRIAL: u32 = 64;
/// A hit saves about 400 instructions, remembering in vain costs 120: with fewer hits in a trial than this it does not pay.
const WORTHWHILE: u32 = TRIAL / 4;
/// So many walks go by before the next trial.
const REST: u32 = 1024;

/// Where a walk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) slot: usize,
    pub(super) pc: usize,
    pub(super) rbp: usize,
}

/// The entry of the cache at which a memo ends.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Joint {
    /// Hash of the path up to it, which tells all its return addresses.
    pub(super) hash: u64,
    /// Means something only where it is live.
    pub(super) rbp: usize,
    /// How many entries there are from the root to it, itself included. 0: the memo's cells go to the root.
    pub(super) len: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Memo {
    slot: usize,
    pc: usize,
    rbp: usize,
    /// Hash of the whole path.
    hash: u64,
    joint_hash: u64,
    joint_rbp: usize,
    joint_len: u32,
    /// The id of the path with the function that was called from it.
    id: KnownId,
    /// The low part of [`Memos::era`] it is of.
    era: u16,
    /// Cells in use.
    cells: u8,
    /// The walk depends on `rbp`.
    live: bool,
}

const _: () = assert!(size_of::<Memo>() == 64);

/// Zero is its valid initial state: nothing remembered.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Memos {
    /// Memos of another one mean nothing; never 0 once something is remembered.
    era: u16,
    /// Walks that will go by before memos are made again.
    rest: u32,
    hits: u32,
    /// Walks that were remembered since `hits` was 0.
    trials: u32,
    table: [Memo; MEMOS],
    /// In the order of the cache's: the joint's own cell first.
    chains: [[Cell; CHAIN]; MEMOS],
}

#[inline(always)]
fn place(slot: usize, pc: usize) -> usize {
    const BITS: u32 = MEMOS.trailing_zeros();
    ((slot ^ pc) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> (u64::BITS - BITS)
}

/// A path that was recognised.
#[derive(Debug)]
pub(crate) struct Recalled<'m> {
    /// Hash of the whole path.
    pub(crate) hash: u64,
    /// Kept beside it, for whoever gives it an id.
    pub(crate) id: &'m mut KnownId,
}

impl Memos {
    /// Forgets all.
    pub(super) fn forget(&mut self) {
        self.era = self.era.wrapping_add(1);
        if self.era == 0 {
            self.table.iter_mut().for_each(|memo| memo.era = 0);
            self.era = 1;
        }
    }

    /// The memo of a walk from `key`, proven as far as its joint: where it is, the joint, and where the joint's return address
    /// stands.
    #[inline(always)]
    pub(super) fn find(&self, key: Key) -> Option<(usize, Joint, usize)> {
        if self.rest != 0 {
            return None;
        }
        let place = place(key.slot, key.pc);
        let (memo, chain) = (self.table.get(place)?, self.chains.get(place)?);
        let found = memo.slot == key.slot && memo.pc == key.pc && memo.era == self.era;
        if !found || (memo.live && memo.rbp != key.rbp) {
            return None;
        }
        // SAFETY: `remember` bounds the number of cells; they are those that the unwind from this state read.
        if unsafe { first_difference(chain.as_ptr(), u32::from(memo.cells)) } != 0 {
            return None;
        }
        Some((place, Joint { hash: memo.joint_hash, rbp: memo.joint_rbp, len: memo.joint_len }, chain[0].address))
    }

    /// The path of the memo at `place`, which goes on from its joint as it did.
    #[inline(always)]
    pub(super) fn recalled(&mut self, place: usize) -> Option<Recalled<'_>> {
        self.hits = self.hits.wrapping_add(1);
        self.table.get_mut(place).map(|memo| Recalled { hash: memo.hash, id: &mut memo.id })
    }

    /// Whether the next walk shall be remembered.
    #[inline(always)]
    pub(super) fn wants_walk(&mut self) -> bool {
        let awake = self.rest == 0;
        self.rest -= u32::from(!awake);
        awake
    }

    /// Remembers a walk from `key`, whose rbp it depends on if `live`. `cells`: from the joint's own on, at most [`CHAIN`].
    #[inline(always)]
    pub(super) fn remember(&mut self, (key, live): (Key, bool), hash: u64, joint: Joint, cells: &[Cell]) {
        self.trials += 1;
        if self.trials == TRIAL {
            self.rest = if self.hits < WORTHWHILE { REST } else { 0 };
            (self.trials, self.hits) = (0, 0);
        }
        let place = place(key.slot, key.pc);
        let (Some(memo), Some(chain)) = (self.table.get_mut(place), self.chains.get_mut(place)) else { return };
        for (to, from) in chain.iter_mut().zip(cells) {
            *to = *from;
        }
        let Key { slot, pc, rbp } = key;
        let Joint { hash: joint_hash, rbp: joint_rbp, len: joint_len } = joint;
        let (era, count) = (self.era, cells.len().min(CHAIN) as u8);
        let id = KnownId::default();
        *memo = Memo { slot, pc, rbp, hash, joint_hash, joint_rbp, joint_len, id, era, cells: count, live };
    }
}
