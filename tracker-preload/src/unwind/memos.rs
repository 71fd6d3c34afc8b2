//! \[unsafe\] Walks remembered by where they began. A program that calls `malloc` in turn from a few places under one caller
//! changes the innermost frames with every call, and the same ones come back: here they are found whole.
//!
//! A memo is the inner part of a walk: the state that it began with, the cells that were read from there to a *joint*, and
//! what the joint was. If the cells still hold, an unwind from the same state reaches the same joint, by the same argument
//! as for the cache ([`super::cache`]), whose entries take over from there: the joint must be in it as it was then, and its
//! cells must hold. Nothing is copied, hashed or stepped: the hash of the whole path is known.

use super::cells::{Cell, first_difference};

/// Memos kept; a power of two. A place that two walks share is the later one's.
const MEMOS: usize = 64;
/// Cells of one memo: at least half as many frames.
pub(super) const CHAIN: usize = 16;

/// Where a walk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) slot: usize,
    pub(super) pc: usize,
    pub(super) rbp: usize,
}

/// The entry of the cache at which a memo ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joint {
    /// How many entries there are from the root to it, itself included. 0: the memo's cells go to the root.
    pub(super) len: usize,
    /// Hash of the path up to it, which tells all its return addresses.
    pub(super) hash: u64,
    /// Means something only where it is live.
    pub(super) rbp: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Memo {
    start: Key,
    /// Hash of the whole path.
    hash: u64,
    joint: Joint,
    /// The [`Memos::era`] it is of; 0 for none.
    era: u32,
    /// Cells in use.
    cells: u16,
    /// The walk depends on `start.rbp`.
    live: bool,
}

/// Zero is its valid initial state: nothing remembered.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Memos {
    /// Older memos mean nothing.
    era: u32,
    table: [Memo; MEMOS],
    /// In the order of the cache's: the joint's own cell first.
    chains: [[Cell; CHAIN]; MEMOS],
}

#[inline(always)]
fn place(key: Key) -> usize {
    const BITS: u32 = MEMOS.trailing_zeros();
    ((key.slot ^ key.pc) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> (u64::BITS - BITS)
}

/// What a memo says of a walk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recalled {
    pub(super) joint: Joint,
    /// Where the joint's return address stands.
    pub(super) joint_slot: usize,
    /// Hash of the whole path, if it goes on from the joint as it did.
    pub(super) hash: u64,
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

    /// The memo of a walk from `key`, proven as far as its joint.
    #[inline(always)]
    pub(super) fn recall(&self, key: Key) -> Option<Recalled> {
        let place = place(key);
        let (memo, chain) = (self.table.get(place)?, self.chains.get(place)?);
        let found = memo.start.slot == key.slot && memo.start.pc == key.pc && memo.era == self.era;
        if !found || (memo.live && memo.start.rbp != key.rbp) {
            return None;
        }
        // SAFETY: `remember` bounds the number of cells; they are those that the unwind from this state read.
        let same = unsafe { first_difference(chain.as_ptr(), u32::from(memo.cells)) } == 0;
        same.then_some(Recalled { joint: memo.joint, joint_slot: chain[0].address, hash: memo.hash })
    }

    /// Remembers a walk from `key`, whose rbp it depends on if `live`. `cells`: from the joint's own on, at most [`CHAIN`].
    #[inline(always)]
    pub(super) fn remember(&mut self, (key, live): (Key, bool), hash: u64, joint: Joint, cells: &[Cell]) {
        let place = place(key);
        let (Some(memo), Some(chain)) = (self.table.get_mut(place), self.chains.get_mut(place)) else { return };
        for (to, from) in chain.iter_mut().zip(cells) {
            *to = *from;
        }
        let count = cells.len().min(CHAIN) as u16;
        *memo = Memo { start: key, hash, joint, era: self.era, cells: count, live };
    }
}
