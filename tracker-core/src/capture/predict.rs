//! What the next event will probably be, from those before it in the same block. Packing and unpacking step one of these
//! alike, so a right guess costs a code and a wrong one nothing but its miss; nothing depends on it but size.
//!
//! Allocators give out what was freed last, or what lies behind the last block; programs free what they allocated last,
//! and ask for the same size at the same place. The tables are small and forget: each is one cache's worth.

use crate::format::Deltas;

/// Addresses count in units of 16 bytes, as in [`Deltas`].
const UNIT: u64 = 16;
/// Bytes that the C library puts in front of a block; it rounds to units, and gives two at least.
const OVERHEAD: u64 = 8;
const BLOCKS: usize = 4096;
const CLASSES: usize = 64;
/// Freed blocks that are remembered of each class.
const FREED: usize = 16;
const STACKS: usize = 1024;
/// Live blocks that are remembered in the order of their allocation.
const NEWEST: usize = 1024;

#[derive(Debug, Clone, Copy, Default)]
struct Block {
    address: u64,
    /// 0: none.
    class: u8,
}

#[derive(Debug, Clone, Copy)]
struct Freed {
    addresses: [u64; FREED],
    top: u8,
    len: u8,
}

/// The state at one point of a block.
pub(super) struct Predictor {
    blocks: Box<[Block; BLOCKS]>,
    freed: [Freed; CLASSES],
    sizes: Box<[(u32, u32); STACKS]>,
    newest: Vec<u64>,
    behind: u64,
}

const fn units(size: u64) -> u64 {
    let units = (size.saturating_add(OVERHEAD)).div_ceil(UNIT);
    if units < 2 { 2 } else { units }
}

fn class(size: u64) -> usize {
    units(size).min(CLASSES as u64 - 1) as usize
}

fn place(address: u64) -> usize {
    (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52) as usize % BLOCKS
}

impl Predictor {
    pub(super) fn new() -> Self {
        Self {
            blocks: Box::new([Block::default(); BLOCKS]),
            freed: [Freed { addresses: [0; FREED], top: 0, len: 0 }; CLASSES],
            sizes: Box::new([(0, 0); STACKS]),
            newest: Vec::new(),
            behind: 0,
        }
    }

    /// Forgets everything: a block is read without those before it.
    pub(super) fn start(&mut self) -> Deltas {
        self.blocks.fill(Block::default());
        self.freed.iter_mut().for_each(|freed| freed.len = 0);
        self.sizes.fill((0, 0));
        self.newest.clear();
        self.behind = 0;
        // A block's events are relative to where the last one ended. Anywhere in the middle is as good: no difference wraps.
        Deltas { address: 1 << 50, stack: 1 << 30, epoch: 0, time: 0 }
    }

    /// The size last asked for at `stack`.
    pub(super) fn size(&self, stack: u32) -> Option<u32> {
        let (known, size) = self.sizes[stack as usize % STACKS];
        (known == stack).then_some(size)
    }

    /// The last freed block of that size.
    pub(super) fn reused(&self, size: u64) -> Option<u64> {
        let freed = &self.freed[class(size)];
        (freed.len != 0).then(|| freed.addresses[usize::from(freed.top) % FREED])
    }

    /// The place behind the block that was carved out last.
    pub(super) fn behind(&self) -> u64 {
        self.behind
    }

    /// The newest block that lives.
    pub(super) fn newest(&mut self) -> Option<u64> {
        while let Some(&address) = self.newest.last() {
            let block = self.blocks[place(address)];
            if block.class != 0 && block.address == address {
                return Some(address);
            }
            self.newest.pop();
        }
        None
    }

    /// A block was allocated.
    pub(super) fn alloc(&mut self, address: u64, size: u64, stack: u32) {
        let class = class(size);
        let freed = &mut self.freed[class];
        if freed.len != 0 && freed.addresses[usize::from(freed.top) % FREED] == address {
            freed.len -= 1;
            freed.top = freed.top.wrapping_sub(1);
        } else {
            self.behind = address.wrapping_add(units(size));
        }
        self.blocks[place(address)] = Block { address, class: class as u8 };
        self.sizes[stack as usize % STACKS] = (stack, size as u32);
        if self.newest.len() == NEWEST {
            self.newest.clear();
        }
        self.newest.push(address);
    }

    /// A block is freed.
    pub(super) fn free(&mut self, address: u64) {
        let block = &mut self.blocks[place(address)];
        if block.class != 0 && block.address == address {
            let freed = &mut self.freed[usize::from(block.class) % CLASSES];
            block.class = 0;
            freed.top = freed.top.wrapping_add(1);
            freed.len = (freed.len + 1).min(FREED as u8);
            freed.addresses[usize::from(freed.top) % FREED] = address;
        }
    }
}
