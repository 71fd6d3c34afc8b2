//! Mapped memory as blocks: which pages belong to which mapping. A mapping is live until its last page is unmapped.
//!
//! Only anonymous memory counts; pages of files and reserved addresses just take the place of what was there.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::checkpoint::PartAt;
use super::state::State;
use crate::format::record::MapKind;

/// Lengths count in whole pages, as the kernel gives them.
const PAGE: u64 = 4096;

/// Pages in a row of one mapping, or what was cut out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    start: u64,
    end: u64,
    /// The mapping's number: where its block is in the heap.
    mapping: u64,
    /// Where the mapping started when it was made.
    base: u64,
}

/// All mapped pages of each image.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    /// By first address; parts never overlap.
    images: FxHashMap<u32, BTreeMap<u64, Part>>,
    mapped: u64,
}

/// An `mremap` between its intent and its result: pages that still count as live.
#[derive(Debug, Default)]
pub(super) struct Moving(Vec<Part>);

impl Moving {
    /// Whether nothing is.
    pub(super) const fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl Mappings {
    /// How many there have been.
    pub(super) const fn count(&self) -> u64 {
        self.mapped
    }

    /// All mapped pages.
    pub(super) fn parts(&self) -> Vec<PartAt> {
        let at = |image: u32, part: &Part| {
            let &Part { start, end, mapping, base } = part;
            PartAt { image, start, len: end - start, mapping, base }
        };
        let in_image = |(image, parts): (&u32, &BTreeMap<u64, Part>)| {
            let image = *image;
            parts.values().map(|part| at(image, part)).collect::<Vec<_>>()
        };
        let mut all: Vec<PartAt> = self.images.iter().flat_map(in_image).collect();
        all.sort_unstable_by_key(|part| (part.image, part.start));
        all
    }

    /// Takes what another replay had mapped.
    pub(super) fn recall(&mut self, count: u64, parts: &[PartAt]) {
        self.mapped = count;
        for &PartAt { image, start, len, mapping, base } in parts {
            self.insert(image, Part { start, end: start.saturating_add(len), mapping, base });
        }
    }

    /// Takes out what there is in a range.
    fn cut(&mut self, image: u32, (start, end): (u64, u64)) -> Vec<Part> {
        let Some(parts) = self.images.get_mut(&image) else { return Vec::new() };
        let first = parts.range(..start).next_back().filter(|(_, part)| part.end > start).map(|(at, _)| *at);
        let touched: Vec<u64> = first.into_iter().chain(parts.range(start..end).map(|(at, _)| *at)).collect();
        let mut taken = Vec::with_capacity(touched.len());
        for at in touched {
            let Some(part) = parts.remove(&at) else { continue };
            let before = Part { end: start, ..part };
            let after = Part { start: end, ..part };
            for rest in [before, after].into_iter().filter(|rest| rest.start < rest.end) {
                parts.insert(rest.start, rest);
            }
            taken.push(Part { start: part.start.max(start), end: part.end.min(end), ..part });
        }
        taken
    }

    fn insert(&mut self, image: u32, part: Part) {
        self.images.entry(image).or_default().insert(part.start, part);
    }

    /// A number under which no block of the heap is: blocks lie far below.
    fn next(&mut self) -> u64 {
        self.mapped = self.mapped.wrapping_add(1);
        u64::MAX - self.mapped
    }

    /// Where each mapping of an image started, by its number.
    pub(super) fn bases(&self, image: u32) -> FxHashMap<u64, u64> {
        let parts = self.images.get(&image).into_iter().flat_map(BTreeMap::values);
        parts.map(|part| (part.mapping, part.base)).collect()
    }

    /// Forgets an image.
    pub(super) fn end(&mut self, image: u32) {
        self.images.remove(&image);
    }
}

/// Whole pages.
fn pages(address: u64, len: u64) -> (u64, u64) {
    let end = address.saturating_add(len).checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
    (address - address % PAGE, end)
}

impl State {
    /// The stream mapped a range.
    #[cold]
    pub(super) fn map(&mut self, lane_id: u32, (address, len): (u64, u64), stack: u32, kind: MapKind) {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let (image, time) = (lane.image, lane.time);
        let moved = std::mem::take(&mut lane.moving.0);
        let counts = match kind {
            MapKind::Memory => true,
            // As the old one: one that does not count leaves nothing to move.
            MapKind::Moved => !moved.is_empty(),
            MapKind::File | MapKind::Reserved => false,
        };
        if kind == MapKind::Moved
            && counts
            && let Some(image) = self.heap.image_mut(image)
        {
            image.reallocations += 1;
        }
        self.unmap_parts(image, moved);
        let (start, end) = pages(address, len);
        let replaced = self.mappings.cut(image, (start, end));
        self.unmap_parts(image, replaced);
        if !counts || start >= end {
            return;
        }
        let row = self.row(lane_id, stack);
        let Some(block) = self.heap.allocate(row, end - start, time) else { return };
        let mapping = self.mappings.next();
        self.mappings.insert(image, Part { start, end, mapping, base: start });
        self.heap.put(image, mapping, block);
        self.heap.count(block, self.now);
        self.note_allocation(block, start, kind == MapKind::Moved);
    }

    /// The stream is about to unmap a range, or to move it.
    #[cold]
    pub(super) fn unmap(&mut self, lane_id: u32, (address, len): (u64, u64), moves: bool) {
        self.stay(lane_id);
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        let parts = self.mappings.cut(image, pages(address, len));
        if moves {
            lane.moving = Moving(parts);
        } else {
            self.unmap_parts(image, parts);
        }
    }

    /// The stream's `mremap` failed, or its result is missing: the pages stay where they were.
    pub(super) fn stay(&mut self, lane_id: u32) {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        for part in std::mem::take(&mut lane.moving.0) {
            self.mappings.insert(lane.image, part);
        }
    }

    fn unmap_parts(&mut self, image: u32, parts: Vec<Part>) {
        for Part { start, end, mapping, base } in parts {
            // Gone where its image has ended.
            let Some(mut block) = self.heap.take(image, mapping) else { continue };
            let len = end - start;
            if len >= block.size {
                self.release(block, base);
            } else {
                self.note_shrink(block, base, len);
                self.heap.shrink(&mut block, len);
                self.heap.put(image, mapping, block);
            }
        }
    }
}
