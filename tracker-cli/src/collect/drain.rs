//! Takes the records out of the lanes, in the order in which each stream wrote them, and gives the chunks back.
//!
//! Trusts nothing in the lanes: bytes are copied before they are looked at, and a number found there is never used
//! as an index or a length without a bound.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracker_core::capture::meta::Meta;
use tracker_core::format::lanes::{ChunkHeader, OWNER_FULL, owner_parts};
use tracker_core::format::{Deltas, ImageKind, Record};

use super::chunk::{self, Key};
use super::images::Images;
use super::observer::{News, Reporter};
use super::queue::{Item, Queue};
use super::walk::Walker;
use crate::sys::futex;
use crate::sys::lanes::Lanes;

/// How far a chunk's records have been taken.
#[derive(Debug, Clone, Copy)]
struct Progress {
    key: Key,
    offset: usize,
    deltas: Deltas,
    /// Allocations and frees up to `offset`.
    events: u64,
    /// The rest cannot be read.
    damaged: bool,
}

/// A chunk to be taken; orders by stream and sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) stream: u32,
    pub(super) sequence: u32,
    pub(super) index: usize,
}

/// What was taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    pub(super) allocations: u64,
    pub(super) frees: u64,
}

/// The one who empties the lanes.
#[derive(Debug)]
pub(super) struct Drain {
    queue: Queue,
    reporter: Reporter,
    images: Arc<Images>,
    progress: HashMap<usize, Progress>,
    /// Claimed chunks whose owners were looked at, as a bitmap like the one of free chunks.
    known: Vec<u64>,
    /// Owners reported lately; the observer knows them all, this only spares it repetitions.
    reported: HashSet<u64>,
    /// Images whose record was taken.
    introduced: HashSet<u32>,
    copy: Vec<u8>,
    walker: Walker,
    taken: Taken,
    warned: bool,
}

impl Drain {
    pub(super) fn new(queue: Queue, reporter: Reporter, images: Arc<Images>) -> Self {
        Self {
            queue,
            reporter,
            images,
            progress: HashMap::new(),
            known: Vec::new(),
            reported: HashSet::new(),
            introduced: HashSet::new(),
            copy: Vec::new(),
            walker: Walker::new(),
            taken: Taken::default(),
            warned: false,
        }
    }

    pub(super) fn taken(&self) -> Taken {
        self.taken
    }

    /// Whether what is taken is written no more.
    pub(super) fn is_in_vain(&self) -> bool {
        self.queue.is_stopped()
    }

    /// Whether any image has said that it is there.
    pub(super) fn has_met_images(&self) -> bool {
        !self.introduced.is_empty()
    }

    /// Takes all published chunks; answers how many.
    pub(super) fn published(&mut self, lanes: &Lanes) -> usize {
        let first = published(lanes);
        if first.is_empty() {
            return 0;
        }
        // The bitmap is read word by word, so a stream's earlier chunk may have been published after its word was
        // read, and its later one before. A second look has the earlier ones of all that the first look saw.
        let mut last_sequence = HashMap::new();
        for candidate in &first {
            let last = last_sequence.entry(candidate.stream).or_insert(candidate.sequence);
            *last = candidate.sequence.max(*last);
        }
        let mut chunks = published(lanes);
        chunks.retain(|chunk| last_sequence.get(&chunk.stream).is_some_and(|last| chunk.sequence <= *last));
        self.take_in_order(lanes, chunks)
    }

    /// Takes what is finished in chunks that are still being filled, and those that the bitmap of full ones forgot; gives
    /// back the chunks of threads that are gone.
    pub(super) fn unfinished(&mut self, lanes: &Lanes) {
        let chunks = started(lanes);
        // What was published before one of these was started comes first.
        self.published(lanes);
        self.take_in_order(lanes, chunks);
        self.reported.clear();
    }

    fn take_in_order(&mut self, lanes: &Lanes, mut chunks: Vec<Candidate>) -> usize {
        chunks.sort_unstable();
        let mut released = 0;
        for chunk in chunks {
            let Some(header) = lanes.header(chunk.index) else { continue };
            if candidate(header, chunk.index) != chunk {
                // Freed and claimed anew since it was listed: its turn comes with its own number.
                continue;
            }
            let owner = header.owner.load(Ordering::Acquire);
            // Asked before taking: whoever is dead now has written everything already.
            let done = owner & OWNER_FULL != 0 || self.is_dead(owner);
            self.take(lanes, chunk.index, header);
            if done && owner != 0 {
                self.release(lanes, chunk.index);
                released += 1;
            }
        }
        released
    }

    fn is_dead(&self, owner: u64) -> bool {
        let (image, tid) = owner_parts(owner);
        self.images.thread_is_gone(image, tid)
    }

