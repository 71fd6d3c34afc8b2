//! What one record does. The order of records is `merge`'s business; here each stream has its ids, its pending realloc
//! and its time, and events move blocks on the [`Heap`].

use super::census::{Census, Image, ModuleName, Range};
use super::doubt::{Debt, Doubts};
use super::heap::{Block, Heap};
use super::stacks::{Ids, Known, NodeId, Stacks};
use super::timeline::Timeline;
use crate::format::{ImageKind, Record};

/// How sure the order is in which a stream's event is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// No other stream is in this epoch: what does not fit is a missing event.
    Alone,
    /// Others are: what does not fit may fit later. The event is refused.
    Shared,
    /// Others are, but waiting has not helped: the event is applied, and remembered as a doubt.
    Forced,
}

/// A realloc between its intent and its result. Its block still counts as live, but its address is free to be given out.
#[derive(Debug, Clone, Copy, Default)]
enum Pending {
    #[default]
    None,
    Block {
        address: u64,
        block: Block,
    },
    /// Nothing was known at the address.
    Unknown,
}

#[derive(Debug, Default)]
struct Lane {
    image: u32,
    tid: u32,
    /// Index of the thread, from its first event on.
    thread: Option<u32>,
    ids: Ids,
    generation: u32,
    pending: Pending,
    time: u64,
}

/// The state of the whole tree.
#[derive(Debug)]
pub struct State {
    pub heap: Heap,
    pub stacks: Stacks,
    pub census: Census,
    pub timeline: Timeline,
    lanes: Vec<Lane>,
    doubts: Doubts,
    /// Latest time seen.
    pub now: u64,
    /// When something has to be done before anything at or behind this time is counted.
    alarm: u64,
    /// Ends that the collector saw, latest first: time and image.
    ends: Vec<(u64, u32)>,
    /// Images that may have live blocks, for the timeline.
    active: Vec<u32>,
    /// Most streams with events in one epoch.
    pub overlap: u64,
    /// Allocations whose stack's definition was lost.
    pub lost_stacks: u64,
    /// The tree of stacks is full.
    pub stacks_full: bool,
    /// Programs that could not be tracked: pid, reason, path.
    pub untracked: Vec<(u32, u8, Vec<u8>)>,
}

impl State {
    /// Nothing has happened. `stack_limit` bounds the tree of stacks.
    pub fn new(temporary_distance: u64, stack_limit: usize) -> Self {
        let timeline = Timeline::default();
        Self {
            heap: Heap::new(temporary_distance),
            stacks: Stacks::new(stack_limit),
            census: Census::default(),
            alarm: timeline.next_close(),
            timeline,
            lanes: Vec::new(),
            doubts: Doubts::default(),
            now: 0,
            ends: Vec::new(),
            active: Vec::new(),
            overlap: 1,
            lost_stacks: 0,
            stacks_full: false,
            untracked: Vec::new(),
        }
    }

    /// Index of the image with this number.
    pub fn image(&mut self, number: u32) -> u32 {
        let (image, new) = self.census.image(number);
        if new {
            self.heap.add_image();
        }
        image
    }

    /// Adds a stream; streams are numbered from 0.
    pub fn add_lane(&mut self, image_number: u32, tid: u32) {
        let image = self.image(image_number);
        if let Some(found) = self.census.images.get_mut(image as usize) {
            found.open_streams += 1;
        }
        self.lanes.push(Lane { image, tid, ..Lane::default() });
    }

    /// Index of a stream's image.
    pub fn lane_image(&self, lane: u32) -> Option<u32> {
        self.lanes.get(lane as usize).map(|lane| lane.image)
    }

    /// Takes the ends of images that the collector saw: time and image number.
    pub fn expect_ends(&mut self, ends: &[(u64, u32)]) {
        let ends = ends.iter().map(|&(time, number)| (time, self.image(number))).collect();
        self.ends = ends;
        self.ends.sort_unstable_by_key(|end| std::cmp::Reverse(end.0));
        self.set_alarm();
    }

