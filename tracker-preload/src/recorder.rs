//! \[unsafe\] One stream: encodes records into the chunk that its thread owns, and commits each by its tag byte.
//!
//! The invariant this file upholds: in a chunk, everything before the first zero tag byte is a whole record, at any
//! instant. A recorder is used by one thread at a time, and never re-entered: `thread` gives a nested hook the next
//! recorder.

use core::iter::{Skip, Take};
use core::sync::atomic::{AtomicU8, Ordering, compiler_fence};

use tracker_core::format::event::{AllocFields, Encoded};
use tracker_core::format::lanes::{ChunkHeader, flag, owner};
use tracker_core::format::python::{write_merge, write_python_stacks};
use tracker_core::format::record::{self, Called, MapKind};
use tracker_core::format::varint::MAX_VARINT_LEN;
use tracker_core::format::{Deltas, MAX_DEFINE_PCS, MAX_RECORD_LEN, ROOT_STACK};

use crate::chunk;
use crate::lanes::Lanes;
use crate::program;
use crate::python;
use crate::session;
use crate::stacks::{Dictionary, extend};
use crate::thread::Shown;
use crate::unwind::{Path, Recalled};

/// Room for the records of one event: gap, generation, epoch, clock and the event, with 16-byte stores that overshoot.
const MARGIN: usize = 128;
/// The dictionary is renewed after this many chunks, so that a reader who lost a definition recovers.
const CHUNKS_PER_DICTIONARY: u32 = 256;
/// An allocation that brings its thread to this many bytes since its last advance takes a new epoch.
const EPOCH_BYTES: u64 = 4096;
/// After so many events the clock is looked at, and the next allocation takes a new epoch whatever its size.
const PERIOD: u32 = 64;

/// A stream's writer. All zero is its valid initial state: no chunk, no stream number.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Recorder<const DICTIONARY: usize> {
    cursor: *mut u8,
    /// Below this, a record may be put together: [`MARGIN`] twice before `end`.
    limit: *mut u8,
    end: *mut u8,
    deltas: Deltas,
    /// Bytes requested since this stream last advanced the epoch, or [`EPOCH_BYTES`] when the next allocation shall do so
    /// whatever its size.
    epoch_bytes: u64,
    /// Events until the end of the [`PERIOD`].
    period_left: u32,
    /// Events that found no room since the last gap record.
    lost: u64,
    stream: u32,
    /// Of the next chunk, and of the one in hand.
    sequence: u32,
    in_hand: u32,
    image: u32,
    tid: u32,
    level: u32,
    generation: u32,
    /// The chunk in hand: its header (None without one), number and first byte.
    header: Option<&'static ChunkHeader>,
    /// Where other threads can see which chunk is in hand.
    shown: Option<&'static Shown>,
    index: usize,
    start: *mut u8,
    dictionary: Dictionary<DICTIONARY>,
    /// Where rare records are put together before they are committed.
    scratch: [u8; MAX_RECORD_LEN],
}

/// A captured stack: what was called, and the path of frames to its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Captured<'a> {
    pub(crate) called: Called,
    pub(crate) path: Path<'a>,
    pub(crate) python: python::Path<'a>,
}

/// A stack whose path was recalled: known by hashes alone.
#[derive(Debug)]
pub(crate) struct Again<'a> {
    pub(crate) called: Called,
    pub(crate) path: Recalled<'a>,
    /// Hash of its Python frames, if there are any.
    pub(crate) python: Option<u64>,
}

/// Hash of a stack: that of its path of native frames, what was called, and that of its Python frames.
#[inline(always)]
fn stack_hash(path: u64, called: Called, python: Option<u64>) -> u64 {
    let native = extend(path, called.marker());
    match python {
        Some(python) => extend(native, python),
        None => native,
    }
}

