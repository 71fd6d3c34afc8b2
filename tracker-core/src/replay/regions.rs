//! Regions that a program marks in its run: what was allocated in each, what of that was live at once, and what of it was
//! still live when the region ended.
//!
//! A region belongs to the thread that began it, or to its whole process; both may be open at once, and inside each other. An
//! allocation counts in every region that is open for its thread. A block's end counts in those of them that are still
//! open. Nothing here costs anything while no region is open and no block of one is live.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::heap::{Amount, Block};
use crate::format::record::RegionScope;

/// Most regions that are open for a thread at once; deeper ones are not counted.
const DEPTH: usize = 8;
/// Most regions of different names.
const MAX_REGIONS: usize = 1 << 16;
/// Most rows of all regions together.
const MAX_ROWS: usize = 1 << 18;

/// The numbers of one row in a region, all the times it was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    pub allocated: Amount,
    /// Most bytes of one allocation.
    pub largest: u64,
    /// Freed in the region, right after.
    pub temporary: Amount,
    /// Live when the region ended.
    pub left: Amount,
    /// Live when the region held most, the time it held most of all.
    pub peak: Amount,
}

/// All regions of one name in one image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Region {
    pub image: u32,
    pub name: Vec<u8>,
    /// What the program itself allows in it.
    pub limits: Vec<u8>,
    /// How often it ended.
    pub entered: u64,
    /// When it first began and first ended.
    pub begin: u64,
    pub end: u64,
    /// Most bytes of it that were live at once.
    peak: u64,
    /// By the replay's rows.
    pub rows: BTreeMap<u32, Share>,
}

/// A row in an open region.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    allocated: Amount,
    largest: u64,
    temporary: Amount,
    live: Amount,
    /// Number of the maximum that `saved` is of.
    number: u64,
    saved: Amount,
}

impl Cell {
    fn save(&mut self, number: u64) {
        if self.number != number {
            (self.number, self.saved) = (number, self.live);
        }
    }
}

/// A region between its begin and its end.
#[derive(Debug)]
struct Open {
    /// Index of its [`Region`].
    region: u32,
    id: u64,
    begin: u64,
    image: u32,
    /// `None`: of the whole process.
    thread: Option<u32>,
    live: Amount,
    peak: u64,
    /// Number of the maximum.
    number: u64,
    cells: FxHashMap<u32, Cell>,
}

/// Which open regions a block was allocated in; 0 is none.
type Members = [u32; DEPTH];

/// All of them.
#[derive(Debug, Default)]
pub struct Regions {
    /// In order of first begin.
    pub regions: Vec<Region>,
    names: FxHashMap<(u32, Vec<u8>), u32>,
    /// By serial number, from 1.
    open: FxHashMap<u32, Open>,
    /// Serial numbers by image and id.
    ids: FxHashMap<(u32, u64), u32>,
    /// Image and serial number of each.
    by_image: BTreeSet<(u32, u32)>,
    last_serial: u32,
    of_threads: FxHashMap<u32, Vec<u32>>,
    of_images: FxHashMap<u32, Vec<u32>>,
    /// By thread, and number of the allocation in it.
    members: FxHashMap<(u32, u64), Members>,
    rows: usize,
    /// Regions and rows that found no room.
    pub ignored: u64,
}

impl Regions {
    /// Whether allocations have to be told.
    #[inline(always)]
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether ends of blocks have to be told.
    #[inline(always)]
    pub fn has_blocks(&self) -> bool {
        !self.members.is_empty()
    }

    /// A region begins in a thread (by its index) of an image.
    pub fn begin(
        &mut self,
        (image, thread): (u32, u32),
        id: u64,
        scope: RegionScope,
        (name, limits): (&[u8], &[u8]),
        time: u64,
    ) {
        let depth = |list: Option<&Vec<u32>>| list.map_or(0, Vec::len);
        let deep = depth(self.of_threads.get(&thread)) + depth(self.of_images.get(&image)) >= DEPTH;
        // An id that is open already is no id.
        if deep || self.ids.contains_key(&(image, id)) {
            self.ignored += 1;
            return;
        }
        let next = self.regions.len() as u32;
        let region = match self.names.get(&(image, name.to_vec())) {
            Some(region) => *region,
            None if self.regions.len() >= MAX_REGIONS => {
                self.ignored += 1;
                return;
            }
            None => {
                self.names.insert((image, name.to_vec()), next);
                let (name, limits) = (name.to_vec(), limits.to_vec());
                self.regions.push(Region { image, name, limits, begin: time, ..Region::default() });
                next
            }
        };
        self.last_serial = self.last_serial.wrapping_add(1).max(1);
        let thread = (scope == RegionScope::Thread).then_some(thread);
        match thread {
            Some(thread) => self.of_threads.entry(thread).or_default().push(self.last_serial),
            None => self.of_images.entry(image).or_default().push(self.last_serial),
        }
        let (live, cells) = (Amount::default(), FxHashMap::default());
        let open = Open { region, id, begin: time, image, thread, live, peak: 0, number: 0, cells };
        self.open.insert(self.last_serial, open);
        self.ids.insert((image, id), self.last_serial);
        self.by_image.insert((image, self.last_serial));
    }

