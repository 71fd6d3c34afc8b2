//! The order of events: all streams, by epoch.
//!
//! An epoch that one stream has for itself is applied in its order; that is nearly all of them, and fast. Where several
//! streams share an epoch, each keeps its own order, and between them two rules hold: an address is allocated and freed
//! in turns, and allocations come before frees. An event that does not fit yet waits; when all wait, the order guessed
//! so far was wrong somewhere or an event is missing, and one is applied anyway (see `doubt`).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;

use super::state::{Certainty, State};
use crate::capture::cursor::{Cursor, Missing};
use crate::capture::payload::Loader;
use crate::capture::reader::{Progress, Stream};
use crate::capture::source::Source;
use crate::format::Record;

/// An event that waits for its turn.
#[derive(Debug, Clone, Copy)]
enum Waiting {
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
struct Lane {
    cursor: Cursor,
    /// Epoch in force; never goes back.
    epoch: u64,
    waiting: Option<Waiting>,
    /// Epoch of the last event.
    acted: Option<u64>,
    /// The start of an image that comes next has waited long enough.
    may_start: bool,
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
struct Turn {
    certainty: Certainty,
    /// First epoch that is too late.
    until: u64,
    /// Frees it may apply.
    frees: u32,
}

impl Turn {
    const fn alone(until: u64) -> Self {
        Self { certainty: Certainty::Alone, until, frees: u32::MAX }
    }

    const fn shared(epoch: u64, frees: u32) -> Self {
        Self { certainty: Certainty::Shared, until: epoch + 1, frees }
    }
}

impl Waiting {
    /// Applies the event, unless it is refused.
    fn apply(self, lane: u32, state: &mut State, certainty: Certainty) -> bool {
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

/// Why a stream stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Its next record belongs to a later epoch.
    Later,
    /// It has no more records.
    End,
    /// Its next event is a free that may come now.
    AtFree,
    /// Its next event does not fit yet.
    Stuck,
}

/// Records looked at per epoch when searching for one that a waiting stream waits for.
const LOOK_AHEAD: usize = 64 << 10;

/// All streams of a capture, being merged.
#[derive(Debug)]
pub(super) struct Merge<'s, S> {
    source: &'s S,
    loader: Loader,
    lanes: Vec<Lane>,
    queue: BinaryHeap<Reverse<(u64, u32)>>,
    /// What could not be read.
    pub(super) missing: Missing,
    done: u64,
    total: u64,
}

impl<'s, S: Source> Merge<'s, S> {
    /// Prepares to merge `streams`; lane numbers are their positions.
    pub(super) fn new(source: &'s S, streams: Vec<Stream>) -> io::Result<Self> {
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
        Ok(Self { source, loader: Loader::new()?, lanes, queue, missing: Missing::default(), done: 0, total })
    }

    /// Applies everything to `state`.
    pub(super) fn run(&mut self, state: &mut State, progress: Progress<'_>) -> io::Result<()> {
        let mut shared = Vec::new();
        while let Some(Reverse((epoch, lane))) = self.queue.pop() {
            let next = self.queue.peek().map_or(u64::MAX, |next| next.0.0);
            if next > epoch {
                let stop = self.advance(lane, Turn::alone(next), state, progress)?;
                self.put_back(lane, stop, state);
                continue;
            }
            shared.clear();
            shared.push(lane);
            while let Some(&Reverse((_, lane))) = self.queue.peek().filter(|next| next.0.0 == epoch) {
                self.queue.pop();
                shared.push(lane);
            }
            self.share(epoch, &shared, state, progress)?;
        }
        Ok(())
    }