impl Captured<'_> {
    /// Hash of the stack, its function and its Python frames included.
    fn hash(&self) -> u64 {
        stack_hash(self.path.hash(), self.called, self.python.hash())
    }

    /// Hash of its native part.
    fn native_hash(&self) -> u64 {
        stack_hash(self.path.hash(), self.called, None)
    }

    /// Entries in a definition of the native part: marker, frames, function.
    fn len(&self) -> usize {
        usize::from(self.path.marker != 0) + self.path.entries.len() + 1
    }

    /// Entry `depth`, from the root on, and the hash of the path that ends with it.
    fn entry(&self, depth: usize) -> (u64, u64) {
        let marker = usize::from(self.path.marker != 0);
        if depth < marker {
            return (self.path.marker, self.path.root_hash());
        }
        match self.path.entries.get(depth - marker) {
            Some(entry) => (entry.pc, entry.hash),
            None => (self.called.marker(), self.native_hash()),
        }
    }
}

impl<const DICTIONARY: usize> Recorder<DICTIONARY> {
    /// Binds fresh (or recycled) memory to a thread. The stream number is drawn with the first chunk. In `shown` the
    /// chunk in hand is made known.
    pub(crate) fn start(&mut self, image: u32, tid: u32, level: u32, shown: Option<&'static Shown>) {
        // A chunk may be left by a dead thread whose place this one takes. It is the collector's, who may have given it
        // to somebody else already: it is not touched, only pointed out.
        if self.header.take().is_some() {
            session::call_attention();
        }
        (self.cursor, self.limit, self.end) = (core::ptr::null_mut(), core::ptr::null_mut(), core::ptr::null_mut());
        self.deltas = Deltas::default();
        (self.period_left, self.epoch_bytes, self.lost) = (1, 0, 0);
        (self.stream, self.sequence) = (0, 0);
        (self.image, self.tid, self.level, self.shown) = (image, tid, level, shown);
        self.generation = 0;
        self.dictionary.clear();
    }

    /// Records an allocation.
    #[inline(always)]
    pub(crate) fn alloc(&mut self, address: u64, size: u64, stack: Captured<'_>, realloc: bool) {
        match self.open().and_then(|lanes| Some((lanes, self.stack_id(lanes, stack)?))) {
            Some((lanes, id)) => self.put_alloc(lanes, (address, size), id, realloc),
            None => self.lose(),
        }
    }

    /// Records an allocation if its stack, whose path was recalled, has an id in this stream. False: it has none, or there
    /// is no room, and nothing was recorded.
    #[inline(always)]
    #[must_use]
    pub(crate) fn alloc_again(&mut self, address: u64, size: u64, stack: Again<'_>, realloc: bool) -> bool {
        let Some(lanes) = self.open() else { return false };
        if program::generation() != self.generation {
            return false;
        }
        let Again { called, path, python } = stack;
        let id = match self.dictionary.recall(*path.id, called) {
            Some(id) if python.is_none() => id,
            _ => {
                let Some(id) = self.dictionary.get(stack_hash(path.hash, called, python)) else { return false };
                if python.is_none() {
                    *path.id = self.dictionary.known(id, called);
                }
                id
            }
        };
        self.put_alloc(lanes, (address, size), id, realloc);
        true
    }

    #[inline(always)]
    fn put_alloc(&mut self, lanes: Lanes, (address, size): (u64, u64), id: u32, realloc: bool) {
        self.stamp(lanes, true, size);
        match self.deltas.encode_alloc_fields(address, size, id, realloc) {
            Some(fields) => self.commit_alloc(fields),
            None => self.wide_alloc(address, size, id, realloc),
        }
    }

    /// Records a free, or the intent of a realloc, before it happens.
    #[inline(always)]
    pub(crate) fn free(&mut self, address: u64, realloc: bool) {
        let Some(lanes) = self.open() else { return self.lose() };
        self.stamp(lanes, false, 0);
        match self.deltas.encode_free(address, realloc) {
            Some(event) => self.commit(event),
            None => self.wide_free(address, realloc),
        }
    }

    #[cold]
    fn wide_alloc(&mut self, address: u64, size: u64, id: u32, realloc: bool) {
        let len = record::write_alloc(&mut self.scratch, &mut self.deltas, (address, size), id, realloc);
        self.commit_scratch(len);
    }

    #[cold]
    fn wide_free(&mut self, address: u64, realloc: bool) {
        let len = record::write_free(&mut self.scratch, &mut self.deltas, address, realloc);
        self.commit_scratch(len);
    }

