//! The live blocks of one image, by address.
//!
//! What is near in memory is near here: programs get and free neighbours at about the same time, and of millions of blocks
//! scattered by a hash each one would be a miss of the cache, and of the page tables.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::heap::Block;

/// Allocators align to 16 bytes.
const GRANULE_BITS: u32 = 4;
/// A page has a bit for each of its granules.
const PAGE_BITS: u32 = GRANULE_BITS + 6;
/// This many empty pages are kept in any case: what was used last will be used next.
const SPARE: usize = 64;

/// The blocks that start in one page.
#[derive(Debug, Default)]
struct Page {
    /// Granules that a block starts at.
    used: u64,
    /// One for each bit, in order.
    blocks: Vec<Block>,
}

impl Page {
    /// Where in the list the granule's block is or would be.
    #[inline(always)]
    const fn place(&self, bit: u64) -> usize {
        (self.used & (bit - 1)).count_ones() as usize
    }

    /// The blocks and their addresses, by address. `number`: the page's own.
    fn iter(&self, number: u64) -> impl Iterator<Item = (u64, &Block)> {
        let (start, mut left) = (number << PAGE_BITS, self.used);
        self.blocks.iter().map(move |block| {
            let bit = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (start + (u64::from(bit) << GRANULE_BITS), block)
        })
    }
}

/// Blocks by address.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pages: FxHashMap<u64, Page>,
    empty: usize,
    /// Those that start inside a granule.
    odd: FxHashMap<u64, Block>,
}

/// Page and bit; `None` for an address inside a granule.
#[inline(always)]
const fn split(address: u64) -> Option<(u64, u64)> {
    let granule = address >> GRANULE_BITS;
    if address == granule << GRANULE_BITS { Some((address >> PAGE_BITS, 1 << (granule & 63))) } else { None }
}

impl Blocks {
    /// Whether there is one at `address`.
    pub(super) fn contains(&self, address: u64) -> bool {
        match split(address) {
            Some((page, bit)) => self.pages.get(&page).is_some_and(|page| page.used & bit != 0),
            None => self.odd.contains_key(&address),
        }
    }

    /// Takes the one at `address` out.
    #[inline]
    pub(super) fn remove(&mut self, address: u64) -> Option<Block> {
        let Some((number, bit)) = split(address) else { return self.odd.remove(&address) };
        let page = self.pages.get_mut(&number).filter(|page| page.used & bit != 0)?;
        let place = page.place(bit);
        let found = (place < page.blocks.len()).then(|| page.blocks.remove(place));
        page.used &= !bit;
        if page.used == 0 {
            self.empty += 1;
            if self.empty > SPARE && self.empty > self.pages.len() / 2 {
                self.sweep();
            }
        }
        found
    }

    #[cold]
    fn sweep(&mut self) {
        self.pages.retain(|_, page| page.used != 0);
        self.empty = 0;
    }

    /// Puts one at `address`; answers the one that was there.
    #[inline]
    pub(super) fn insert(&mut self, address: u64, block: Block) -> Option<Block> {
        let Some((number, bit)) = split(address) else { return self.odd.insert(address, block) };
        let page = match self.pages.entry(number) {
            Entry::Occupied(page) => page.into_mut(),
            Entry::Vacant(place) => {
                self.empty += 1;
                place.insert(Page::default())
            }
        };
        let place = page.place(bit);
        if page.used & bit != 0 {
            return page.blocks.get_mut(place).map(|old| std::mem::replace(old, block));
        }
        if page.used == 0 {
            self.empty -= 1;
        }
        page.used |= bit;
        if page.blocks.len() == page.blocks.capacity() {
            // Most pages of large blocks never have a second one.
            page.blocks.reserve_exact(page.blocks.len().max(1));
        }
        page.blocks.insert(place, block);
        None
    }

    /// All of them and their addresses, in any order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Block)> {
        let aligned = self.pages.iter().flat_map(|(number, page)| page.iter(*number));
        aligned.chain(self.odd.iter().map(|(address, block)| (*address, block)))
    }

    /// All of them and their addresses, by address.
    pub(super) fn in_order(&self) -> Vec<(u64, &Block)> {
        // Far fewer than blocks.
        let mut pages: Vec<_> = self.pages.iter().collect();
        pages.sort_unstable_by_key(|(number, _)| **number);
        let mut odd: Vec<_> = self.odd.iter().map(|(address, block)| (*address, block)).collect();
        odd.sort_unstable_by_key(|(address, _)| *address);
        let aligned = pages.into_iter().flat_map(|(number, page)| page.iter(*number));
        let mut all: Vec<_> = aligned.chain(odd).collect();
        // Two runs in order, which a stable sort merges.
        all.sort_by_key(|(address, _)| *address);
        all
    }

    /// All of them, in any order.
    pub(super) fn into_values(self) -> impl Iterator<Item = Block> {
        self.pages.into_values().flat_map(|page| page.blocks).chain(self.odd.into_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::heap::Heap;
    use crate::replay::slices::Cuts;

    /// Does the same as a map of single blocks, at addresses near and far, aligned or not, while pages come and go.
    #[test]
    fn behaves_as_a_map() {
        let mut heap = Heap::new(1, Cuts::Even);
        heap.add_image();
        heap.add_thread();
        let row = heap.row(crate::replay::stacks::NodeId::ROOT, 0, 0);
        let (mut blocks, mut model) = (Blocks::default(), FxHashMap::default());
        let mut random = 88_172_645_463_325_252_u64;
        for step in 0..200_000u64 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let far = [0, 0x7f00_0000_0000, (step / 1000) << 20, u64::MAX << 16][(random >> 60) as usize & 3];
            let address = far | (random & 0x3fff) & if random & 0xf0_0000 == 0 { !0 } else { !15 };
            if random >> 40 & 1 == 0 {
                let block = heap.allocate(row, step, step).unwrap();
                assert_eq!(blocks.insert(address, block), model.insert(address, block));
            } else {
                assert_eq!(blocks.contains(address), model.contains_key(&address));
                assert_eq!(blocks.remove(address), model.remove(&address));
            }
            assert!(blocks.pages.len() <= 2 * model.len() + SPARE + 1);
        }
        assert_eq!(blocks.empty, blocks.pages.values().filter(|page| page.used == 0).count());
        let mut found: Vec<(u64, Block)> = blocks.iter().map(|(address, block)| (address, *block)).collect();
        let mut expected: Vec<(u64, Block)> = model.iter().map(|(address, block)| (*address, *block)).collect();
        found.sort_unstable_by_key(|(address, _)| *address);
        expected.sort_unstable_by_key(|(address, _)| *address);
        assert_eq!(found, expected);
        found = blocks.in_order().into_iter().map(|(address, block)| (address, *block)).collect();
        assert_eq!(found, expected);
        let sizes = |values: &mut dyn Iterator<Item = Block>| {
            let mut sizes: Vec<u64> = values.map(|block| block.size).collect();
            sizes.sort_unstable();
            sizes
        };
        assert_eq!(sizes(&mut blocks.into_values()), sizes(&mut model.into_values()));
    }
}
