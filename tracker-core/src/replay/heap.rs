//! Live blocks and the sums over them: per row (stack and thread), per image, for the whole tree.
//!
//! The peak is found in one pass. Each new maximum gets a number. A row that is about to change first saves its value,
//! if it has not done so since the current maximum; so at the end the saved value (or the present one, if the row never
//! changed again) is what the row held at the last maximum. Of equal maxima the earliest is the peak.
//!
//! Knows nothing of order, stack contents or time's meaning. Sizes come from a file: sums of what is live are kept below
//! their limit, all others saturate.

use rustc_hash::FxHashMap;

use super::blocks::Blocks;
use super::checkpoint::BlockAt;
use super::regions::Regions;
use super::slices::{Cuts, Sliced, Slices, Tally};
use super::stacks::NodeId;

/// Blocks and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    pub blocks: u64,
    pub bytes: u64,
}

impl Amount {
    #[inline(always)]
    pub(super) fn add(&mut self, size: u64) {
        self.blocks += 1;
        self.bytes = self.bytes.saturating_add(size);
    }

    #[inline(always)]
    pub(super) fn sub(&mut self, size: u64) {
        self.blocks = self.blocks.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
    }

    /// Adds another sum.
    pub fn join(&mut self, other: Self) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A live block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Requested bytes.
    pub size: u64,
    /// Time of its allocation.
    pub time: u64,
    /// Number of the allocation among those of its thread.
    pub serial: u64,
    /// Who allocated it.
    pub row: u32,
    /// The turn of [`Slices`] it was allocated in.
    turn: u32,
}

impl Block {
    /// Whether its memory counts here.
    pub(super) fn counts(&self) -> bool {
        self.row != Heap::UNCOUNTED
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Saved {
    peak: u64,
    amount: Amount,
}

/// The numbers of one stack in one thread.
#[derive(Debug, Clone)]
pub struct Row {
    /// The stack.
    pub node: NodeId,
    /// Index of the thread.
    pub thread: u32,
    image: u32,
    live: Amount,
    pub allocated: Amount,
    pub temporary: Amount,
    pub leaked: Amount,
    /// Most bytes of one allocation.
    pub largest: u64,
    saved: Saved,
    image_saved: Saved,
    tally: Tally,
    /// Time of the first and last allocation.
    pub first: u64,
    pub last: u64,
    /// The same, of the blocks that leaked.
    pub leaked_first: u64,
    pub leaked_last: u64,
}

/// A sum of live blocks and its maximum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    pub live: Amount,
    /// The maximum of `live.bytes`, with the blocks there were then.
    pub peak: Amount,
    /// When it was first reached.
    pub peak_at: u64,
    /// Number of the maximum.
    number: u64,
}

impl Scope {
    #[inline(always)]
    fn grow(&mut self, size: u64, time: u64) {
        self.live.add(size);
        if self.live.bytes > self.peak.bytes {
            self.peak = self.live;
            self.peak_at = time;
            self.number += 1;
        }
    }
}

/// One image's blocks and sums.
#[derive(Debug, Default)]
pub struct ImageHeap {
    blocks: Blocks,
    pub scope: Scope,
    /// Blocks that were freed.
    pub frees: u64,
    pub reallocations: u64,
    /// Frees of blocks that belong to the image this one was forked from.
    pub inherited_frees: u64,
    /// Frees of unknown blocks, and blocks whose address was given out again without a free.
    pub unmatched_frees: u64,
}

impl ImageHeap {
    /// Its live blocks by their addresses; those of mappings by numbers of their own.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (u64, &Block)> {
        self.blocks.iter()
    }
}

/// Everything that is live.
#[derive(Debug)]
pub struct Heap {
    temporary_distance: u64,
    rows: Vec<Row>,
    row_ids: FxHashMap<u64, u32>,
    /// Allocations so far, per thread.
    serials: Vec<u64>,
    images: Vec<ImageHeap>,
    /// The whole tree.
    pub tree: Scope,
    pub allocated: Amount,
    /// Most bytes live since [`Self::reset_high`].
    pub high: u64,
    /// Allocations by size class: 0, 1, 2-3, 4-7, …
    pub sizes: [Amount; 65],
    /// What rows did over time.
    pub slices: Slices,
    /// What they did in regions.
    pub regions: Regions,
}

impl Heap {
    /// The row of blocks that are kept track of but count nowhere, because their memory counts in another way.
    pub const UNCOUNTED: u32 = u32::MAX - 1;

    /// Nothing is live. `temporary_distance`: a block is temporary when its thread allocated at most this many others
    /// between its allocation and its free.
    pub fn new(temporary_distance: u64, cuts: Cuts) -> Self {
        Self {
            temporary_distance,
            rows: Vec::new(),
            row_ids: FxHashMap::default(),
            serials: Vec::new(),
            images: Vec::new(),
            tree: Scope::default(),
            allocated: Amount::default(),
            high: 0,
            sizes: [Amount::default(); 65],
            slices: Slices::new(cuts),
            regions: Regions::default(),
        }
    }