    /// Ends the pending realloc without a block.
    #[cold]
    pub(crate) fn end_realloc(&mut self, freed: bool) {
        let tag = if freed { record::tag::REALLOC_FREED } else { record::tag::REALLOC_FAILED };
        match self.open() {
            Some(_) => self.commit(Encoded { tag, len: 0, payload: 0 }),
            None => self.lose(),
        }
    }

    /// Writes a rare record of at most [`MAX_RECORD_LEN`] bytes; counts as lost when there is no room.
    #[cold]
    pub(crate) fn note(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        self.try_note(write);
    }

    /// As [`Self::note`]; false when there is no room.
    #[cold]
    pub(crate) fn try_note(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Some(lanes) = Lanes::get().filter(|&lanes| self.make_room(lanes, MAX_RECORD_LEN)) else {
            self.lose();
            return false;
        };
        self.stamp(lanes, false, 0);
        let len = write(&mut self.scratch);
        self.commit_scratch(len);
        true
    }

    /// Writes a rare record in an epoch of its own, and with the time it is now: what other threads did before comes before it,
    /// and what they do from then on behind it.
    #[cold]
    pub(crate) fn mark(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let Some(lanes) = Lanes::get().filter(|&lanes| self.make_room(lanes, MAX_RECORD_LEN)) else {
            return self.lose();
        };
        self.stamp(lanes, false, 0);
        let time = program::session_time(lanes);
        if time > self.deltas.time {
            let event = self.deltas.encode_clock(time);
            self.commit(event);
        }
        self.advance_epoch(lanes);
        let len = write(&mut self.scratch);
        self.commit_scratch(len);
        self.advance_epoch(lanes);
    }

    /// Records a mapping, with its stack.
    #[cold]
    pub(crate) fn map(&mut self, range: (u64, u64), stack: Captured<'_>, kind: MapKind) {
        let Some((lanes, id)) = self.open().and_then(|lanes| Some((lanes, self.stack_id(lanes, stack)?))) else {
            return self.lose();
        };
        self.stamp(lanes, false, 0);
        self.advance_epoch(lanes);
        let len = record::write_map(&mut self.scratch, range, id, kind);
        self.commit_scratch(len);
    }

    /// Records the end of a mapping, before it happens. Like [`Self::map`] in an epoch of its own, so that the order of
    /// mappings is exact across threads.
    #[cold]
    pub(crate) fn unmap(&mut self, range: (u64, u64), moves: bool) {
        let Some(lanes) = self.open() else { return self.lose() };
        self.stamp(lanes, false, 0);
        self.advance_epoch(lanes);
        let len = record::write_unmap(&mut self.scratch, range, moves);
        self.commit_scratch(len);
    }

    /// The lanes, with room for the definition of a generation and one event in the chunk in hand.
    #[inline(always)]
    fn open(&mut self) -> Option<Lanes> {
        let lanes = Lanes::get()?;
        if self.cursor >= self.limit && !self.next_chunk(lanes) {
            return None;
        }
        Some(lanes)
    }

