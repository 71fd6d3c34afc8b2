//! What is in doubt while several threads share one epoch.
//!
//! Inside an epoch the order between threads is not recorded; it is guessed from what the allocator can do, and a guess
//! can be wrong. A wrong guess shows as an allocation where a block is still live, or as a free where none is. Neither
//! may cost a count: the first keeps both blocks (a *double*), the second is a *debt* that a later allocation of the
//! same address pays. What is left when the epoch ends was no wrong guess but a missing event.

use super::heap::Block;

/// A block whose address was given out again before a free of it was seen.
#[derive(Debug, Clone, Copy)]
struct Double {
    image: u32,
    address: u64,
    block: Block,
}

/// A free that came before the allocation it belongs to.
#[derive(Debug, Clone, Copy)]
struct Debt {
    image: u32,
    address: u64,
    /// The stream whose free is open. Its own next allocation of the address is not the one that was freed.
    owner: u32,
}

/// The doubts of the epoch at hand.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    doubles: Vec<Double>,
    debts: Vec<Debt>,
    /// Who freed what, in this epoch.
    freed: Vec<(u32, u64, u32)>,
}

/// Frees remembered per epoch. A thread that only frees does not end its epoch, so there is no natural bound.
const MAX_FREED: usize = 4096;

impl Doubts {
    /// `block` was live at `address` when that was allocated again.
    pub(super) fn double(&mut self, image: u32, address: u64, block: Block) {
        self.doubles.push(Double { image, address, block });
    }

    /// The newest block was taken from `address`: the one that was live before it, if there is one.
    #[inline]
    pub(super) fn uncover(&mut self, image: u32, address: u64) -> Option<Block> {
        if self.doubles.is_empty() {
            return None;
        }
        let last = self.doubles.iter().rposition(|double| double.image == image && double.address == address)?;
        Some(self.doubles.remove(last).block)
    }

    /// Remembers that `stream` freed the block at `address`.
    pub(super) fn freed(&mut self, image: u32, address: u64, stream: u32) {
        if self.freed.len() < MAX_FREED {
            self.freed.push((image, address, stream));
        }
    }

    /// `stream` frees `address`, where nothing is live. If another stream took that block in this epoch, then the two
    /// frees were guessed in the wrong order, and it is the other one that is still open.
    pub(super) fn owe(&mut self, image: u32, address: u64, stream: u32) {
        let other = self.freed.iter().rev().find(|freed| (freed.0, freed.1) == (image, address) && freed.2 != stream);
        let owner = other.map_or(stream, |freed| freed.2);
        self.debts.push(Debt { image, address, owner });
    }

    /// `stream` allocates `address`: whether that block is one whose free has been seen already.
    #[inline]
    pub(super) fn pay(&mut self, image: u32, address: u64, stream: u32) -> bool {
        if self.debts.is_empty() {
            return false;
        }
        let found =
            self.debts.iter().position(|debt| debt.image == image && debt.address == address && debt.owner != stream);
        found.map(|at| self.debts.swap_remove(at)).is_some()
    }

    /// Ends the epoch: blocks that are gone without a free, and images with frees without a block.
    pub(super) fn settle(&mut self) -> (Vec<(u32, Block)>, Vec<u32>) {
        self.freed.clear();
        let doubles = self.doubles.drain(..).map(|double| (double.image, double.block)).collect();
        (doubles, self.debts.drain(..).map(|debt| debt.image).collect())
    }
}