    /// Takes the records of one chunk that were not taken yet.
    fn take(&mut self, lanes: &Lanes, index: usize, header: &ChunkHeader) {
        // Nothing committed. The header may still be its last owner's.
        if lanes.first_tag(index) == 0 {
            return;
        }
        let end = chunk::records_end(header);
        let key = Key::of(header);
        let (image, tid) = key.owner();
        let progress = self.progress.get(&index).filter(|progress| progress.key == key);
        let mut progress = progress.copied().unwrap_or_else(|| Progress {
            key,
            offset: 0,
            events: 0,
            deltas: chunk::start(header),
            damaged: false,
        });
        if progress.damaged {
            return;
        }

        let before = progress;
        let bytes = lanes.copy(index, progress.offset, end, &mut self.copy);
        let (reporter, introduced) = (&self.reporter, &mut self.introduced);
        let walked = self.walker.walk(bytes, &mut progress.deltas, |record, time| {
            if matches!(record, Record::Image { .. }) {
                introduced.insert(image);
            }
            reporter.record(image, record, time);
        });
        let records = bytes.get(..walked.len).unwrap_or_default().to_vec();
        progress.offset += walked.len;
        progress.events += walked.events();
        progress.damaged = walked.damaged;
        self.progress.insert(index, progress);
        self.taken.allocations += walked.allocations;
        self.taken.frees += walked.frees();

        if walked.damaged && !self.warned {
            self.warned = true;
            let text = format!("the program wrote into the recording memory: records of thread {tid} are damaged");
            self.queue.meta(Meta::Warning { text });
        }
        if walked.records > 0 {
            let events = key.events(before.offset, &walked, &before.deltas, &progress.deltas);
            self.queue.push(Item::Events(events, records), || beat(lanes));
        }
    }

    fn release(&mut self, lanes: &Lanes, index: usize) {
        let talk = &lanes.control().talk.0;
        if let Some(progress) = self.progress.remove(&index) {
            talk.released.fetch_add(progress.events, Ordering::Relaxed);
        }
        lanes.release(index);
        beat(lanes);
        talk.freed.fetch_add(1, Ordering::SeqCst);
        if talk.waiters.load(Ordering::SeqCst) != 0 {
            futex::wake_all(&talk.heartbeat);
        }
    }

    /// Tells the observer of threads that claimed a chunk since the last time, once it has heard of their image.
    pub(super) fn newcomers(&mut self, lanes: &Lanes) {
        let free = &lanes.control().free;
        self.known.resize(free.len(), 0);
        for (word, (free, known)) in free.iter().zip(&mut self.known).enumerate() {
            let claimed = !free.load(Ordering::Relaxed);
            let new = claimed & !*known;
            *known &= claimed;
            for index in bits(word, new) {
                let owner = lanes.header(index).map_or(0, |header| header.owner.load(Ordering::Relaxed));
                let (image, tid) = owner_parts(owner & !OWNER_FULL);
                if !self.introduced.contains(&image) {
                    continue;
                }
                *known |= 1 << (index % 64);
                if self.reported.insert(owner & !OWNER_FULL) {
                    self.reporter.tell(News::Thread { image, tid });
                }
            }
        }
    }
}

/// Counts the heartbeat up.
pub(super) fn beat(lanes: &Lanes) {
    lanes.control().talk.0.heartbeat.fetch_add(1, Ordering::SeqCst);
}

/// The chunks whose bits are set in the word `word` of a bitmap.
fn bits(word: usize, mut bits: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (bits != 0).then(|| bits.trailing_zeros())?;
        bits &= bits - 1;
        Some(word * 64 + bit as usize)
    })
}

fn candidate(header: &ChunkHeader, index: usize) -> Candidate {
    let Key { stream, sequence, .. } = Key::of(header);
    Candidate { stream, sequence, index }
}

/// The chunks that the bitmap of full ones names and whose owner agrees.
fn published(lanes: &Lanes) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (word, full) in lanes.control().full.iter().enumerate() {
        // Acquire, so that the headers read next are at least as new as the bit.
        let full = full.load(Ordering::Acquire);
        for index in bits(word, full) {
            let header = lanes.header(index).filter(|h| h.owner.load(Ordering::Acquire) & OWNER_FULL != 0);
            found.extend(header.map(|header| candidate(header, index)));
        }
    }
    found
}

/// The chunks that have an owner. A claimer clears a chunk's bit before it writes anything, so the bitmap forgets no
/// records.
pub(super) fn started(lanes: &Lanes) -> Vec<Candidate> {
    let mut found = Vec::new();
    for (word, free) in lanes.control().free.iter().enumerate() {
        for index in bits(word, !free.load(Ordering::Acquire)) {
            let header = lanes.header(index).filter(|h| h.owner.load(Ordering::Acquire) != 0);
            found.extend(header.map(|header| candidate(header, index)));
        }
    }
    found
}

impl Reporter {
    /// Passes on what a record says about images and modules.
    fn record(&self, image: u32, record: &Record<'_>, time: u64) {
        match record {
            Record::Image { kind, pid, parent, .. } => {
                let first = *kind == ImageKind::First;
                self.tell(News::Image { image, pid: *pid, parent: *parent, first, time });
            }
            Record::Module { build_id, path, .. } => {
                self.tell(News::Module { image, build_id: build_id.to_vec(), path: path.to_vec() });
            }
            _ => {}
        }
    }
}
