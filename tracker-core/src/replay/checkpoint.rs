//! The state of a replay between two epochs, as far as it decides what rows do from there on: whoever asks for a range of
//! time begins at the checkpoint before it. Sums of what was before are not in it.
//!
//! Checkpoints are taken only while no stream is inside a `realloc` or an `mremap`; such moments are never far.

use super::census::{About, Image};
use super::events::Pending;
use super::registry::Registry;
use super::state::{Lane, State};
use crate::capture::columns::{Column as _, Columns, Field, Input, Plain, Step, columns, fields};
use crate::capture::cursor::Stand;
use crate::capture::reader::Stream;
use crate::format::ImageKind;

/// A stream that is not at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LaneAt {
    pub(super) lane: u32,
    pub(super) epoch: u64,
    pub(super) stand: Stand,
    generation: u32,
    /// The first of its ids that is known.
    base: u32,
}

/// A known id of a stream; they follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct IdAt {
    lane: u32,
    node: u32,
}

/// An image that was described, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct ImageAt {
    image: u32,
    pid: Option<u32>,
    end: Option<u64>,
}

/// A live block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BlockAt {
    pub(super) address: u64,
    pub(super) size: u64,
    pub(super) row: u32,
    /// Allocations of its thread since its own; all that are too many for a temporary block are the same.
    pub(super) age: u64,
}

/// Mapped pages in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PartAt {
    pub(super) image: u32,
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) mapping: u64,
    pub(super) base: u64,
}

/// The state at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Checkpoint {
    now: u64,
    images: Vec<ImageAt>,
    /// Allocations of each thread.
    serials: Vec<u64>,
    pub(super) lanes: Vec<LaneAt>,
    ids: Vec<IdAt>,
    mapped: u64,
    parts: Vec<PartAt>,
    /// By image and address.
    blocks: Vec<BlockAt>,
}

fields!(LaneAt: lane, epoch, stand, generation, base);
fields!(ImageAt: image, pid, end);
columns!(IdAt: Step lane, Step node);
columns!(PartAt: Step image, Step start, Plain len, Step mapping, Step base);
columns!(BlockAt: Step address, Plain size, Plain row, Plain age);
fields!(Checkpoint: now, images, serials, lanes, ids [table], mapped, parts [table], blocks [table]);

impl Checkpoint {
    /// The state with these streams open, by their numbers, epochs and cursors; `None` while one of them is inside a call
    /// that moves a block.
    pub(super) fn of(state: &State, open: impl Iterator<Item = (u32, u64, Stand)>) -> Option<Self> {
        let mut at = Self {
            now: state.now,
            images: (0..).zip(&state.census.images).filter_map(|(image, found)| image_at(image, found)).collect(),
            serials: state.heap.serials().to_vec(),
            mapped: state.mappings.count(),
            parts: state.mappings.parts(),
            ..Self::default()
        };
        for (number, epoch, stand) in open {
            let lane = state.lanes.get(number as usize).filter(|lane| lane.is_at_rest())?;
            let (base, nodes) = lane.ids.known();
            at.lanes.push(LaneAt { lane: number, epoch, stand, generation: lane.generation, base });
            at.ids.extend(nodes.map(|node| IdAt { lane: number, node: node.0 }));
        }
        at.blocks = state.heap.blocks_at();
        Some(at)
    }

    /// A stream that is not at its end.
    pub(super) fn lane(&self, number: u32) -> Option<&LaneAt> {
        let at = self.lanes.binary_search_by_key(&number, |lane| lane.lane).ok()?;
        self.lanes.get(at)
    }

    /// Brings `state` there, which has the registry's numbers.
    fn apply(&self, state: &mut State, streams: &[Stream]) {
        state.heap.set_serials(&self.serials);
        for &ImageAt { image, pid, end } in &self.images {
            let Some(found) = state.census.images.get_mut(image as usize) else { continue };
            found.end = end;
            // Only whose process it was matters to what follows.
            found.about = pid.map(|pid| About {
                kind: ImageKind::First,
                pid,
                parent: None,
                generation: 0,
                exe: Vec::new(),
                arguments: Vec::new(),
            });
        }
        let mut open = self.lanes.iter().map(|lane| lane.lane).peekable();
        for (number, stream) in (0..).zip(streams) {
            while open.next_if(|next| *next < number).is_some() {}
            // One without any blocks never comes to its end.
            if open.next_if_eq(&number).is_none() && !stream.blocks.is_empty() {
                state.leave(number);
            }
        }
        let mut ids = self.ids.as_slice();
        for at in &self.lanes {
            let count = ids.iter().take_while(|id| id.lane == at.lane).count();
            let (own, rest) = ids.split_at(count);
            ids = rest;
            if let Some(lane) = state.lanes.get_mut(at.lane as usize) {
                lane.generation = at.generation;
                lane.ids.recall(at.base, own.iter().map(|id| id.node));
            }
        }
        state.mappings.recall(self.mapped, &self.parts);
        state.skip_to(self.now);
        for block in &self.blocks {
            state.heap.recall(block, self.now);
        }
    }
}

