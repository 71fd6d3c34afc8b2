//! The order of events: all streams, by epoch.
//!
//! An epoch that one stream has for itself is applied in its order; that is nearly all of them, and fast. What happens
//! where several streams share an epoch is in `share`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;

use super::checkpoint::{Checkpoint, Checkpoints, Keeper, LaneAt, Resume};
use super::events::Certainty;
use super::journal::Listener;
use super::state::State;
use crate::capture::ahead::Ahead;
use crate::capture::cursor::{Cursor, Missing};
use crate::capture::payload::Loader;
use crate::capture::reader::{EventBlock, Progress, Stream};
use crate::capture::source::Source;
use crate::format::Record;

/// An event that waits for its turn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Waiting {
    Alloc {
        address: u64,
        size: u64,
        stack: u32,
        realloc: bool,
    },
    Free {
        address: u64,
    },
    Intent {
        address: u64,
    },
    /// The start of an image, which comes after everything that the image before it did.
    Exec {
        ended: u32,
    },
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) cursor: Cursor,
    /// Epoch in force; never goes back.
    pub(super) epoch: u64,
    pub(super) waiting: Option<Waiting>,
    /// Epoch of the last event.
    pub(super) acted: Option<u64>,
    /// The start of an image that comes next has waited long enough.
    pub(super) may_start: bool,
}

impl Lane {
    /// Epoch of the next record, at least; `None` at the end of the stream.
    fn next_epoch(&self) -> Option<u64> {
        self.cursor.next_epoch().map(|next| self.epoch.max(next).min(LAST_EPOCH))
    }

    fn enter_epoch(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch).min(LAST_EPOCH);
    }
}

/// Largest epoch; one less than the end of a turn without end.
const LAST_EPOCH: u64 = u64::MAX - 1;

/// How far a stream may go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    certainty: Certainty,
    /// First epoch that is too late.
    until: u64,
    /// Frees it may apply.
    frees: u32,
}

impl Turn {
    pub(super) const fn alone(until: u64) -> Self {
        Self { certainty: Certainty::Alone, until, frees: u32::MAX }
    }

    pub(super) const fn shared(epoch: u64, frees: u32) -> Self {
        Self { certainty: Certainty::Shared, until: epoch + 1, frees }
    }
}

impl Waiting {
    /// Applies the event, unless it is refused.
    pub(super) fn apply(self, lane: u32, state: &mut State, certainty: Certainty) -> bool {
        match self {
            Self::Alloc { address, size, stack, realloc } => {
                state.alloc(lane, (address, size), stack, realloc, certainty)
            }
            Self::Free { address } => state.free(lane, address, certainty),
            Self::Intent { address } => state.intent(lane, address, certainty),
            Self::Exec { .. } => certainty == Certainty::Forced,
        }
    }
}

/// The blocks in the order in which a merge of these streams will most likely come to them.
pub(super) fn order(streams: &[Stream], resume: Option<&Resume>) -> Vec<EventBlock> {
    let left = |(number, stream): (u32, &'_ Stream)| match resume {
        Some(resume) => resume.at.lane(number).map_or(stream.blocks.len(), |lane| lane.stand.first_wanted()),
        None => 0,
    };
    let in_stream = |(number, stream): (u32, &Stream)| {
        let mut epoch = 0;
        let at = move |block: &EventBlock| {
            epoch = block.first_epoch.max(epoch);
            (epoch, *block)
        };
        stream.blocks.iter().map(at).skip(left((number, stream))).collect::<Vec<_>>()
    };
    let mut blocks: Vec<_> = (0..).zip(streams).flat_map(in_stream).collect();
    // Stable, so a stream's blocks stay in order.
    blocks.sort_by_key(|(epoch, _)| *epoch);
    blocks.into_iter().map(|(_, block)| block).collect()
}

/// Why a stream stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Its next record belongs to a later epoch.
    Later,
    /// It has no more records.
    End,
    /// Its next event is a free that may come now.
    AtFree,
    /// Its next event does not fit yet.
    Stuck,
}

/// Who hears of the merge.
pub(super) struct Watch<'w> {
    pub(super) progress: Progress<'w>,
    pub(super) listener: Option<&'w mut Listener<'w>>,
}

impl Watch<'_> {
    /// Tells what has happened.
    pub(super) fn tell(&mut self, state: &mut State) -> io::Result<()> {
        let (Some(listener), Some(journal)) = (&mut self.listener, &mut state.journal) else { return Ok(()) };
        listener(journal)?;
        journal.clear();
        Ok(())
    }
}