    /// A region of an image ends. One that is not open, as in a forked child, is none.
    pub fn end(&mut self, image: u32, id: u64, time: u64) {
        if let Some(serial) = self.ids.get(&(image, id)).copied() {
            self.close(serial, time);
        }
    }

    /// An image ends, and with it what is open in it.
    pub fn end_image(&mut self, image: u32, time: u64) {
        let of_image: Vec<u32> =
            self.by_image.range((image, 0)..=(image, u32::MAX)).map(|(_, serial)| *serial).collect();
        of_image.into_iter().rev().for_each(|serial| self.close(serial, time));
    }

    fn close(&mut self, serial: u32, time: u64) {
        let Some(open) = self.open.remove(&serial) else { return };
        self.ids.remove(&(open.image, open.id));
        self.by_image.remove(&(open.image, serial));
        let list = match open.thread {
            Some(thread) => self.of_threads.get_mut(&thread),
            None => self.of_images.get_mut(&open.image),
        };
        if let Some(list) = list {
            list.retain(|other| *other != serial);
        }
        let Some(region) = self.regions.get_mut(open.region as usize) else { return };
        if region.entered == 0 {
            (region.begin, region.end) = (open.begin, time);
        }
        region.entered += 1;
        self.rows -= open.cells.len();
        let most = open.peak > region.peak;
        if most {
            region.peak = open.peak;
            region.rows.values_mut().for_each(|share| share.peak = Amount::default());
        }
        for (row, mut cell) in open.cells {
            cell.save(open.number);
            if !region.rows.contains_key(&row) {
                if self.rows >= MAX_ROWS {
                    self.ignored += 1;
                    continue;
                }
                self.rows += 1;
            }
            let share = region.rows.entry(row).or_default();
            share.allocated.join(cell.allocated);
            share.largest = share.largest.max(cell.largest);
            share.temporary.join(cell.temporary);
            share.left.join(cell.live);
            if most {
                share.peak = cell.saved;
            }
        }
    }

    /// A block was allocated by a thread of an image.
    #[cold]
    pub fn allocated(&mut self, (image, thread): (u32, u32), block: &Block) {
        let mut members = Members::default();
        let listed = [self.of_images.get(&image), self.of_threads.get(&thread)];
        for (member, serial) in members.iter_mut().zip(listed.into_iter().flatten().flatten()) {
            let Some(open) = self.open.get_mut(serial) else { continue };
            let cell = match open.cells.get_mut(&block.row) {
                Some(cell) => cell,
                None if self.rows >= MAX_ROWS => {
                    self.ignored += 1;
                    continue;
                }
                None => {
                    self.rows += 1;
                    open.cells.entry(block.row).or_insert(Cell { number: open.number, ..Cell::default() })
                }
            };
            *member = *serial;
            cell.save(open.number);
            cell.allocated.add(block.size);
            cell.largest = cell.largest.max(block.size);
            cell.live.add(block.size);
            open.live.add(block.size);
            if open.live.bytes > open.peak {
                open.peak = open.live.bytes;
                open.number += 1;
            }
        }
        if members != Members::default() {
            self.members.insert((thread, block.serial), members);
        }
    }