    /// An allocation. False: refused, its address is live.
    #[inline]
    pub fn alloc(
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
        if realloc {
            self.free_pending(lane_id);
            if let Some(image) = self.heap.image_mut(image) {
                image.reallocations += 1;
            }
        }
        let debt = if certainty == Certainty::Alone { None } else { self.doubts.pay(image, address, lane_id) };
        let Some(block) = self.heap.allocate(row, size, time) else { return true };
        if let Some(debt) = debt {
            self.heap.count(block, self.now);
            self.take_for(debt, block);
            return true;
        }
        if let Some(old) = self.heap.put(image, address, block) {
            self.displace(old, (image, address), certainty);
        }
        self.heap.count(block, self.now);
        true
    }

    /// A free. False: refused, nothing is live at its address.
    #[inline]
    pub fn free(&mut self, lane_id: u32, address: u64, certainty: Certainty) -> bool {
        let Some(lane) = self.lanes.get(lane_id as usize) else { return true };
        let image = lane.image;
        if lane.thread.is_none() {
            self.admit(lane_id);
        }
        match self.take(lane_id, image, address, certainty) {
            Some(block) => self.heap.release(block, true),
            None if certainty == Certainty::Shared => return false,
            None if certainty == Certainty::Forced => self.doubts.owe(image, address, lane_id, false),
            None => self.count_unknown_free(image),
        }
        true
    }