/// What the merge is for, beside its state.
#[derive(Debug)]
pub(super) enum Aim<'r> {
    Whole,
    Checkpoints(Keeper),
    /// To know the second of three slices; the third is left out.
    Range(Option<&'r Resume>),
}

/// All streams of a capture, being merged.
#[derive(Debug)]
pub(super) struct Merge<'a, 's, S> {
    ahead: &'a Ahead<'s, S>,
    loader: Loader,
    pub(super) lanes: Vec<Lane>,
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    /// What could not be read.
    pub(super) missing: Missing,
    done: u64,
    total: u64,
    /// Records in the blocks that were read, and how many there have to be before the next [look](Self::look).
    records: u64,
    next_look: u64,
    aim: Aim<'a>,
}

impl<'a, 's, S: Source> Merge<'a, 's, S> {
    /// Prepares to merge `streams` from their beginning; lane numbers are their positions.
    pub(super) fn new(ahead: &'a Ahead<'s, S>, streams: Vec<Stream>, aim: Aim<'a>) -> io::Result<Self> {
        let total = streams.iter().flat_map(|stream| &stream.blocks).map(|block| u64::from(block.stored_len)).sum();
        let lanes: Vec<_> = streams
            .into_iter()
            .map(|stream| Lane {
                cursor: Cursor::new(stream.blocks),
                epoch: 0,
                waiting: None,
                acted: None,
                may_start: false,
            })
            .collect();
        let queue = (0u32..).zip(&lanes).filter_map(|(id, lane)| Some(Reverse((lane.next_epoch()?, id)))).collect();
        let next_look = match &aim {
            Aim::Whole => u64::MAX,
            Aim::Checkpoints(keeper) => keeper.due,
            Aim::Range(_) => 0,
        };
        let (loader, missing) = (Loader::new()?, Missing::default());
        let mut merge = Self { ahead, loader, lanes, queue, missing, done: 0, total, records: 0, next_look, aim };
        if let Aim::Range(Some(resume)) = merge.aim {
            merge.go_to(&resume.at)?;
        }
        Ok(merge)
    }

    /// Goes to where the streams stood at a checkpoint.
    fn go_to(&mut self, at: &Checkpoint) -> io::Result<()> {
        self.queue.clear();
        self.total = 0;
        for LaneAt { lane: number, epoch, stand, .. } in &at.lanes {
            let Some(lane) = self.lanes.get_mut(*number as usize) else { continue };
            self.total += lane.cursor.go_to(stand, (self.ahead, &mut self.loader))?;
            lane.enter_epoch(*epoch);
            self.queue.push(Reverse((lane.next_epoch().unwrap_or(LAST_EPOCH), *number)));
        }
        Ok(())
    }

    /// The checkpoints that were taken of what is now `state`.
    pub(super) fn checkpoints(&mut self, state: &State) -> Checkpoints {
        match &mut self.aim {
            Aim::Checkpoints(keeper) => Checkpoints::new(keeper, state),
            Aim::Whole | Aim::Range(_) => Checkpoints::default(),
        }
    }

    /// Between two epochs: takes a checkpoint that is due, or finds that a range is over. Answers whether to go on.
    #[cold]
    fn look(&mut self, state: &mut State) -> bool {
        // If nothing comes of it now, perhaps at the next block.
        self.next_look = self.records + 1;
        match &mut self.aim {
            Aim::Whole => true,
            // Nothing behind the range decides what is in it.
            Aim::Range(_) => state.heap.slices.current() < 2,
            Aim::Checkpoints(keeper) => {
                let mut open: Vec<u32> = self.queue.iter().map(|lane| lane.0.1).collect();
                open.sort_unstable();
                let stand = |number: &u32| {
                    let lane = self.lanes.get(*number as usize)?;
                    Some((*number, lane.epoch, lane.cursor.stand()))
                };
                if let Some(at) = Checkpoint::of(state, open.iter().filter_map(stand)) {
                    keeper.keep(&at, self.records);
                    self.next_look = keeper.due;
                }
                true
            }
        }
    }

    /// Applies everything to `state`, or as much as is wanted. Answers whether that was all.
    pub(super) fn run(&mut self, state: &mut State, watch: &mut Watch<'_>) -> io::Result<bool> {
        let mut shared = Vec::new();
        loop {
            if self.records >= self.next_look && !self.look(state) {
                return Ok(false);
            }
            let Some(Reverse((epoch, lane))) = self.queue.pop() else { return Ok(true) };
            watch.tell(state)?;
            let next = self.queue.peek().map_or(u64::MAX, |next| next.0.0);
            if next > epoch {
                let stop = self.advance(lane, Turn::alone(next), state, watch)?;
                self.put_back(lane, stop, state);
                continue;
            }
            shared.clear();
            shared.push(lane);
            while let Some(&Reverse((_, lane))) = self.queue.peek().filter(|next| next.0.0 == epoch) {
                self.queue.pop();
                shared.push(lane);
            }
            self.share(epoch, &shared, state, watch)?;
        }
    }