    /// Adds an image; images are numbered from 0.
    pub fn add_image(&mut self) {
        self.images.push(ImageHeap::default());
    }

    /// Adds a thread; threads are numbered from 0.
    pub fn add_thread(&mut self) {
        self.serials.push(0);
    }

    /// All rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// One image's sums.
    pub fn image(&self, image: u32) -> Option<&ImageHeap> {
        self.images.get(image as usize)
    }

    /// One image's sums, to be counted up.
    pub fn image_mut(&mut self, image: u32) -> Option<&mut ImageHeap> {
        self.images.get_mut(image as usize)
    }

    /// Starts a new interval for `high`.
    pub fn reset_high(&mut self) {
        self.high = self.tree.live.bytes;
    }

    /// Ends a slice of time, before anything at `now` is counted.
    pub fn close_slice(&mut self, now: u64) {
        self.settle_slice();
        self.slices.close(now, self.rows.len());
    }

    /// Ends all slices; `end`: the capture's last moment.
    pub fn finish_slices(&mut self, end: u64) -> Sliced {
        self.settle_slice();
        std::mem::replace(&mut self.slices, Slices::new(Cuts::Even)).finish(end)
    }

    fn settle_slice(&mut self) {
        for row in self.slices.take_touched() {
            if let Some(found) = self.rows.get(row as usize) {
                self.slices.settle(row, &found.tally);
            }
        }
    }

    /// Number of the row of a stack in a thread of an image.
    pub fn row(&mut self, node: NodeId, thread: u32, image: u32) -> u32 {
        let next = self.rows.len() as u32;
        let id = *self.row_ids.entry(u64::from(thread) << 32 | u64::from(node.0)).or_insert(next);
        if id == next {
            let number = |scope: &Scope| Saved { peak: scope.number, amount: Amount::default() };
            self.rows.push(Row {
                node,
                thread,
                image,
                live: Amount::default(),
                allocated: Amount::default(),
                temporary: Amount::default(),
                leaked: Amount::default(),
                largest: 0,
                saved: number(&self.tree),
                image_saved: self.images.get(image as usize).map_or(Saved::default(), |image| number(&image.scope)),
                tally: Tally::default(),
                first: u64::MAX,
                last: 0,
                leaked_first: u64::MAX,
                leaked_last: 0,
            });
        }
        id
    }

    /// The block at `address`.
    pub fn has(&self, image: u32, address: u64) -> bool {
        self.images.get(image as usize).is_some_and(|image| image.blocks.contains(address))
    }

    /// Takes the block at `address` out of the map; it still counts as live until [`Self::release`].
    #[inline]
    pub fn take(&mut self, image: u32, address: u64) -> Option<Block> {
        self.images.get_mut(image as usize)?.blocks.remove(address)
    }

    /// Puts a block (back) under `address`; answers the one it displaces.
    #[inline]
    pub fn put(&mut self, image: u32, address: u64, block: Block) -> Option<Block> {
        self.images.get_mut(image as usize)?.blocks.insert(address, block)
    }

    /// A block that its thread has just been given, to be counted before any other one. No bigger than what there is room
    /// for in the sum of what is live: a sum that was cut could not be taken apart again.
    #[inline]
    pub fn allocate(&mut self, row: u32, size: u64, time: u64) -> Option<Block> {
        if row == Self::UNCOUNTED {
            return Some(Block { size, time, serial: 0, row, turn: self.slices.turn() });
        }
        let thread = self.rows.get(row as usize)?.thread;
        let serial = self.serials.get_mut(thread as usize)?;
        // Where a replay begins at a checkpoint, this is a file's word.
        *serial = serial.wrapping_add(1);
        let size = size.min(u64::MAX - self.tree.live.bytes);
        Some(Block { size, time, serial: *serial, row, turn: self.slices.turn() })
    }

    /// Counts a block as live. `now`: the time for the peak.
    #[inline]
    pub fn count(&mut self, block: Block, now: u64) {
        let Block { size, time, .. } = block;
        let Some(row) = self.rows.get_mut(block.row as usize) else { return };
        let Some(image) = self.images.get_mut(row.image as usize) else { return };
        row.save(&self.tree, &image.scope);
        row.live.add(size);
        row.allocated.add(size);
        row.largest = row.largest.max(size);
        row.first = row.first.min(time);
        row.last = row.last.max(time);
        self.slices.allocated(&mut row.tally, block.row, size);
        image.scope.grow(size, now);
        self.tree.grow(size, now);
        self.high = self.high.max(self.tree.live.bytes);
        self.allocated.add(size);
        if self.regions.is_open() {
            self.regions.allocated((row.image, row.thread), &block);
        }
        let class = (u64::BITS - size.leading_zeros()) as usize;
        if let Some(class) = self.sizes.get_mut(class) {
            class.add(size);
        }
    }

    /// Allocations so far, per thread.
    pub(super) fn serials(&self) -> &[u64] {
        &self.serials
    }

    /// Takes what the threads that there are had allocated.
    pub(super) fn set_serials(&mut self, serials: &[u64]) {
        self.serials.iter_mut().zip(serials).for_each(|(serial, then)| *serial = *then);
    }

