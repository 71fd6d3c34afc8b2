//! The order inside an epoch that several streams share: each keeps its own order, and between them two rules hold. An
//! address is allocated and freed in turns, and allocations come before frees. An event that does not fit yet waits; when
//! all wait, the order guessed so far was wrong somewhere or an event is missing, and one is applied anyway (see `doubt`).

use std::collections::VecDeque;
use std::io;

use super::events::Certainty;
use super::merge::{Merge, Stop, Turn, Waiting, Watch};
use super::state::State;
use crate::capture::source::Source;
use crate::format::Record;

/// How often per epoch a waiting stream is tried in vain before all that wait go on at once. A capture made to have
/// nothing but thousands of waiting streams would otherwise take time by the square of their number.
const PATIENCE: usize = 1 << 18;

/// Records looked at per epoch when searching for one that a waiting stream waits for.
const LOOK_AHEAD: usize = 64 << 10;

impl<S: Source> Merge<'_, '_, S> {
    /// Applies the events of one epoch that several streams share.
    pub(super) fn share(
        &mut self,
        epoch: u64,
        lanes: &[u32],
        state: &mut State,
        watch: &mut Watch<'_>,
    ) -> io::Result<()> {
        let (mut at_free, mut stuck) = (VecDeque::new(), Vec::new());
        let mut open = lanes.to_vec();
        let mut look_ahead = LOOK_AHEAD;
        let mut patience = PATIENCE;
        let mut next: Vec<(u32, u32)> = lanes.iter().map(|lane| (*lane, 0)).collect();
        loop {
            let mut moved = false;
            for (lane, frees) in next.drain(..) {
                match self.advance(lane, Turn::shared(epoch, frees), state, watch)? {
                    Stop::AtFree => at_free.push_back(lane),
                    Stop::Stuck => stuck.push(lane),
                    stop => {
                        open.retain(|other| *other != lane);
                        self.put_back(lane, stop, state);
                    }
                }
            }
            // Whatever waits may fit now.
            let tried = if patience > 0 { std::mem::take(&mut stuck) } else { Vec::new() };
            for lane in tried {
                if self.unblock(lane, &open, state) {
                    next.push((lane, 0));
                    moved = true;
                } else {
                    stuck.push(lane);
                }
            }
            patience = patience.saturating_sub(stuck.len());
            if moved {
                continue;
            }
            if let Some(lane) = at_free.pop_front() {
                next.push((lane, 1));
            } else if patience == 0 && !stuck.is_empty() {
                for lane in stuck.drain(..) {
                    self.force(lane, state);
                    next.push((lane, 0));
                }
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

    /// Applies what the stream waits for, if it fits now.
    fn unblock(&mut self, lane_id: u32, open: &[u32], state: &mut State) -> bool {
        let Some(lane) = self.lanes.get_mut(lane_id as usize) else { return false };
        let fits = match lane.waiting {
            Some(Waiting::Exec { ended }) => {
                let mut others = open.iter().filter(|other| **other != lane_id);
                lane.may_start = !others.any(|other| state.lane_image(*other) == Some(ended));
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
