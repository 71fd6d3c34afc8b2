//! Everything that is known at one moment of the replay, and what time and the rare records do to it. Events are in
//! `events`; the order of all of them is `merge`'s business.

use super::census::{Census, Image, ModuleName, Range};
use super::doubt::Doubts;
use super::events::Pending;
use super::heap::Heap;
use super::journal::Happening;
use super::mappings::{Mappings, Moving};
use super::python::{Code, Python};
use super::slices::Sliced;
use super::stacks::{Ids, Stacks};
use super::timeline::Timeline;
use super::{Options, Pymalloc};
use crate::format::{ImageKind, Record};

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) image: u32,
    tid: u32,
    /// Index of the thread, from its first event on.
    pub(super) thread: Option<u32>,
    pub(super) ids: Ids,
    pub(super) generation: u32,
    pub(super) pending: Pending,
    pub(super) moving: Moving,
    pub(super) time: u64,
}

/// The state of the whole tree.
#[derive(Debug)]
pub struct State {
    pub heap: Heap,
    pub stacks: Stacks,
    pub census: Census,
    pub timeline: Timeline,
    /// What rows did over time; empty before the end.
    pub sliced: Sliced,
    pub python: Python,
    pub(super) lanes: Vec<Lane>,
    pub(super) doubts: Doubts,
    pub(super) mappings: Mappings,
    /// What has happened and was not told yet, if there is somebody to tell.
    pub(super) journal: Option<Vec<Happening>>,
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
    /// Places in streams where definitions of stacks are missing though no chunk is.
    pub lost_definitions: u64,
    /// Which of the memory counts that is recorded twice, and whether there was any.
    pub pymalloc: Pymalloc,
    pub recorded_twice: bool,
    /// The tree of stacks is full.
    pub stacks_full: bool,
    /// Furthest that the clock of one thread has gone back, in nanoseconds.
    pub clock_back: u64,
    /// Programs that could not be tracked: pid, reason, path.
    pub untracked: Vec<(u32, u8, Vec<u8>)>,
}