    /// The intent of a realloc. False: refused, nothing is live at its address.
    pub fn intent(&mut self, lane_id: u32, address: u64, certainty: Certainty) -> bool {
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
                None => Pending::Unknown,
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
            None => self.heap.release(block, true),
        }
    }

    /// The stream's realloc got rid of its old block.
    fn free_pending(&mut self, lane_id: u32) {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        match std::mem::take(&mut lane.pending) {
            Pending::None => {}
            Pending::Block { block, .. } => self.heap.release(block, true),
            Pending::Unknown => {
                if !self.doubts.end_realloc(lane_id, true) {
                    self.count_unknown_free(image);
                }
            }
        }
    }

    /// A realloc ended without a block: it failed and its block lives, or it was one to size zero that `freed`.
    pub fn end_realloc(&mut self, lane_id: u32, freed: bool, certainty: Certainty) {
        if freed {
            return self.free_pending(lane_id);
        }
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        match std::mem::take(&mut lane.pending) {
            Pending::None => {}
            Pending::Block { address, block } => {
                if let Some(other) = self.heap.put(image, address, block) {
                    self.displace(other, (image, address), certainty);
                }
            }
            Pending::Unknown => {
                self.doubts.end_realloc(lane_id, false);
            }
        }
    }

    /// The result of the stream's realloc is missing: its block lives, as far as anyone can know.
    fn restore(&mut self, lane_id: u32) {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        match std::mem::take(&mut lane.pending) {
            Pending::None => {}
            // Somebody was given its address: so the realloc had moved it.
            Pending::Block { address, block } if self.heap.has(image, address) => self.heap.release(block, true),
            Pending::Block { address, block } => {
                self.heap.put(image, address, block);
            }
            Pending::Unknown => {
                self.doubts.end_realloc(lane_id, false);
            }
        }
    }

    /// A block whose address was given out again.
    fn displace(&mut self, block: Block, (image, address): (u32, u64), certainty: Certainty) {
        if certainty == Certainty::Alone {
            self.vanish(block, image);
        } else {
            self.doubts.double(image, address, block);
        }
    }

    fn count_unknown_free(&mut self, image: u32) {
        let inherits = self.census.images.get(image as usize).is_some_and(|image| image.inherits());
        if let Some(heap) = self.heap.image_mut(image) {
            *(if inherits { &mut heap.inherited_frees } else { &mut heap.unmatched_frees }) += 1;
        }
    }

    /// A block is gone and its free was never seen.
    fn vanish(&mut self, block: Block, image: u32) {
        self.heap.release(block, false);
        if let Some(image) = self.heap.image_mut(image) {
            image.unmatched_frees += 1;
        }
    }

    /// A shared epoch has ended.
    pub fn settle(&mut self) {
        let left = self.doubts.settle();
        for double in left.doubles {
            self.vanish(double.block, double.image);
        }
        for debt in left.debts {
            // Where several streams freed the address, the numbers of allocations and frees decide: as many of one as of
            // the other leave nothing live.
            match debt.any.then(|| self.heap.take(debt.image, debt.address)).flatten() {
                Some(block) => self.take_for(debt, block),
                None if debt.intent => {}
                None => self.count_unknown_free(debt.image),
            }
        }
    }

    /// These streams had events in one epoch, so that their order is not certain.
    pub fn overlap(&mut self, lanes: impl Iterator<Item = u32>) {
        let mut images: Vec<u32> = lanes.filter_map(|lane| self.lane_image(lane)).collect();
        images.sort_unstable();
        self.overlap = self.overlap.max(images.len() as u64);
        for same in images.chunk_by(|a, b| a == b) {
            if let Some(image) = same.first().and_then(|image| self.census.images.get_mut(*image as usize)) {
                image.overlap = image.overlap.max(same.len() as u64);
            }
        }
    }

    /// Gives the stream's image and thread their rows.
    #[cold]
    fn admit(&mut self, lane_id: u32) -> u32 {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return 0 };
        let (thread, new) = self.census.thread(lane.image, lane.tid);
        lane.thread = Some(thread);
        if let Some(image) = self.census.images.get_mut(lane.image as usize) {
            image.start = image.start.min(lane.time);
        }
        if new {
            self.heap.add_thread();
        }
        self.census.admit(lane.image);
        if !self.active.contains(&lane.image) {
            self.active.push(lane.image);
        }
        thread
    }

    /// The row of a stack in a stream's thread.
    #[cold]
    fn row(&mut self, lane_id: u32, stack: u32) -> u32 {
        let thread = match self.lanes.get(lane_id as usize).and_then(|lane| lane.thread) {
            Some(thread) => thread,
            None => self.admit(lane_id),
        };
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return 0 };
        match lane.ids.get_mut(stack) {
            Some(known) => {
                known.row = self.heap.row(known.node, thread, lane.image);
                known.row
            }
            None => {
                self.lost_stacks += 1;
                self.heap.row(NodeId::LOST, thread, lane.image)
            }
        }
    }

    /// Time went on in a stream.
    #[inline]
    pub fn clock(&mut self, lane_id: u32, time: u64) {
        if let Some(lane) = self.lanes.get_mut(lane_id as usize) {
            lane.time = time;
        }
        if time > self.now {
            if time >= self.alarm {
                self.ring(time);
            }
            self.now = time;
        }
    }

    #[cold]
    fn ring(&mut self, time: u64) {
        while let Some(&(end, image)) = self.ends.last().filter(|end| end.0 <= time) {
            self.ends.pop();
            let Some(found) = self.census.images.get_mut(image as usize) else { continue };
            if found.open_streams == 0 {
                self.end_image(image, end);
            } else {
                found.end_due.get_or_insert(end);
            }
        }
        if time >= self.timeline.next_close() {
            self.close_interval(time);
        }
        self.set_alarm();
    }

    fn set_alarm(&mut self) {
        let end = self.ends.last().map_or(u64::MAX, |end| end.0);
        self.alarm = self.timeline.next_close().min(end);
    }

    fn close_interval(&mut self, time: u64) {
        let sums = (self.heap.high, self.heap.tree.live.bytes, self.heap.allocated);
        let live = |image: &u32| self.heap.image(*image).map_or(0, |image| image.scope.live.bytes);
        self.timeline.close(time, sums, self.active.iter().map(|image| (*image as usize, live(image))));
        self.heap.reset_high();
        let images = &self.census.images;
        self.active.retain(|image| images.get(*image as usize).is_some_and(Image::is_active));
    }

    /// A stream has no more records.
    pub fn end_lane(&mut self, lane_id: u32) {
        self.restore(lane_id);
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        lane.ids = Ids::default();
        let image = lane.image;
        let Some(found) = self.census.images.get_mut(image as usize) else { return };
        found.open_streams = found.open_streams.saturating_sub(1);
        if found.open_streams == 0
            && let Some(end) = found.end_due
        {
            self.end_image(image, end);
        }
    }

    fn end_image(&mut self, image: u32, time: u64) {
        if self.census.images.get(image as usize).is_some_and(|image| image.open_streams > 0) {
            // Its end was recorded before its events were: only a damaged capture has this.
            for lane in 0..self.lanes.len() as u32 {
                if self.lane_image(lane) == Some(image) {
                    self.restore(lane);
                }
            }
        }
        self.heap.end_image(image);
        if let Some(image) = self.census.images.get_mut(image as usize) {
            image.end.get_or_insert(time);
        }
    }

    /// The capture has no more records; its last moment is `end`. What is live has leaked.
    pub fn finish(&mut self, end: u64) {
        self.now = self.now.max(end);
        while let Some((time, image)) = self.ends.pop() {
            self.end_image(image, time);
        }
        self.close_interval(self.now);
        for image in 0..self.census.images.len() as u32 {
            self.heap.end_image(image);
        }
    }

    /// Something is missing in a stream: its ids may mean other stacks now.
    pub fn forget(&mut self, lane_id: u32) {
        if let Some(lane) = self.lanes.get_mut(lane_id as usize) {
            lane.ids.forget();
        }
    }

    /// The image that `record` ends, because it starts another one in the same process.
    pub fn replaced_by(&self, record: &Record<'_>) -> Option<u32> {
        let &Record::Image { kind: ImageKind::Exec, pid, parent, .. } = record else { return None };
        let index = self.census.index(parent)?;
        let about = self.census.images.get(index as usize)?.about.as_ref()?;
        (about.pid == pid).then_some(index)
    }

    /// Any record but the events above.
    #[cold]
    pub fn rare(&mut self, lane_id: u32, record: Record<'_>) {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        let image = lane.image;
        match record {
            Record::Define { first, parent, pcs } => {
                let space = (image, lane.generation);
                self.stacks_full |= !lane.ids.define(&mut self.stacks, space, (first, parent, pcs));
            }
            Record::ForgetStacks => lane.ids.forget(),
            Record::Gap { lost } => {
                if let Some(image) = self.census.images.get_mut(image as usize) {
                    image.lost_events = image.lost_events.saturating_add(lost);
                }
            }
            Record::Generation(generation) => lane.generation = generation,
            Record::Module { generation, start, end, bias, build_id, path } => {
                let name = ModuleName { path: path.to_vec(), build_id: build_id.to_vec() };
                self.census.add_module(image, name, Range { generation, start, end, bias, module: 0 });
            }
            Record::Image { kind, pid, parent, generation, exe, arguments } => {
                let time = lane.time;
                if let Some(ended) = self.replaced_by(&record).filter(|ended| *ended != image) {
                    self.end_image(ended, time);
                }
                let parent = (kind != ImageKind::First).then(|| self.image(parent));
                self.census.describe(image, parent, (kind, pid, generation), (exe, arguments));
                if let Some(image) = self.census.images.get_mut(image as usize) {
                    image.start = image.start.min(time);
                }
            }
            Record::Untracked { pid, reason, path } => self.untracked.push((pid, reason, path.to_vec())),
            // Mappings are no heap; no view shows them yet. The others are handled where order is decided.
            Record::Map { .. } | Record::Unmap { .. } | Record::Unknown { .. } => {}
            Record::Alloc { .. } | Record::Free { .. } | Record::Epoch(_) | Record::Clock(_) => {}
            Record::ReallocFailed | Record::ReallocFreed => {}
        }
    }
}