    /// Applies the events of one epoch that several streams share.
    fn share(&mut self, epoch: u64, lanes: &[u32], state: &mut State, progress: Progress<'_>) -> io::Result<()> {
        let (mut at_free, mut stuck) = (VecDeque::new(), Vec::new());
        let mut look_ahead = LOOK_AHEAD;
        let mut next: Vec<(u32, u32)> = lanes.iter().map(|lane| (*lane, 0)).collect();
        loop {
            let mut moved = false;
            for (lane, frees) in next.drain(..) {
                match self.advance(lane, Turn::shared(epoch, frees), state, progress)? {
                    Stop::AtFree => at_free.push_back(lane),
                    Stop::Stuck => stuck.push(lane),
                    stop => self.put_back(lane, stop, state),
                }
            }
            // Whatever waits may fit now.
            for lane in std::mem::take(&mut stuck) {
                if self.unblock(lane, &at_free, state) {
                    next.push((lane, 0));
                    moved = true;
                } else {
                    stuck.push(lane);
                }
            }
            if moved {
                continue;
            }
            if let Some(lane) = at_free.pop_front() {
                next.push((lane, 1));
            } else if let Some(lane) = self.choose(epoch, &stuck, &mut look_ahead, state) {
                stuck.retain(|other| *other != lane);
                self.force(lane, state);
                next.push((lane, 0));
            } else {
                break;
            }
        }
        state.settle();
        let acted = |lane: &&u32| self.lanes.get(**lane as usize).is_some_and(|lane| lane.acted == Some(epoch));
        state.overlap(lanes.iter().filter(acted).copied());
        Ok(())
    }

    fn put_back(&mut self, lane_id: u32, stop: Stop, state: &mut State) {
        if let Some(lane) = self.lanes.get(lane_id as usize).filter(|_| stop == Stop::Later) {
            self.queue.push(Reverse((lane.next_epoch().unwrap_or(LAST_EPOCH), lane_id)));
        } else {
            state.end_lane(lane_id);
        }
    }

    /// Applies one stream's records as far as `turn` allows.
    fn advance(&mut self, lane_id: u32, turn: Turn, state: &mut State, progress: Progress<'_>) -> io::Result<Stop> {
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
            let Some((entered, block)) = lane.cursor.next_block(self.source, &mut self.loader, &mut self.missing)?
            else {
                return Ok(Stop::End);
            };
            self.done += u64::from(block.stored_len);
            progress(self.done.min(self.total), self.total);
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

    /// Applies what the stream waits for, if it fits now.
    fn unblock(&mut self, lane_id: u32, others: &VecDeque<u32>, state: &mut State) -> bool {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return false };
        let fits = match lane.waiting {
            // Streams that are stuck are not asked: they may wait for what this image does.
            Some(Waiting::Exec { ended }) => {
                lane.may_start = !others.iter().any(|other| state.lane_image(*other) == Some(ended));
                lane.may_start
            }
            Some(waiting) => waiting.apply(lane_id, state, Certainty::Shared),
            None => true,
        };
        if fits {
            (lane.waiting, lane.acted) = (None, Some(lane.epoch));
        }
        fits
    }

    /// Applies what the stream waits for although it does not fit.
    fn force(&mut self, lane_id: u32, state: &mut State) {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return };
        if let Some(waiting) = lane.waiting.take() {
            lane.may_start = matches!(waiting, Waiting::Exec { .. });
            waiting.apply(lane_id, state, Certainty::Forced);
        }
    }

    /// Which of the waiting streams has to go on, now that all wait.
    fn choose(&self, epoch: u64, stuck: &[u32], look_ahead: &mut usize, state: &State) -> Option<u32> {
        let waiting = |lane: u32| self.lanes.get(lane as usize).and_then(|lane| lane.waiting);
        // A free of what nobody is going to allocate waits in vain.
        for &lane in stuck {
            if let Some(Waiting::Free { address } | Waiting::Intent { address }) = waiting(lane) {
                let image = state.lane_image(lane);
                let mut others = stuck.iter().filter(|other| **other != lane && state.lane_image(**other) == image);
                if !others.any(|other| self.will_allocate(*other, address, epoch, look_ahead)) {
                    return Some(lane);
                }
            }
        }
        let alloc = stuck.iter().find(|lane| matches!(waiting(**lane), Some(Waiting::Alloc { .. })));
        alloc.or(stuck.first()).copied()
    }

    /// Whether the stream allocates `address` later in this epoch.
    fn will_allocate(&self, lane: u32, address: u64, epoch: u64, look_ahead: &mut usize) -> bool {
        let Some(lane) = self.lanes.get(lane as usize) else { return false };
        if matches!(lane.waiting, Some(Waiting::Alloc { address: waits, .. }) if waits == address) {
            return true;
        }
        for record in lane.cursor.ahead().take(*look_ahead) {
            *look_ahead -= 1;
            match record {
                Record::Alloc { address: found, .. } if found == address => return true,
                Record::Epoch(later) if later > epoch => return false,
                _ => {}
            }
        }
        false
    }
}
