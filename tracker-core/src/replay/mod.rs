//! From a capture's records to numbers: one pass over all streams in order, memory bounded by what is live and by the
//! distinct stacks.
//!
//! `merge` decides the order of records (`share` inside an epoch of several streams), [`state`] and `events` what each one
//! does: to the blocks and sums in [`heap`] (found by address in `blocks`) (`mappings` makes blocks of mapped pages), the [`stacks`], the images and threads in [`census`], the [`timeline`], what rows did in each of the [`slices`] of it and in the [`regions`] that the program
//! marks. At a [`checkpoint`] another replay can begin, with the numbers of the `registry`. Nothing here knows symbols,
//! reports or files.

mod blocks;
pub mod census;
pub mod checkpoint;
mod doubt;
mod events;
pub mod heap;
pub mod journal;
pub mod mappings;
mod merge;
pub mod python;
pub mod regions;
mod registry;
mod share;
pub mod slices;
pub mod stacks;
pub mod state;
pub mod timeline;

use std::io;

use crate::capture::ahead::Ahead;
use crate::capture::cursor::Missing;
use crate::capture::reader::{Capture, Progress};
use crate::capture::source::Source;
use crate::format::{Called, Function};
use checkpoint::{Checkpoints, Keeper, Resume};
use journal::Listener;
use merge::{Aim, Merge, Watch};
use slices::{Cuts, Sliced};
use state::State;

/// What counts of memory that is recorded twice: as arenas of pymalloc, and as the objects in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pymalloc {
    /// The objects.
    #[default]
    Objects,
    /// The arenas, as where no objects are recorded.
    Arenas,
}

impl Pymalloc {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Arenas => "arenas",
        }
    }

    /// What counts otherwise.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Objects => Self::Arenas,
            Self::Arenas => Self::Objects,
        }
    }

    /// What it means, for whoever reads a number.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Objects => {
                "Python's small objects count one by one, the arenas they lie in do not (--arenas turns this round)"
            }
            Self::Arenas => {
                "the arenas of Python's small objects count, the objects in them do not (without --arenas they do)"
            }
        }
    }

    /// Whether a block that was asked for in this way counts.
    pub(crate) fn counts(self, called: Called) -> bool {
        let is_arena = called.function == Function::PythonArena;
        !called.twice || is_arena == (self == Self::Arenas)
    }
}

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What counts of memory that is recorded twice.
    pub pymalloc: Pymalloc,
    /// A block is temporary when its thread allocated at most this many others before it was freed.
    pub temporary_distance: u64,
    /// Where slices of time begin and end.
    pub cuts: Cuts,
    /// Take checkpoints on the way.
    pub checkpoints: bool,
}

/// A capture, replayed.
#[derive(Debug)]
pub struct Outcome {
    /// The state after the last record.
    pub state: State,
    /// What could not be read.
    pub missing: Missing,
    /// The last moment, nanoseconds since the session's start.
    pub end: u64,
    /// Where other replays may begin, if that was asked for.
    pub checkpoints: Checkpoints,
}

/// Stacks allowed in any case; more when the capture is larger.
const STACKS: usize = 1 << 20;

/// Replays all events of a capture. Takes the streams' block lists out of it.
pub fn replay<S: Source>(capture: &mut Capture<S>, options: &Options, progress: Progress<'_>) -> io::Result<Outcome> {
    let aim = if options.checkpoints { Aim::Checkpoints(Keeper::new(capture.size)) } else { Aim::Whole };
    watched(capture, options, aim, Watch { progress, listener: None })
}

/// What rows did from `from` on and before `to` (to the end where there is no `to`): the second of the slices that are
/// answered, of which the first begins at `resume`, a checkpoint of this capture before `from`. Reads no further than to `to`.
///
/// # Errors
/// Those of the source.
pub fn replay_range<S: Source>(
    capture: &mut Capture<S>,
    (pymalloc, temporary_distance): (Pymalloc, u64),
    (from, to): (u64, Option<u64>),
    resume: Option<&Resume>,
    progress: Progress<'_>,
) -> io::Result<Sliced> {
    let cuts = Cuts::At(std::iter::once(from).chain(to).collect());
    let options = Options { pymalloc, temporary_distance, cuts, checkpoints: false };
    let outcome = watched(capture, &options, Aim::Range(resume), Watch { progress, listener: None })?;
    Ok(outcome.state.sliced)
}

/// As [`replay()`], telling `listener` what happens.
///
/// # Errors
/// Those of the source, and of `listener`.
pub fn replay_to<S: Source>(
    capture: &mut Capture<S>,
    options: &Options,
    progress: Progress<'_>,
    listener: &mut Listener<'_>,
) -> io::Result<Outcome> {
    watched(capture, options, Aim::Whole, Watch { progress, listener: Some(listener) })
}

fn watched<S: Source>(
    capture: &mut Capture<S>,
    options: &Options,
    aim: Aim<'_>,
    mut watch: Watch<'_>,
) -> io::Result<Outcome> {
    let (facts, streams) = (&capture.facts, std::mem::take(&mut capture.streams));
    // A stack takes more than one byte, so an honest capture cannot reach this.
    let stack_limit = usize::try_from(capture.size).unwrap_or(usize::MAX).saturating_add(STACKS);
    let mut state = State::new(options, stack_limit);
    state.journal = watch.listener.is_some().then(Vec::new);
    if facts.session.is_some() || !streams.is_empty() {
        // The first row belongs to the program that was started, whether it allocates or not.
        let first = state.image(1);
        state.census.admit(first);
    }
    for stream in &streams {
        state.add_lane(stream.image, stream.tid);
    }
    state.expect_ends(&facts.image_ends);
    let resume = if let Aim::Range(resume) = aim { resume } else { None };
    if let Some(resume) = resume {
        resume.apply(&mut state, &streams);
    }
    let order = merge::order(&streams, resume);
    let (missing, checkpoints, over) = Ahead::while_decoding(&capture.source, order, |ahead| {
        let mut merge = Merge::new(ahead, streams, aim)?;
        let over = merge.run(&mut state, &mut watch)?;
        io::Result::Ok((merge.missing, merge.checkpoints(&state), over))
    })?;
    let end = facts.end.map_or(facts.last_time, |end| end.0).max(state.now);
    if over {
        state.finish(end);
    } else {
        state.stop();
    }
    watch.tell(&mut state)?;
    Ok(Outcome { state, missing, end, checkpoints })
}