impl State {
    /// Nothing has happened. `stack_limit` bounds the tree of stacks.
    pub fn new(options: &Options, stack_limit: usize) -> Self {
        let timeline = Timeline::default();
        let heap = Heap::new(options.temporary_distance, options.cuts.clone());
        Self {
            stacks: Stacks::new(stack_limit),
            census: Census::default(),
            alarm: timeline.next_close().min(heap.slices.next_close()),
            heap,
            timeline,
            sliced: Sliced::default(),
            python: Python::default(),
            lanes: Vec::new(),
            doubts: Doubts::default(),
            mappings: Mappings::default(),
            journal: None,
            now: 0,
            ends: Vec::new(),
            active: Vec::new(),
            overlap: 1,
            lost_stacks: 0,
            lost_definitions: 0,
            pymalloc: options.pymalloc,
            recorded_twice: false,
            stacks_full: false,
            clock_back: 0,
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

    /// A stream is at its end already.
    pub(super) fn leave(&mut self, lane: u32) {
        let image = self.lane_image(lane).and_then(|image| self.census.images.get_mut(image as usize));
        if let Some(image) = image {
            image.open_streams = image.open_streams.saturating_sub(1);
        }
    }

    /// Begins at `now`, with the ends of images that were seen before.
    pub(super) fn skip_to(&mut self, now: u64) {
        while let Some((end, image)) = self.ends.pop_if(|end| end.0 <= now) {
            let Some(found) = self.census.images.get_mut(image as usize) else { continue };
            if found.open_streams > 0 {
                found.end_due.get_or_insert(end);
            }
        }
        self.now = now;
        self.set_alarm();
    }

    /// These streams had events in one epoch, so that their order is not certain.
    pub fn overlap(&mut self, lanes: impl Iterator<Item = u32>) {
        let mut images: Vec<u32> = lanes.filter_map(|lane| self.lane_image(lane)).collect();
        images.sort_unstable();
        let counts: Vec<(u32, u64)> =
            images.chunk_by(|a, b| a == b).filter_map(|same| Some((*same.first()?, same.len() as u64))).collect();
        let mut sum = images.len() as u64;
        for &(image, count) in &counts {
            let Some(found) = self.census.images.get_mut(image as usize) else { continue };
            found.overlap = found.overlap.max(count);
            // An image and the one that it replaced come one after the other for certain.
            let replaced = found.replaced.and_then(|old| counts.iter().find(|other| other.0 == old));
            sum -= replaced.map_or(0, |other| other.1.min(count));
        }
        self.overlap = self.overlap.max(sum);
    }

    /// The thread of a stream, by its index.
    pub(super) fn admitted(&mut self, lane_id: u32) -> u32 {
        match self.lanes.get(lane_id as usize).and_then(|lane| lane.thread) {
            Some(thread) => thread,
            None => self.admit(lane_id),
        }
    }

    /// Gives the stream's image and thread their rows.
    #[cold]
    pub(super) fn admit(&mut self, lane_id: u32) -> u32 {
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

    /// Time went on in a stream. In a stream where it goes back, it stands still.
    #[inline]
    pub fn clock(&mut self, lane_id: u32, time: u64) {
        if let Some(lane) = self.lanes.get_mut(lane_id as usize) {
            if time < lane.time {
                self.clock_back = self.clock_back.max(lane.time - time);
                return;
            }
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
        if time >= self.heap.slices.next_close() {
            self.heap.close_slice(time);
        }
        self.set_alarm();
    }

    fn set_alarm(&mut self) {
        let end = self.ends.last().map_or(u64::MAX, |end| end.0);
        self.alarm = self.timeline.next_close().min(self.heap.slices.next_close()).min(end);
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
        self.note_leaks(image, time);
        self.heap.end_image(image, time);
        self.mappings.end(image);
        if let Some(image) = self.census.images.get_mut(image as usize) {
            image.end.get_or_insert(time);
        }
    }

    /// The capture has no more records; its last moment is `end`. What is live has leaked.
    pub fn finish(&mut self, end: u64) {
        let last = self.last_moment(end);
        self.now = self.now.max(end);
        while let Some((time, image)) = self.ends.pop() {
            self.end_image(image, time);
        }
        self.close_interval(self.now);
        for image in 0..self.census.images.len() as u32 {
            self.note_leaks(image, last);
            self.heap.end_image(image, last);
        }
        self.sliced = self.heap.finish_slices(last);
    }

    /// The rest of the capture is not looked at.
    pub(super) fn stop(&mut self) {
        self.sliced = self.heap.finish_slices(self.now);
    }

    /// When the tree ended, as far as that was seen. The collector's own end at `end` comes a little later.
    fn last_moment(&self, end: u64) -> u64 {
        let ended = |image: &u32| {
            let found = self.census.images.get(*image as usize)?;
            found.end.or(found.end_due).or_else(|| self.ends.iter().find(|end| end.1 == *image).map(|end| end.0))
        };
        let ends: Option<Vec<u64>> = self.census.processes.iter().map(ended).collect();
        ends.and_then(|ends| ends.into_iter().max()).unwrap_or(end).max(self.now)
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
                let defined = lane.ids.define(&mut self.stacks, space, (first, parent, pcs));
                self.stacks_full |= defined.full;
                self.lost_definitions += u64::from(defined.jumped);
            }
            Record::PythonStacks { first, parent, frames } => {
                let defined = lane.ids.define_python(&mut self.stacks, (first, parent, frames));
                self.stacks_full |= defined.full;
                self.lost_definitions += u64::from(defined.jumped);
            }
            Record::Merge { id, native, python, places } => {
                let defined = lane.ids.define_merge(&mut self.stacks, id, (native, python), places);
                self.stacks_full |= defined.full;
                self.lost_definitions += u64::from(defined.jumped);
            }
            Record::Interpreter { state, version } => self.python.meet(state, version),
            Record::Code { number, kind, first_line, lines_len, file, name } => {
                self.python.describe(number, Code::new(kind, first_line, lines_len, (file, name)));
            }
            Record::Lines { number, offset, bytes } => self.python.add_lines(number, offset, bytes),
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
                let ended = self.replaced_by(&record).filter(|ended| *ended != image);
                if let Some(ended) = ended {
                    self.end_image(ended, time);
                }
                let parent = (kind != ImageKind::First).then(|| self.image(parent));
                if let Some(image) = self.census.images.get_mut(image as usize) {
                    image.replaced = ended;
                }
                self.census.describe(image, parent, (kind, pid, generation), (exe, arguments));
                if let Some(image) = self.census.images.get_mut(image as usize) {
                    image.start = image.start.min(time);
                }
            }
            Record::Untracked { pid, reason, path } => self.untracked.push((pid, reason, path.to_vec())),
            Record::ThreadName { tid, chosen, name } => self.census.name_thread(image, tid, chosen, name),
            Record::Map { address, len, stack, kind } => self.map(lane_id, (address, len), stack, kind),
            Record::Unmap { address, len, moves } => self.unmap(lane_id, (address, len), moves),
            Record::RegionBegin { id, scope, name, limits } => {
                let time = lane.time;
                let thread = self.admitted(lane_id);
                self.heap.regions.begin((image, thread), id, scope, (name, limits), time);
            }
            Record::RegionEnd { id } => {
                self.heap.regions.end(image, id, lane.time);
            }
            // Those that are not unknown are handled where order is decided.
            Record::Unknown { .. } => {}
            Record::Alloc { .. } | Record::Free { .. } | Record::Epoch(_) | Record::Clock(_) => {}
            Record::ReallocFailed | Record::ReallocFreed => {}
        }
    }
}