    /// A block that a thread allocated is gone.
    #[cold]
    pub fn freed(&mut self, thread: u32, block: &Block, temporary: bool) {
        let Some(members) = self.members.remove(&(thread, block.serial)) else { return };
        for serial in members.into_iter().filter(|serial| *serial != 0) {
            let Some(open) = self.open.get_mut(&serial) else { continue };
            let Some(cell) = open.cells.get_mut(&block.row) else { continue };
            cell.save(open.number);
            cell.live.sub(block.size);
            open.live.sub(block.size);
            if temporary {
                cell.temporary.add(block.size);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::heap::Heap;
    use crate::replay::slices::Cuts;
    use crate::replay::stacks::NodeId;

    /// A script: `+B:THREAD:SIZE` and `-B` for a block, `[N:THREAD` and `{N:THREAD` for a region of the thread or the process, `]N`
    /// for its end, `!` for the image's. Answers for each region `name entered allocated left peak temporary largest` in bytes.
    #[track_caller]
    fn check(script: &str, expected: &str) {
        let mut heap = Heap::new(0, Cuts::Even);
        heap.add_image();
        (0..2).for_each(|_| heap.add_thread());
        let rows = [heap.row(NodeId(1), 0, 0), heap.row(NodeId(1), 1, 0)];
        for (time, word) in (1u64..).zip(script.split_whitespace()) {
            let (what, rest) = word.split_at(1);
            let numbers: Vec<u64> = rest.split(':').filter_map(|number| number.parse().ok()).collect();
            match (what, numbers.as_slice()) {
                ("+", &[address, thread, size]) => {
                    let block = heap.allocate(rows[thread as usize], size, time).unwrap();
                    heap.put(0, address, block);
                    heap.count(block, time);
                }
                ("-", &[address]) => {
                    let block = heap.take(0, address).unwrap();
                    heap.release(block, true);
                }
                ("[" | "{", &[name, thread]) => {
                    let scope = if what == "[" { RegionScope::Thread } else { RegionScope::Process };
                    let text = name.to_string();
                    heap.regions.begin((0, thread as u32), name, scope, (text.as_bytes(), b""), time);
                }
                ("]", &[name]) => heap.regions.end(0, name, time),
                _ => heap.end_image(0, time),
            }
        }
        let told = heap.regions.regions.iter().map(|region| {
            let sum = |amount: fn(&Share) -> Amount| region.rows.values().map(|share| amount(share).bytes).sum::<u64>();
            let largest = region.rows.values().map(|share| share.largest).max().unwrap_or(0);
            let sums = [sum(|s| s.allocated), sum(|s| s.left), sum(|s| s.peak), sum(|s| s.temporary), largest];
            assert_eq!(sum(|s| s.peak), region.peak, "the rows are the peak");
            format!("{} {} {:?}", String::from_utf8_lossy(&region.name), region.entered, sums)
        });
        assert_eq!(told.collect::<Vec<_>>().join("; "), expected, "{script}");
        assert!(!heap.regions.is_open() || !script.contains('!'), "an image ends its regions");
    }

    #[test]
    fn a_region_counts_what_happens_in_it() {
        check("+1:0:100 [1:0 +2:0:10 +3:0:20 -2 -1 ]1 +4:0:40 -3 -4", "1 1 [30, 20, 30, 0, 20]");
        check("[1:0 +2:0:10 -2 +3:0:10 -3 ]1", "1 1 [20, 0, 10, 20, 10]");
        check("[1:0 ]1", "1 1 [0, 0, 0, 0, 0]");
        // Freed outside: left behind, and not temporary.
        check("[1:0 +2:0:10 ]1 -2", "1 1 [10, 10, 10, 0, 10]");
    }

    #[test]
    fn regions_of_threads_and_processes() {
        check("[1:0 {2:0 +1:0:10 +2:1:20 ]1 +3:1:40 ]2", "1 1 [10, 10, 10, 0, 10]; 2 1 [70, 70, 70, 0, 40]");
        check("{1:0 [2:1 +1:1:10 ]2 ]1", "1 1 [10, 10, 10, 0, 10]; 2 1 [10, 10, 10, 0, 10]");
    }

    #[test]
    fn a_region_that_is_entered_again_keeps_its_highest_peak() {
        check("[1:0 +1:0:10 +2:0:20 -1 -2 ]1 [1:0 +3:0:25 -3 ]1", "1 2 [55, 0, 30, 45, 25]");
        check("[1:0 +1:0:10 ]1 [1:0 +2:0:10 +3:0:30 ]1", "1 2 [50, 50, 40, 0, 30]");
    }

    #[test]
    fn images_end_what_is_open_in_them() {
        check("[1:0 {2:0 +1:0:10 !", "1 1 [10, 10, 10, 0, 10]; 2 1 [10, 10, 10, 0, 10]");
        check("+1:0:10 ]7 !", "");
    }

    #[test]
    fn too_deep_ones_are_ignored() {
        let mut regions = Regions::default();
        for id in 0..10 {
            regions.begin((0, 0), id, RegionScope::Thread, (b"deep", b""), 0);
        }
        assert_eq!((regions.open.len(), regions.ignored), (DEPTH, 2));
        (0..10).for_each(|id| regions.end(0, id, 1));
        assert_eq!((regions.open.len(), regions.regions[0].entered), (0, DEPTH as u64));
        assert!(regions.ids.is_empty() && regions.by_image.is_empty());
    }
}
