//! What is in doubt while several threads share one epoch.
//!
//! Inside an epoch the order between threads is not recorded; it is guessed from what the allocator can do, and a guess
//! can be wrong. A wrong guess shows as an allocation where a block is still live, or as a free where none is. Neither
//! may cost a count: the first keeps both blocks (a *double*), the second is a *debt* that a later allocation of the
//! same address pays. What is left when the epoch ends was no wrong guess but a missing event.

use super::heap::Block;

/// A block whose address was given out again before a free of it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Double {
    pub(super) image: u32,
    address: u64,
    pub(super) block: Block,
}

/// A free that came before the allocation it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debt {
    pub(super) image: u32,
    pub(super) address: u64,
    /// The stream of the free.
    pub(super) stream: u32,
    /// It is the intent of a realloc whose result is to come.
    pub(super) intent: bool,
    /// Another stream freed the address in this epoch too. Then it may be that free which is open, and the next
    /// allocation, whoever's, the block that it freed.
    pub(super) any: bool,
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
        for debt in self.debts.iter_mut().filter(|debt| debt.stream != stream) {
            debt.any |= (debt.image, debt.address) == (image, address);
        }
        if self.freed.len() < MAX_FREED {
            self.freed.push((image, address, stream));
        }
    }

    /// `stream` frees `address`, or has the intent to, where nothing is live.
    pub(super) fn owe(&mut self, image: u32, address: u64, stream: u32, intent: bool) {
        let any = self.freed.iter().any(|freed| (freed.0, freed.1) == (image, address) && freed.2 != stream);
        self.freed(image, address, stream);
        self.debts.push(Debt { image, address, stream, intent, any });
    }

    /// Whether an allocation of `address` by `stream` is one whose free has been seen already.
    pub(super) fn owed(&self, image: u32, address: u64, stream: u32) -> bool {
        self.debt(image, address, stream).is_some()
    }

    /// The same, and then the debt is paid.
    #[inline]
    pub(super) fn pay(&mut self, image: u32, address: u64, stream: u32) -> Option<Debt> {
        self.debt(image, address, stream).map(|at| self.debts.swap_remove(at))
    }

    /// The realloc under way in `stream` has got its result: a block is `freed`, or not. Whether its intent was a debt.
    pub(super) fn end_realloc(&mut self, stream: u32, freed: bool) -> bool {
        let Some(at) = self.debts.iter().position(|debt| debt.stream == stream && debt.intent) else {
            return false;
        };
        let mut debt = self.debts.swap_remove(at);
        if freed {
            debt.intent = false;
            self.debts.push(debt);
        }
        true
    }

    fn debt(&self, image: u32, address: u64, stream: u32) -> Option<usize> {
        let fits = |debt: &Debt| debt.image == image && debt.address == address && (debt.any || debt.stream != stream);
        self.debts.iter().position(fits)
    }

    /// Ends the epoch. What is left of it: blocks that are gone without a free, and frees without a block.
    pub(super) fn settle(&mut self) -> Left {
        self.freed.clear();
        Left { doubles: std::mem::take(&mut self.doubles), debts: std::mem::take(&mut self.debts) }
    }
}

/// See [`Doubts::settle`].
#[derive(Debug)]
pub(super) struct Left {
    pub(super) doubles: Vec<Double>,
    pub(super) debts: Vec<Debt>,
}
