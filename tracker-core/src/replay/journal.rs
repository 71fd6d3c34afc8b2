//! What happens to blocks, one by one, in the order of the replay: for those who want more than sums. Nothing is noted
//! unless somebody listens.

use super::heap::Block;
use super::state::State;

/// How a block ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By a free, or as the old block of a realloc.
    Freed,
    /// Its address was given out again, and no free was seen.
    Unseen,
    /// Its image ended: it leaked.
    Leaked,
}

/// Something that happened. Times are the latest the replay has seen, so they never go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// A block was allocated; with `realloc`, as the new one of a realloc, whose old one has ended just before.
    Allocated { time: u64, row: u32, address: u64, size: u64, realloc: bool },
    /// A block of `row`, its allocator, is gone.
    Ended { time: u64, row: u32, address: u64, size: u64, ending: Ending },
    /// The mapping that was made at `address` lost `size` bytes and lives on with the rest of its `before`.
    Shrunk { time: u64, row: u32, address: u64, size: u64, before: u64 },
    /// A free of what no event had allocated; `inherited`: it may be a block of the parent process.
    Unknown { time: u64, process: Option<u32>, address: u64, inherited: bool },
}

/// Gets what has happened since it was called last.
pub type Listener<'l> = dyn FnMut(&[Happening]) -> std::io::Result<()> + 'l;

impl State {
    #[inline]
    pub(super) fn note_allocation(&mut self, block: Block, address: u64, realloc: bool) {
        if let Some(journal) = &mut self.journal {
            let Block { row, size, .. } = block;
            journal.push(Happening::Allocated { time: self.now, row, address, size, realloc });
        }
    }

    #[inline]
    pub(super) fn note_end(&mut self, block: Block, address: u64, ending: Ending) {
        if let Some(journal) = &mut self.journal {
            let Block { row, size, .. } = block;
            journal.push(Happening::Ended { time: self.now, row, address, size, ending });
        }
    }

    pub(super) fn note_shrink(&mut self, block: Block, address: u64, size: u64) {
        if let Some(journal) = &mut self.journal {
            let Block { row, size: before, .. } = block;
            journal.push(Happening::Shrunk { time: self.now, row, address, size, before });
        }
    }

    pub(super) fn note_unknown(&mut self, image: u32, address: u64, inherited: bool) {
        if let Some(journal) = &mut self.journal {
            let process = self.census.images.get(image as usize).and_then(|image| image.process);
            journal.push(Happening::Unknown { time: self.now, process, address, inherited });
        }
    }

    /// Before the blocks of an image go with it at `time`.
    pub(super) fn note_leaks(&mut self, image: u32, time: u64) {
        let Some(journal) = &mut self.journal else { return };
        let time = time.max(self.now);
        let bases = self.mappings.bases(image);
        for (address, &Block { row, size, .. }) in self.heap.image(image).into_iter().flat_map(|heap| heap.blocks()) {
            let address = bases.get(&address).copied().unwrap_or(address);
            journal.push(Happening::Ended { time, row, address, size, ending: Ending::Leaked });
        }
    }
}