    /// How many allocations of its thread came after a block's.
    fn age(&self, block: &Block) -> u64 {
        let thread = self.rows.get(block.row as usize).map_or(0, |row| row.thread);
        self.serials.get(thread as usize).map_or(0, |serial| serial.wrapping_sub(block.serial))
    }

    /// All live blocks, by image and address, for a checkpoint.
    pub(super) fn blocks_at(&self) -> Vec<BlockAt> {
        let oldest = self.temporary_distance.saturating_add(1);
        let at = |(address, block): (u64, &Block)| BlockAt {
            address,
            size: block.size,
            row: block.row,
            age: self.age(block).min(oldest),
        };
        let in_order = self.images.iter().flat_map(|image| image.blocks.in_order());
        in_order.filter(|(_, block)| block.counts()).map(at).collect()
    }

    /// Puts a checkpoint's block where it was, as if it were allocated now.
    pub(super) fn recall(&mut self, at: &BlockAt, now: u64) {
        let Some(&Row { thread, image, .. }) = self.rows.get(at.row as usize) else { return };
        let Some(serial) = self.serials.get(thread as usize).map(|serial| serial.wrapping_sub(at.age)) else { return };
        let size = at.size.min(u64::MAX - self.tree.live.bytes);
        let block = Block { size, time: now, serial, row: at.row, turn: self.slices.turn() };
        self.put(image, at.address, block);
        self.count(block, now);
    }

    /// Ends a block that is in no map any more. `freed`: by a free, not by the end of its image or of its address.
    #[inline]
    pub fn release(&mut self, block: Block, freed: bool) {
        let Some(row) = self.rows.get_mut(block.row as usize) else { return };
        let Some(image) = self.images.get_mut(row.image as usize) else { return };
        row.save(&self.tree, &image.scope);
        row.live.sub(block.size);
        image.scope.live.sub(block.size);
        self.tree.live.sub(block.size);
        let mut temporary = false;
        if freed {
            image.frees += 1;
            let serial = self.serials.get(row.thread as usize).map_or(0, |serial| *serial);
            temporary = serial.wrapping_sub(block.serial) <= self.temporary_distance;
            if temporary {
                row.temporary.add(block.size);
            }
        }
        if self.regions.has_blocks() {
            self.regions.freed(row.thread, &block, temporary);
        }
        self.slices.freed(&mut row.tally, (block.row, block.turn), block.size, temporary);
    }

    /// A part of a block is gone; it lives on with the rest.
    #[cold]
    pub(super) fn shrink(&mut self, block: &mut Block, bytes: u64) {
        let Some(row) = self.rows.get_mut(block.row as usize) else { return };
        let Some(image) = self.images.get_mut(row.image as usize) else { return };
        row.save(&self.tree, &image.scope);
        // Regions know whole blocks only.
        if self.regions.has_blocks() {
            self.regions.freed(row.thread, block, false);
        }
        for live in [&mut row.live, &mut image.scope.live, &mut self.tree.live] {
            live.bytes = live.bytes.saturating_sub(bytes);
        }
        block.size = block.size.saturating_sub(bytes);
        // Far from any: what goes bit by bit is not temporary.
        block.serial = u64::MAX / 2;
        self.slices.shrunk(&mut row.tally, (block.row, block.turn), bytes);
    }

    /// Ends an image at `time`: whatever it has live leaked, and is gone.
    pub fn end_image(&mut self, image_id: u32, time: u64) {
        let Some(image) = self.images.get_mut(image_id as usize) else { return };
        self.slices.begin_end(time);
        self.regions.end_image(image_id, time);
        let in_regions = self.regions.has_blocks();
        for block in std::mem::take(&mut image.blocks).into_values() {
            let Some(row) = self.rows.get_mut(block.row as usize) else { continue };
            row.save(&self.tree, &image.scope);
            row.live.sub(block.size);
            row.leaked.add(block.size);
            row.leaked_first = row.leaked_first.min(block.time);
            row.leaked_last = row.leaked_last.max(block.time);
            if in_regions {
                self.regions.freed(row.thread, &block, false);
            }
            self.slices.gone(block.row, block.size, time);
            image.scope.live.sub(block.size);
            self.tree.live.sub(block.size);
        }
    }
}

impl Row {
    /// Index of the image.
    pub(super) const fn image(&self) -> u32 {
        self.image
    }

    #[inline(always)]
    fn save(&mut self, tree: &Scope, image: &Scope) {
        if self.saved.peak != tree.number {
            self.saved = Saved { peak: tree.number, amount: self.live };
        }
        if self.image_saved.peak != image.number {
            self.image_saved = Saved { peak: image.number, amount: self.live };
        }
    }

    /// What the row held at the tree's peak, and at its image's.
    pub fn at_peaks(&self, heap: &Heap) -> (Amount, Amount) {
        let image = heap.image(self.image).map_or(Scope::default(), |image| image.scope);
        let at = |saved: &Saved, scope: &Scope| {
            if saved.peak == scope.number { saved.amount } else { self.live }
        };
        (at(&self.saved, &heap.tree), at(&self.image_saved, &image))
    }
}
