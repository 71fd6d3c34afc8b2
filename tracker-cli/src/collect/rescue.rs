//! What the parent does when the collector has died: the lanes outlive it, so what is still in them goes into the
//! capture, and what was lost with the collector is counted.
//!
//! ```text
//! events of chunks given back + events in chunks held = events in the capture + events that are missing
//! ```

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use tracker_core::capture::block::{BlockKind, Codec, FILE_HEADER_LEN};
use tracker_core::capture::meta::Meta;
use tracker_core::capture::payload::Loader;
use tracker_core::capture::scan::{Found, Piece, Scan};
use tracker_core::capture::source::Source as _;
use tracker_core::capture::writer::{Events, Writer};
use tracker_core::format::Deltas;

use super::chunk::{self, Key};
use super::drain::{Candidate, started};
use super::file::{CaptureFile, Sink as _};
use super::link::Counts;
use super::walk::{Walked, Walker};
use super::{Clock, unheard};
use crate::sys::lanes::{Lanes, LanesFile};

/// The parent's own descriptors of what the collector works on.
#[derive(Debug)]
pub(crate) struct Rescue {
    lanes: LanesFile,
    capture: File,
    limit: u64,
    clock: Clock,
}

impl Rescue {
    /// `limit`: bytes that the capture may become long.
    pub(crate) fn new(lanes: LanesFile, capture: File, limit: u64, clock: Clock) -> Self {
        Self { lanes, capture, limit, clock }
    }

    /// Brings the capture to an end: `exit` is how the program ended. The collector is dead. When other processes still
    /// write to the lanes, what they write from now on is lost and the capture stays without an end.
    pub(crate) fn carry_out(self, exit: &Meta) -> io::Result<Counts> {
        let is_over = self.lanes.seal_writes();
        let lanes = self.lanes.map_private()?;
        let written = Written::read(&self.capture)?;
        // Behind the last whole block there may be a piece of one, and room that was reserved.
        self.capture.set_len(written.end)?;
        let file = CaptureFile::behind(self.capture, written.end, self.limit);
        let writer = Writer::behind(file, written.end)?;
        let mut salvage =
            Salvage { writer, walker: Walker::new(), buffer: Vec::new(), counts: written.counts, full: false };
        let mut held = 0u64;
        let mut chunks = started(&lanes);
        chunks.sort_unstable();
        for chunk in chunks {
            let end = written.ends.get(&(chunk.stream, chunk.sequence)).copied().unwrap_or(0);
            held += salvage.chunk(&lanes, &chunk, end as usize);
        }

        let talk = &lanes.control().talk.0;
        let there_were = talk.released.load(Ordering::Relaxed).saturating_add(held);
        let Salvage { mut writer, mut counts, .. } = salvage;
        let missing = there_were.saturating_sub(counts.allocations + counts.frees);
        counts.lost = talk.lost.load(Ordering::Relaxed).saturating_add(missing);
        counts.unwind_differences = talk.unwind_differences.load(Ordering::Relaxed);
        let text = format!("the collector died before the program's end: {} events are missing", counts.lost);
        writer.meta(&Meta::Warning { text })?;
        let unheard = unheard(&lanes);
        // Nobody knows what they did: what has an end is taken for the whole.
        let is_whole = is_over && unheard.is_empty();
        for program in &unheard {
            writer.meta(program)?;
        }
        writer.meta(exit)?;
        if is_whole {
            let (time, unwind_differences) = (self.clock.now(), counts.unwind_differences);
            writer.meta(&Meta::End { time, lost_events: counts.lost, unwind_differences })?;
        }
        writer.get_mut().finish();
        counts.bytes = writer.written();
        Ok(counts)
    }
}

/// What a capture holds, by the whole blocks in it.
#[derive(Debug, Default)]
struct Written {
    /// Bytes up to the end of the last whole block.
    end: u64,
    /// By stream and sequence, how many bytes of a chunk it holds.
    ends: HashMap<(u32, u32), u32>,
    counts: Counts,
}

impl Written {
    fn read(capture: &File) -> io::Result<Self> {
        let mut this = Self::default();
        let (mut loader, walker) = (Loader::new()?, Walker::new());
        let mut payload = Vec::new();
        let size = capture.size()?;
        let mut scan = Scan::new(capture, size);
        this.end = FILE_HEADER_LEN as u64;
        while let Some(piece) = scan.next_piece()? {
            let Piece::Block(found) = piece else { continue };
            if loader.load(&capture, &found.header, found.payload_at(), &mut payload)? {
                this.block(&found, &payload, &walker);
            }
        }
        Ok(this)
    }

    fn block(&mut self, found: &Found, payload: &[u8], walker: &Walker) {
        self.end = found.end();
        let header = &found.header;
        if header.kind != BlockKind::Events as u8 {
            return;
        }
        let mut deltas = Deltas::at_chunk_start(header.first_epoch, header.first_time);
        let walked = walker.walk(payload, &mut deltas, |_, _| ());
        self.counts.allocations += walked.allocations;
        self.counts.frees += walked.frees();
        let end = self.ends.entry((header.stream, header.sequence)).or_default();
        *end = header.offset.saturating_add(header.raw_len).max(*end);
    }
}

struct Salvage {
    writer: Writer<CaptureFile>,
    walker: Walker,
    /// A chunk's bytes; kept for its room.
    buffer: Vec<u8>,
    counts: Counts,
    /// The file takes no more: only counting goes on.
    full: bool,
}

impl Salvage {
    /// Writes down what of a chunk lies behind `written` bytes; answers how many events the whole chunk has.
    fn chunk(&mut self, lanes: &Lanes, candidate: &Candidate, written: usize) -> u64 {
        let Some(header) = lanes.header(candidate.index).filter(|_| lanes.first_tag(candidate.index) != 0) else {
            return 0;
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let bytes = lanes.copy(candidate.index, 0, chunk::records_end(header), &mut buffer);
        let mut deltas = chunk::start(header);
        let (front, rest) = bytes.split_at(written.min(bytes.len()));
        let before = self.walker.walk(front, &mut deltas, |_, _| ());
        let first = deltas;
        let walked = self.walker.walk(rest, &mut deltas, |_, _| ());
        let records = rest.get(..walked.len).unwrap_or_default();
        if walked.records > 0 && before.len == written {
            // Asked again, the header may be that of the chunk's next writer.
            let key = Key { stream: candidate.stream, sequence: candidate.sequence, ..Key::of(header) };
            self.write(&key.events(written, &walked, &first, &deltas), records, &walked);
        }
        self.buffer = buffer;
        before.events() + walked.events()
    }

    fn write(&mut self, events: &Events, records: &[u8], walked: &Walked) {
        if self.full {
            return;
        }
        // Somebody waits for us: sorting into columns would take longer.
        if self.writer.events(events, records, Codec::Zstd).is_ok() {
            self.counts.allocations += walked.allocations;
            self.counts.frees += walked.frees();
        } else {
            self.full = true;
            self.writer.get_mut().begin_last_words();
        }
    }
}