    pub(super) fn put_back(&mut self, lane_id: u32, stop: Stop, state: &mut State) {
        if let Some(lane) = self.lanes.get(lane_id as usize).filter(|_| stop == Stop::Later) {
            self.queue.push(Reverse((lane.next_epoch().unwrap_or(LAST_EPOCH), lane_id)));
        } else {
            state.end_lane(lane_id);
        }
    }

    /// Applies one stream's records as far as `turn` allows.
    pub(super) fn advance(
        &mut self,
        lane_id: u32,
        turn: Turn,
        state: &mut State,
        watch: &mut Watch<'_>,
    ) -> io::Result<Stop> {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return Ok(Stop::End) };
        let mut frees = turn.frees;
        if let Some(waiting) = lane.waiting {
            if matches!(waiting, Waiting::Free { .. }) {
                if frees == 0 {
                    return Ok(Stop::AtFree);
                }
                frees -= 1;
            }
            if !waiting.apply(lane_id, state, turn.certainty) {
                return Ok(Stop::Stuck);
            }
            (lane.waiting, lane.acted) = (None, Some(lane.epoch));
        }
        loop {
            while let Some(record) = lane.cursor.record(&mut self.missing) {
                let waiting = match record {
                    Record::Alloc { address, size, stack, realloc } => {
                        lane.acted = Some(lane.epoch);
                        if state.alloc(lane_id, (address, size), stack, realloc, turn.certainty) {
                            continue;
                        }
                        Waiting::Alloc { address, size, stack, realloc }
                    }
                    Record::Free { address, realloc: false } => {
                        if frees == 0 {
                            lane.waiting = Some(Waiting::Free { address });
                            return Ok(Stop::AtFree);
                        }
                        lane.acted = Some(lane.epoch);
                        if state.free(lane_id, address, turn.certainty) {
                            frees -= u32::from(turn.certainty != Certainty::Alone);
                            continue;
                        }
                        Waiting::Free { address }
                    }
                    Record::Free { address, realloc: true } => {
                        lane.acted = Some(lane.epoch);
                        if state.intent(lane_id, address, turn.certainty) {
                            continue;
                        }
                        Waiting::Intent { address }
                    }
                    Record::Epoch(epoch) => {
                        lane.enter_epoch(epoch);
                        if lane.epoch >= turn.until {
                            return Ok(Stop::Later);
                        }
                        continue;
                    }
                    Record::Clock(time) => {
                        state.clock(lane_id, time);
                        continue;
                    }
                    Record::ReallocFailed | Record::ReallocFreed => {
                        state.end_realloc(lane_id, record == Record::ReallocFreed, turn.certainty);
                        continue;
                    }
                    record => {
                        let ended = state.replaced_by(&record).filter(|_| turn.certainty != Certainty::Alone);
                        match ended.filter(|_| !lane.may_start) {
                            Some(ended) => {
                                lane.cursor.unread();
                                Waiting::Exec { ended }
                            }
                            None => {
                                lane.may_start = false;
                                state.rare(lane_id, record);
                                continue;
                            }
                        }
                    }
                };
                lane.waiting = Some(waiting);
                return Ok(Stop::Stuck);
            }
            match lane.next_epoch() {
                Some(next) if next >= turn.until => return Ok(Stop::Later),
                Some(_) => {}
                None => return Ok(Stop::End),
            }
            if self.records >= self.next_look && turn.certainty == Certainty::Alone {
                return Ok(Stop::Later);
            }
            let Some((entered, block)) = lane.cursor.next_block(self.ahead, &mut self.loader, &mut self.missing)?
            else {
                return Ok(Stop::End);
            };
            self.records += u64::from(block.count);
            self.done += u64::from(block.stored_len);
            (watch.progress)(self.done.min(self.total), self.total);
            watch.tell(state)?;
            if entered.lost {
                state.forget(lane_id);
            }
            state.clock(lane_id, lane.cursor.time());
            lane.enter_epoch(block.first_epoch);
            if lane.epoch >= turn.until {
                return Ok(Stop::Later);
            }
        }
    }
}