    /// Brings the epoch in force into the stream, and now and then the time. Needs room for two hot records.
    #[inline(always)]
    fn stamp(&mut self, lanes: Lanes, allocates: bool, size: u64) {
        self.period_left = self.period_left.wrapping_sub(1);
        if self.period_left == 0 && self.end_period(lanes) {
            return;
        }
        if allocates {
            self.epoch_bytes = self.epoch_bytes.saturating_add(size);
            if self.epoch_bytes >= EPOCH_BYTES {
                return self.advance_epoch(lanes);
            }
        }
        let now = lanes.control().epoch.0.load(Ordering::Acquire);
        if now != self.deltas.epoch {
            self.enter_epoch(lanes, now, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn advance_epoch(&mut self, lanes: Lanes) {
        self.epoch_bytes = 0;
        let before = lanes.control().epoch.0.fetch_add(1, Ordering::AcqRel);
        self.enter_epoch(lanes, before, before + 1);
    }

    /// `before`: the epoch that others had come to. The collector advances it now and then, lest a thread with few events keeps
    /// the time of an earlier one.
    #[cold]
    #[inline(never)]
    fn enter_epoch(&mut self, lanes: Lanes, before: u64, epoch: u64) {
        if before != self.deltas.epoch && self.period_left != PERIOD {
            self.tell_time(lanes);
        }
        let event = self.deltas.encode_epoch(epoch);
        self.commit(event);
    }

    fn tell_time(&mut self, lanes: Lanes) {
        let time = program::session_time(lanes);
        if time > self.deltas.time.saturating_add(1000) {
            let event = self.deltas.encode_clock(time);
            self.commit(event);
        }
    }

    /// What is due every [`PERIOD`] events. Whether the event has its epoch: with exact order, a period is one event, and
    /// each takes an epoch of its own.
    #[cold]
    #[inline(never)]
    fn end_period(&mut self, lanes: Lanes) -> bool {
        let exact = lanes.has(flag::ORDER_EXACT);
        (self.period_left, self.epoch_bytes) = (if exact { 1 } else { PERIOD }, EPOCH_BYTES);
        self.tell_time(lanes);
        if exact {
            self.advance_epoch(lanes);
        }
        exact
    }

    /// Stores one record: payload and zero, then the tag. The caller has made sure of its room.
    #[inline(always)]
    fn commit(&mut self, event: Encoded) {
        let at = self.cursor;
        let len = 1 + usize::from(event.len);
        // SAFETY: at least 17 bytes are left before the chunk's end (`open` and `make_room` leave margins that are larger
        // than all records between two calls), and nobody else writes this chunk while we own it. The collector reads
        // it concurrently, tag first, with acquire order.
        unsafe {
            // The bytes behind the payload are zero: so is the one behind the record, the next one's tag.
            at.add(1).cast::<u128>().write_unaligned(event.payload.to_le());
            AtomicU8::from_ptr(at).store(event.tag, Ordering::Release);
            self.cursor = at.add(len);
        }
    }

    /// As [`Self::commit`]: the fields, each over the zeros of the one before, then the tag.
    #[inline(always)]
    fn commit_alloc(&mut self, fields: AllocFields) {
        let at = self.cursor;
        // SAFETY: as in `commit`; the last word begins at most 10 bytes behind the tag. It is longer than its field by the
        // zero that must stand behind the record.
        unsafe {
            let put =
                |offset: u8, word: u64| at.add(1 + usize::from(offset)).cast::<u64>().write_unaligned(word.to_le());
            put(0, fields.address);
            put(fields.at_size, fields.size);
            put(fields.at_stack, fields.stack);
            AtomicU8::from_ptr(at).store(fields.tag, Ordering::Release);
            self.cursor = at.add(1 + usize::from(fields.len));
        }
    }

    /// Commits the first `len` bytes of the scratch as one record.
    #[cold]
    #[inline(never)]
    fn commit_scratch(&mut self, len: Option<usize>) {
        let Some(len) = len else { return };
        let (Some(&tag), Some(payload)) = (self.scratch.first(), self.scratch.get(1..len)) else {
            return;
        };
        let at = self.cursor;
        // SAFETY: as in `commit`; the caller made room for the whole record.
        unsafe {
            core::ptr::copy_nonoverlapping(payload.as_ptr(), at.add(1), payload.len());
            at.add(len).write(0);
            AtomicU8::from_ptr(at).store(tag, Ordering::Release);
            self.cursor = at.add(len);
        }
    }

    /// Room for `len` bytes and an event in the chunk in hand, which may be a new one.
    fn make_room(&mut self, lanes: Lanes, len: usize) -> bool {
        let room = |this: &Self| (this.end as usize).saturating_sub(this.cursor as usize);
        room(self) >= len + MARGIN || (self.next_chunk(lanes) && room(self) >= len + MARGIN)
    }

    /// Publishes the chunk in hand, if there is one. False: it was not ours any more.
    fn release(&mut self) -> bool {
        self.publish((self.cursor as usize).wrapping_sub(self.start as usize))
    }

    /// The same, with the number of bytes that records stand in, or more. Left half way, it can be done again.
    fn publish(&mut self, used: usize) -> bool {
        if let Some(shown) = self.shown {
            shown.hide();
        }
        let mut ours = true;
        if let (Some(header), Some(lanes)) = (self.header, Lanes::get()) {
            let now = (self.deltas.epoch, self.deltas.time);
            ours = chunk::publish(lanes, (header, self.index), owner(self.image, self.tid), used, now);
            compiler_fence(Ordering::SeqCst);
            self.sequence = self.in_hand + 1;
            compiler_fence(Ordering::SeqCst);
        }
        self.header = None;
        self.cursor = core::ptr::null_mut();
        self.limit = core::ptr::null_mut();
        self.end = core::ptr::null_mut();
        ours
    }

    /// A hook has been left half way: what is committed holds, and nothing else of its state. At most the record in flight
    /// is missing.
    #[cold]
    pub(crate) fn renew(&mut self) {
        // No stack is known any more, and the stream will say so.
        self.generation = !program::generation();
        let Some(header) = self.header else {
            // Left while a chunk was given away or taken.
            self.publish(0);
            return;
        };
        let is_ours = header.owner.load(Ordering::Acquire) == owner(self.image, self.tid);
        // SAFETY: with a header there is a chunk, and this is its first byte.
        if is_ours && unsafe { AtomicU8::from_ptr(self.start) }.load(Ordering::Relaxed) == 0 {
            // Nothing is in it: it begins again.
            let (epoch, time) = (header.first_epoch.load(Ordering::Relaxed), header.first_time.load(Ordering::Relaxed));
            self.deltas = Deltas::at_chunk_start(epoch, time);
            self.cursor = self.start;
        } else {
            // Whether the cursor was moved behind the last record is not known; readers find the end. It may be published
            // already.
            self.publish(self.end as usize - self.start as usize);
        }
    }

    /// Publishes the chunk in hand and claims the next. False: there is none.
    #[cold]
    #[inline(never)]
    fn next_chunk(&mut self, lanes: Lanes) -> bool {
        if !self.release() {
            // How many of its events nobody took is not known. One says that some are missing.
            self.lose();
        }
        let small = self.sequence == 0;
        let Some(claim) = chunk::claim(lanes, self.image, self.tid, small) else { return false };
        if self.stream == 0 {
            self.stream = lanes.control().numbers.0.next_stream.fetch_add(1, Ordering::Relaxed);
        }
        let epoch = lanes.control().epoch.0.load(Ordering::Acquire);
        let time = program::session_time(lanes);
        let header = claim.header;
        header.stream.store(self.stream, Ordering::Relaxed);
        header.sequence.store(self.sequence, Ordering::Relaxed);
        header.recorder.store(self.level, Ordering::Relaxed);
        header.first_epoch.store(epoch, Ordering::Relaxed);
        header.first_time.store(time, Ordering::Relaxed);
        header.used.store(0, Ordering::Relaxed);
        self.deltas = Deltas::at_chunk_start(epoch, time);
        self.start = claim.bytes.start;
        self.cursor = self.start;
        self.end = (self.start as usize + claim.bytes.len) as *mut u8;
        self.limit = (self.end as usize - 2 * MARGIN) as *mut u8;
        (self.in_hand, self.index) = (self.sequence, claim.index);
        // From here on it is published, and before this nothing is in it.
        compiler_fence(Ordering::SeqCst);
        self.header = Some(header);
        if let Some(shown) = self.shown {
            shown.show(header, owner(self.image, self.tid));
        }
        let lost = core::mem::take(&mut self.lost);
        if lost != 0 {
            // Not through the scratch, which may hold the record that room is made for.
            let mut gap = [0u8; 16];
            if record::write_gap(&mut gap, lost).is_some() {
                let payload = u128::from_le_bytes(gap) >> 8;
                self.commit(Encoded { tag: record::tag::GAP, len: 10, payload });
            }
        }
        if lost != 0 || (self.sequence + 1).is_multiple_of(CHUNKS_PER_DICTIONARY) {
            self.forget_stacks();
        }
        true
    }

    fn forget_stacks(&mut self) {
        self.dictionary.clear();
        self.commit(Encoded { tag: record::tag::FORGET_STACKS, len: 0, payload: 0 });
    }

    #[cold]
    fn lose(&mut self) {
        self.lost += u64::from(Lanes::count_lost());
    }

    /// The id of a stack, defined in this stream if it was not. Leaves room for one event.
    #[inline(always)]
    fn stack_id(&mut self, lanes: Lanes, stack: Captured<'_>) -> Option<u32> {
        let generation = program::generation();
        if generation != self.generation {
            self.enter_generation(generation);
        }
        match self.dictionary.get(stack.hash()) {
            Some(id) => Some(id),
            None => self.define(lanes, stack),
        }
    }

    #[cold]
    fn enter_generation(&mut self, generation: u32) {
        self.forget_stacks();
        let mut bytes = [0u8; 16];
        if record::write_generation(&mut bytes, generation).is_some() {
            let payload = u128::from_le_bytes(bytes) >> 8;
            self.commit(Encoded { tag: record::tag::GENERATION, len: 6, payload });
        }
        self.generation = generation;
    }

    /// Defines what this stream does not know of a stack, and answers its id.
    #[cold]
    #[inline(never)]
    fn define(&mut self, lanes: Lanes, stack: Captured<'_>) -> Option<u32> {
        if stack.python.hash().is_none() {
            return self.define_native(lanes, stack);
        }
        // A new chunk may begin by forgetting all ids, then the parts are defined anew. It cannot do so twice in a row.
        for _ in 0..3 {
            let native = self.define_native(lanes, stack)?;
            let forgotten = self.dictionary.times_cleared();
            let python = self.define_python(lanes, stack.python)?;
            if !self.make_room(lanes, MAX_RECORD_LEN) {
                return None;
            }
            if self.dictionary.times_cleared() == forgotten {
                let places = python::places(stack.path, stack.python);
                let id = self.dictionary.next_id();
                let len = write_merge(&mut self.scratch, id, (native, python), places);
                self.commit_scratch(len);
                return Some(self.dictionary.insert(stack.hash()));
            }
        }
        None
    }

    fn define_native(&mut self, lanes: Lanes, stack: Captured<'_>) -> Option<u32> {
        let known = |dictionary: &Dictionary<DICTIONARY>| {
            let known = |depth: usize| Some((depth + 1, dictionary.get(stack.entry(depth).1)?));
            (0..stack.len()).rev().find_map(known)
        };
        let entries = (0..stack.len()).map(|depth| stack.entry(depth));
        self.define_path(lanes, entries, known, |buffer, first, parent, pcs| {
            record::write_define(buffer, first, parent, pcs)
        })
    }

    fn define_python(&mut self, lanes: Lanes, path: python::Path<'_>) -> Option<u32> {
        let known = |dictionary: &Dictionary<DICTIONARY>| path.known_part(|hash| dictionary.get(hash));
        self.define_path(lanes, path.shown(), known, |buffer, first, parent, frames| {
            write_python_stacks(buffer, first, parent, frames)
        })
    }

    /// Defines the part of a path that this stream does not know, and answers the id of its leaf. `entries`: what there
    /// is to define, root first, and the hash of the path up to it. `known`: length and id of the longest part that has one.
    fn define_path<T, E: Iterator<Item = (T, u64)> + Clone>(
        &mut self,
        lanes: Lanes,
        entries: E,
        known: impl Fn(&Dictionary<DICTIONARY>) -> Option<(usize, u32)>,
        write: impl Fn(&mut [u8], u32, u32, Values<Take<Skip<E>>>) -> Option<usize>,
    ) -> Option<u32> {
        let total = entries.clone().count();
        let (mut done, mut parent) = known(&self.dictionary).unwrap_or((0, ROOT_STACK));
        while done < total {
            let part = (total - done).min(MAX_DEFINE_PCS);
            let forgotten = self.dictionary.times_cleared();
            if !self.make_room(lanes, 16 + part * MAX_VARINT_LEN) {
                return None;
            }
            if self.dictionary.times_cleared() != forgotten {
                (done, parent) = (0, ROOT_STACK);
                continue;
            }
            let new = entries.clone().skip(done).take(part);
            let values = Values { left: part, entries: new.clone() };
            let len = write(&mut self.scratch, self.dictionary.next_id(), parent, values);
            self.commit_scratch(len);
            for (_, hash) in new {
                parent = self.dictionary.insert(hash);
            }
            done += part;
        }
        Some(parent)
    }
}

/// The values of as many entries as there are said to be.
struct Values<I> {
    left: usize,
    entries: I,
}

impl<T, I: Iterator<Item = (T, u64)>> Iterator for Values<I> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        self.entries.next().map(|(value, _)| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T, I: Iterator<Item = (T, u64)>> ExactSizeIterator for Values<I> {}

#[cfg(test)]
mod tests;