impl Lane {
    fn is_at_rest(&self) -> bool {
        matches!(self.pending, Pending::None) && self.moving.is_none()
    }
}

fn image_at(image: u32, found: &Image) -> Option<ImageAt> {
    let (pid, end) = (found.about.as_ref().map(|about| about.pid), found.end);
    (pid.is_some() || end.is_some()).then_some(ImageAt { image, pid, end })
}

/// A checkpoint and the numbers that it uses.
#[derive(Debug)]
pub struct Resume {
    registry: Registry,
    pub(super) at: Checkpoint,
}

/// The checkpoints of a replay, as sections of an index: the times they were taken at and the registry, then one each. None
/// at all where none was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoints(pub Vec<Vec<u8>>);

impl Checkpoints {
    /// Those that were kept, of a replay that ended in `state`.
    pub(super) fn new(keeper: &mut Keeper, state: &State) -> Self {
        let taken = std::mem::take(&mut keeper.taken);
        // A full tree answers by the order in which it was filled.
        if taken.is_empty() || state.stacks.is_full() {
            return Self::default();
        }
        let mut first = Vec::new();
        taken.iter().map(|(time, _)| *time).collect::<Vec<u64>>().put(&mut first);
        Registry::of(state).put(&mut first);
        if first.len() as u64 > room_for_numbers(keeper.size) {
            return Self::default();
        }
        Self(std::iter::once(first).chain(taken.into_iter().map(|(_, bytes)| bytes)).collect())
    }
}

impl Resume {
    /// How many rows it knows.
    pub fn rows(&self) -> usize {
        self.registry.rows()
    }

    /// Brings `state` there, in which nothing has happened but that its streams and the ends of images are known.
    pub(super) fn apply(&self, state: &mut State, streams: &[Stream]) {
        self.registry.apply(state);
        self.at.apply(state, streams);
    }

    /// The last checkpoint before `time` of a capture of so many bytes; `section` answers what [`Checkpoints`] holds. `None`:
    /// there is none, it is damaged, or larger than any that is written.
    pub fn before(time: u64, size: u64, mut section: impl FnMut(usize) -> Option<Vec<u8>>) -> Option<Self> {
        let first = section(0).filter(|first| first.len() as u64 <= room_for_numbers(size))?;
        let mut input = Input(&first);
        let times = Vec::<u64>::take(&mut input)?;
        let number = times.iter().rposition(|taken| *taken < time)?;
        let registry = Registry::take(&mut input)?;
        let bytes = section(number + 1).filter(|bytes| bytes.len() as u64 <= room(size))?;
        let mut rest = Input(&bytes);
        let at = Checkpoint::take(&mut rest)?;
        let sound = at.now < time && at.lanes.is_sorted_by(|a, b| a.lane < b.lane);
        (input.is_empty() && rest.is_empty() && sound).then_some(Self { registry, at })
    }
}

/// Most checkpoints that are kept.
pub const MAX_CHECKPOINTS: usize = 64;
/// Records between the first ones.
const FIRST_DISTANCE: u64 = 1 << 10;
/// Records between two, for each live block and each known id: writing them down takes time, too.
const RECORDS_PER_ENTRY: u64 = 16;
/// Bytes that all of them may take before they are compressed: a share of the capture, within bounds.
const SHARE: u64 = 8;
const LEAST_ROOM: u64 = 64 << 10;
const MOST_ROOM: u64 = 256 << 20;

/// Bytes for the checkpoints of a capture of so many.
fn room(size: u64) -> u64 {
    (size / SHARE).clamp(LEAST_ROOM, MOST_ROOM)
}

/// Bytes for the numbers that they use.
fn room_for_numbers(size: u64) -> u64 {
    size.max(LEAST_ROOM)
}

/// Takes checkpoints in even distances, and keeps every other one whenever they become too many.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The capture's bytes.
    size: u64,
    /// Times and contents.
    taken: Vec<(u64, Vec<u8>)>,
    bytes: usize,
    distance: u64,
    /// Records after which the next one is due.
    pub(super) due: u64,
}

impl Keeper {
    /// For a capture of so many bytes.
    pub(super) fn new(size: u64) -> Self {
        Self { size, taken: Vec::new(), bytes: 0, distance: FIRST_DISTANCE, due: FIRST_DISTANCE }
    }

    /// Keeps one that was taken after so many records.
    pub(super) fn keep(&mut self, at: &Checkpoint, records: u64) {
        let mut bytes = Vec::new();
        at.put(&mut bytes);
        self.bytes += bytes.len();
        self.taken.push((at.now, bytes));
        while self.taken.len() > MAX_CHECKPOINTS || self.bytes as u64 > room(self.size) {
            let mut odd = true;
            self.taken.retain(|_| {
                odd = !odd;
                odd
            });
            self.bytes = self.taken.iter().map(|(_, bytes)| bytes.len()).sum();
            self.distance = self.distance.saturating_mul(2);
        }
        let least = ((at.blocks.len() + at.ids.len()) as u64).saturating_mul(RECORDS_PER_ENTRY);
        self.due = records.saturating_add(self.distance.max(least));
    }
}
