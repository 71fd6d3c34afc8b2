//! What an allocation, a free or a realloc does: it moves blocks on the heap, or is refused because another event has to
//! come first.

use super::doubt::Debt;
use super::heap::{Block, Heap};
use super::journal::Ending;
use super::stacks::{Known, NodeId};
use super::state::State;

/// How sure the order is in which a stream's event is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// No other stream is in this epoch: what does not fit is a missing event.
    Alone,
    /// Others are: what does not fit may fit later. The event is refused.
    Shared,
    /// Others are, but waiting has not helped: the event is applied, and remembered as a doubt.
    Forced,
}

/// A realloc between its intent and its result. Its block still counts as live, but its address is free to be given out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Pending {
    #[default]
    None,
    Block {
        address: u64,
        block: Block,
    },
    /// Nothing was known at the address.
    Unknown {
        address: u64,
    },
}

impl State {
    /// An allocation. False: refused, its address is live.
    #[inline]
    pub(super) fn alloc(
        &mut self,
        lane_id: u32,
        (address, size): (u64, u64),
        stack: u32,
        realloc: bool,
        certainty: Certainty,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return true };
        let image = lane.image;
        if certainty == Certainty::Shared && self.heap.has(image, address) && !self.doubts.owed(image, address, lane_id)
        {
            return false;
        }
        let time = lane.time;
        let row = match lane.ids.get_mut(stack) {
            Some(known) if known.row != Known::NO_ROW => known.row,
            _ => self.row(lane_id, stack),
        };
        // An object that grows out of its arena is, where arenas count, a new block.
        let replaces = realloc && row != Heap::UNCOUNTED && !self.moves_uncounted(lane_id);
        if realloc {
            self.free_pending(lane_id);
            if let Some(image) = self.heap.image_mut(image).filter(|_| replaces) {
                image.reallocations += 1;
            }
        }
        let debt = if certainty == Certainty::Alone { None } else { self.doubts.pay(image, address, lane_id) };
        let Some(block) = self.heap.allocate(row, size, time) else { return true };
        if let Some(debt) = debt {
            self.heap.count(block, self.now);
            self.note_allocation(block, address, replaces);
            self.take_for(debt, block);
            return true;
        }
        if let Some(old) = self.heap.put(image, address, block) {
            self.displace(old, (image, address), certainty);
        }
        self.heap.count(block, self.now);
        self.note_allocation(block, address, replaces);
        true
    }

    /// A free. False: refused, nothing is live at its address.
    #[inline]
    pub(super) fn free(&mut self, lane_id: u32, address: u64, certainty: Certainty) -> bool {
        let Some(lane) = self.lanes.get(lane_id as usize) else { return true };
        let image = lane.image;
        if lane.thread.is_none() {
            self.admit(lane_id);
        }
        match self.take(lane_id, image, address, certainty) {
            Some(block) => self.release(block, address),
            None if certainty == Certainty::Shared => return false,
            None if certainty == Certainty::Forced => self.doubts.owe(image, address, lane_id, false),
            None => self.count_unknown_free(image, address),
        }
        true
    }

    /// The intent of a realloc. False: refused, nothing is live at its address.
    pub(super) fn intent(&mut self, lane_id: u32, address: u64, certainty: Certainty) -> bool {
        let Some(lane) = self.lanes.get(lane_id as usize) else { return true };
        let image = lane.image;
        if lane.thread.is_none() {
            self.admit(lane_id);
        }
        let taken = self.take(lane_id, image, address, certainty);
        if taken.is_none() && certainty == Certainty::Shared {
            return false;
        }
        // A result that never came.
        self.restore(lane_id);
        if taken.is_none() && certainty == Certainty::Forced {
            self.doubts.owe(image, address, lane_id, true);
        }
        if let Some(lane) = self.lanes.get_mut(lane_id as usize) {
            lane.pending = match taken {
                Some(block) => Pending::Block { address, block },
                None => Pending::Unknown { address },
            };
        }
        true
    }

    fn take(&mut self, lane_id: u32, image: u32, address: u64, certainty: Certainty) -> Option<Block> {
        let block = self.heap.take(image, address)?;
        if certainty != Certainty::Alone {
            self.doubts.freed(image, address, lane_id);
            if let Some(older) = self.doubts.uncover(image, address) {
                self.heap.put(image, address, older);
            }
        }
        Some(block)
    }

    /// `block` turned out to be what `debt` freed.
    fn take_for(&mut self, debt: Debt, block: Block) {
        match self.lanes.get_mut(debt.stream as usize).filter(|_| debt.intent) {
            Some(lane) => lane.pending = Pending::Block { address: debt.address, block },
            None => self.release(block, debt.address),
        }
    }

    /// Whether the stream's realloc is one of a block that does not count.
    fn moves_uncounted(&self, lane_id: u32) -> bool {
        let pending = self.lanes.get(lane_id as usize).map(|lane| &lane.pending);
        matches!(pending, Some(Pending::Block { block, .. }) if !block.counts())
    }

    /// The stream's realloc got rid of its old block.
    fn free_pending(&mut self, lane_id: u32) {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        match std::mem::take(&mut lane.pending) {
            Pending::None => {}
            Pending::Block { address, block } => self.release(block, address),
            Pending::Unknown { address } => {
                if !self.doubts.end_realloc(lane_id, true) {
                    self.count_unknown_free(image, address);
                }
            }
        }
    }

    /// A realloc ended without a block: it failed and its block lives, or it was one to size zero that `freed`.
    pub(super) fn end_realloc(&mut self, lane_id: u32, freed: bool, certainty: Certainty) {
        if freed {
            return self.free_pending(lane_id);
        }
        self.stay(lane_id);
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        match std::mem::take(&mut lane.pending) {
            Pending::None => {}
            Pending::Block { address, block } => {
                if let Some(other) = self.heap.put(image, address, block) {
                    self.displace(other, (image, address), certainty);
                }
            }
            Pending::Unknown { .. } => {
                self.doubts.end_realloc(lane_id, false);
            }
        }
    }

    /// The result of the stream's realloc is missing: its block lives, as far as anyone can know.
    pub(super) fn restore(&mut self, lane_id: u32) {
        self.stay(lane_id);
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        match std::mem::take(&mut lane.pending) {
            Pending::None => {}
            // Somebody was given its address: so the realloc had moved it.
            Pending::Block { address, block } if self.heap.has(image, address) => self.release(block, address),
            Pending::Block { address, block } => {
                self.heap.put(image, address, block);
            }
            Pending::Unknown { .. } => {
                self.doubts.end_realloc(lane_id, false);
            }
        }
    }

    /// A block whose address was given out again.
    fn displace(&mut self, block: Block, (image, address): (u32, u64), certainty: Certainty) {
        if certainty == Certainty::Alone {
            self.vanish(block, (image, address));
        } else {
            self.doubts.double(image, address, block);
        }
    }

    /// Ends a block that was freed.
    #[inline]
    pub(super) fn release(&mut self, block: Block, address: u64) {
        self.heap.release(block, true);
        self.note_end(block, address, Ending::Freed);
    }

    fn count_unknown_free(&mut self, image: u32, address: u64) {
        let inherits = self.census.images.get(image as usize).is_some_and(|image| image.inherits());
        if let Some(heap) = self.heap.image_mut(image) {
            *(if inherits { &mut heap.inherited_frees } else { &mut heap.unmatched_frees }) += 1;
        }
        self.note_unknown(image, address, inherits);
    }

    /// A block is gone and its free was never seen.
    fn vanish(&mut self, block: Block, (image, address): (u32, u64)) {
        self.heap.release(block, false);
        self.note_end(block, address, Ending::Unseen);
        if let Some(image) = self.heap.image_mut(image).filter(|_| block.counts()) {
            image.unmatched_frees += 1;
        }
    }

    /// A shared epoch has ended.
    pub(super) fn settle(&mut self) {
        let left = self.doubts.settle();
        for double in left.doubles {
            self.vanish(double.block, (double.image, double.address));
        }
        for debt in left.debts {
            // Where several streams freed the address, the numbers of allocations and frees decide: as many of one as of
            // the other leave nothing live.
            match debt.any.then(|| self.heap.take(debt.image, debt.address)).flatten() {
                Some(block) => self.take_for(debt, block),
                None if debt.intent => {}
                None => self.count_unknown_free(debt.image, debt.address),
            }
        }
    }

    /// The row of a stack in a stream's thread.
    #[cold]
    pub(super) fn row(&mut self, lane_id: u32, stack: u32) -> u32 {
        let thread = self.admitted(lane_id);
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return 0 };
        match lane.ids.get_mut(stack) {
            Some(known) => {
                let called = self.stacks.called(known.node);
                self.recorded_twice |= called.is_some_and(|called| called.twice);
                known.row = if called.is_none_or(|called| self.pymalloc.counts(called)) {
                    self.heap.row(known.node, thread, lane.image)
                } else {
                    Heap::UNCOUNTED
                };
                known.row
            }
            None => {
                self.lost_stacks += 1;
                self.heap.row(NodeId::LOST, thread, lane.image)
            }
        }
    }
}
