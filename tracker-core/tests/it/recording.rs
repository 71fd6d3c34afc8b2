//! Writes captures as the hooks and the collector would, into memory.

use std::collections::HashMap;

use tracker_core::capture::block::{BlockHeader, BlockKind, Codec, FILE_HEADER_LEN, FileHeader};
use tracker_core::capture::meta::{Meta, Session};
use tracker_core::capture::writer::{Events, Writer};
use tracker_core::format::lanes::LARGE_CHUNK;
use tracker_core::format::record::{
    MapKind, ModuleFields, tag, write_alloc, write_define, write_free, write_gap, write_generation, write_image,
    write_map, write_module, write_unmap,
};
use tracker_core::format::{Deltas, Encoded, ImageKind, MAX_DEFINE_PCS, MAX_RECORD_LEN, VERSION};

/// One stream being written.
#[derive(Debug)]
struct Stream {
    image: u32,
    tid: u32,
    deltas: Deltas,
    records: Vec<u8>,
    count: u32,
    sequence: u32,
    offset: u32,
    first_epoch: u64,
    first_time: u64,
    /// Id of each known path.
    ids: HashMap<Vec<u64>, u32>,
    next_id: u32,
}

/// A capture being written. `epoch` and `time` are those of the next event.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) epoch: u64,
    pub(crate) time: u64,
    /// Largest chunk.
    pub(crate) chunk_len: usize,
    pub(crate) codec: Codec,
    streams: Vec<Stream>,
    file: Vec<u8>,
}

impl Recording {
    /// A capture with a session of process 100.
    pub(crate) fn new() -> Self {
        let header = FileHeader { version: VERSION, session: [7; 16], start_unix_ns: 1_000 };
        let mut recording = Self {
            epoch: 0,
            time: 0,
            chunk_len: LARGE_CHUNK,
            codec: Codec::Raw,
            streams: Vec::new(),
            file: header.encode().to_vec(),
        };
        let session =
            Session { command: vec![b"prog".to_vec()], exe: b"/bin/prog".to_vec(), pid: 100, ..Session::default() };
        recording.meta(&Meta::Session(session));
        recording
    }

    /// Starts a stream and answers its place.
    pub(crate) fn stream(&mut self, image: u32, tid: u32) -> usize {
        self.streams.push(Stream {
            image,
            tid,
            deltas: Deltas::at_chunk_start(self.epoch, self.time),
            records: Vec::new(),
            count: 0,
            sequence: 0,
            offset: 0,
            first_epoch: self.epoch,
            first_time: self.time,
            ids: HashMap::new(),
            next_id: 1,
        });
        self.streams.len() - 1
    }

    fn push(&mut self, stream: usize, write: impl FnOnce(&mut Deltas, &mut [u8]) -> Option<usize>) {
        let s = &mut self.streams[stream];
        let mut buffer = [0; MAX_RECORD_LEN];
        let len = write(&mut s.deltas, &mut buffer).expect("a record fits");
        s.records.extend_from_slice(&buffer[..len]);
        s.count += 1;
    }

    /// Puts epoch and time in force, in a new chunk when the one in hand is nearly full.
    fn stamp(&mut self, stream: usize) {
        let s = &self.streams[stream];
        if s.offset as usize + s.records.len() + 64 > self.chunk_len {
            self.end_chunk(stream);
        }
        let (epoch, time) = (self.epoch, self.time);
        let deltas = self.streams[stream].deltas;
        if deltas.epoch != epoch {
            self.push(stream, |deltas, buffer| store(deltas.encode_epoch(epoch), buffer));
        }
        if deltas.time / 1000 != time / 1000 {
            self.push(stream, |deltas, buffer| store(deltas.encode_clock(time), buffer));
        }
    }

    /// An allocation; `stack` is outermost first.
    pub(crate) fn alloc(&mut self, stream: usize, (address, size): (u64, u64), stack: &[u64], realloc: bool) {
        self.stamp(stream);
        let id = self.define(stream, stack);
        self.alloc_with_id(stream, (address, size), id, realloc);
    }

    /// An allocation with an id that need not be defined.
    pub(crate) fn alloc_with_id(&mut self, stream: usize, (address, size): (u64, u64), id: u32, realloc: bool) {
        self.stamp(stream);
        self.push(stream, |deltas, buffer| match deltas.encode_alloc(address, size, id, realloc) {
            Some(event) => store(event, buffer),
            None => write_alloc(buffer, deltas, (address, size), id, realloc),
        });
    }

    /// A free, or the intent of a realloc.
    pub(crate) fn free(&mut self, stream: usize, address: u64, realloc: bool) {
        self.stamp(stream);
        self.push(stream, |deltas, buffer| match deltas.encode_free(address, realloc) {
            Some(event) => store(event, buffer),
            None => write_free(buffer, deltas, address, realloc),
        });
    }

    /// A mapping; `stack` is outermost first.
    pub(crate) fn map(&mut self, stream: usize, range: (u64, u64), stack: &[u64], kind: MapKind) {
        self.stamp(stream);
        let id = self.define(stream, stack);
        self.push(stream, |_, buffer| write_map(buffer, range, id, kind));
    }

    /// The end of a mapping, or the intent of an `mremap`.
    pub(crate) fn unmap(&mut self, stream: usize, range: (u64, u64), moves: bool) {
        self.stamp(stream);
        self.push(stream, |_, buffer| write_unmap(buffer, range, moves));
    }

    /// The id of a stack, defined if it is new.
    fn define(&mut self, stream: usize, stack: &[u64]) -> u32 {
        let known = (0..=stack.len()).rev().find(|len| self.streams[stream].ids.contains_key(&stack[..*len]));
        let mut known = known.unwrap_or(0);
        let mut parent = self.streams[stream].ids.get(&stack[..known]).copied().unwrap_or(0);
        while known < stack.len() {
            let part = &stack[known..stack.len().min(known + MAX_DEFINE_PCS)];
            let first = self.streams[stream].next_id;
            self.push(stream, |_, buffer| write_define(buffer, first, parent, part.iter().copied()));
            let s = &mut self.streams[stream];
            for _ in part {
                known += 1;
                parent = s.next_id;
                s.ids.insert(stack[..known].to_vec(), parent);
                s.next_id += 1;
            }
        }
        parent
    }

    /// Voids all stack ids of a stream.
    pub(crate) fn forget_stacks(&mut self, stream: usize) {
        self.tag(stream, tag::FORGET_STACKS);
        let s = &mut self.streams[stream];
        (s.ids, s.next_id) = (HashMap::new(), 1);
    }

    /// A record that is only a tag.
    pub(crate) fn tag(&mut self, stream: usize, tag: u8) {
        self.stamp(stream);
        self.push(stream, |_, buffer| store(Encoded { tag, len: 0, payload: 0 }, buffer));
    }

    /// A gap.
    pub(crate) fn gap(&mut self, stream: usize, lost: u64) {
        self.stamp(stream);
        self.push(stream, |_, buffer| write_gap(buffer, lost));
    }

    /// A new generation of modules.
    pub(crate) fn generation(&mut self, stream: usize, generation: u32) {
        self.forget_stacks(stream);
        self.push(stream, |_, buffer| write_generation(buffer, generation));
    }

    /// A module whose linked addresses are its addresses minus `start`.
    pub(crate) fn module(&mut self, stream: usize, generation: u32, (start, end): (u64, u64), path: &str) {
        self.stamp(stream);
        let (build_id, path) = (&[][..], path.as_bytes());
        let module = ModuleFields { generation, start, end, bias: start, build_id, path };
        self.push(stream, |_, buffer| write_module(buffer, &module));
    }

    /// The start of the stream's image.
    pub(crate) fn image(
        &mut self,
        stream: usize,
        kind: ImageKind,
        (pid, parent, generation): (u32, u32, u32),
        exe: &str,
    ) {
        self.stamp(stream);
        let arguments = [exe.as_bytes()].into_iter();
        self.push(stream, |_, buffer| write_image(buffer, kind, (pid, parent, generation), exe.as_bytes(), arguments));
    }

    /// A metadata block.
    pub(crate) fn meta(&mut self, meta: &Meta) {
        let header = BlockHeader { kind: BlockKind::Meta as u8, ..BlockHeader::default() };
        self.block(header, &meta.encode());
    }

    /// Writes what the chunk in hand holds, and goes on with it.
    pub(crate) fn end_part(&mut self, stream: usize) {
        let s = &mut self.streams[stream];
        if s.records.is_empty() {
            return;
        }
        let records = std::mem::take(&mut s.records);
        let header = BlockHeader {
            kind: BlockKind::Events as u8,
            stream: stream as u32 + 1,
            image: s.image,
            tid: s.tid,
            sequence: s.sequence,
            offset: s.offset,
            count: s.count,
            first_epoch: s.first_epoch,
            last_epoch: s.deltas.epoch,
            first_time: s.first_time,
            last_time: s.deltas.time,
            ..BlockHeader::default()
        };
        s.offset += records.len() as u32;
        (s.count, s.first_epoch, s.first_time) = (0, s.deltas.epoch, s.deltas.time);
        self.block(header, &records);
    }

    /// Writes the chunk in hand and starts the next.
    pub(crate) fn end_chunk(&mut self, stream: usize) {
        self.end_part(stream);
        self.next_chunk(stream);
    }

    /// Loses what the chunk in hand still holds and starts the next.
    pub(crate) fn lose_chunk(&mut self, stream: usize) {
        self.streams[stream].records.clear();
        self.streams[stream].count = 0;
        self.next_chunk(stream);
    }

    fn next_chunk(&mut self, stream: usize) {
        let (epoch, time) = (self.epoch, self.time);
        let s = &mut self.streams[stream];
        (s.sequence, s.offset) = (s.sequence + 1, 0);
        (s.first_epoch, s.first_time) = (epoch, time);
        s.deltas = Deltas::at_chunk_start(epoch, time);
    }

    fn block(&mut self, header: BlockHeader, payload: &[u8]) {
        if self.codec == Codec::Columns && header.kind == BlockKind::Events as u8 {
            return self.columns(&header, payload);
        }
        let packed;
        let stored = match self.codec {
            Codec::Raw | Codec::Columns => payload,
            Codec::Zstd => {
                packed = zstd::bulk::compress(payload, 1).expect("zstd");
                &packed
            }
        };
        let codec = if self.codec == Codec::Columns { Codec::Raw } else { self.codec };
        let header = BlockHeader {
            codec: codec as u8,
            stored_len: stored.len() as u32,
            raw_len: payload.len() as u32,
            payload_crc: crc32c::crc32c(stored),
            ..header
        };
        self.file.extend_from_slice(&header.encode());
        self.file.extend_from_slice(stored);
    }

    fn columns(&mut self, header: &BlockHeader, payload: &[u8]) {
        let file = FileHeader { version: VERSION, session: [0; 16], start_unix_ns: 0 };
        let mut writer = Writer::new(Vec::new(), &file).expect("zstd");
        let events = Events {
            stream: header.stream,
            image: header.image,
            tid: header.tid,
            sequence: header.sequence,
            offset: header.offset,
            count: header.count,
            first_epoch: header.first_epoch,
            last_epoch: header.last_epoch,
            first_time: header.first_time,
            last_time: header.last_time,
        };
        writer.events(&events, payload, Codec::Columns).expect("a vector takes it");
        self.file.extend_from_slice(&writer.get_mut()[FILE_HEADER_LEN..]);
    }

    /// Takes what has been written so far.
    pub(crate) fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.file)
    }

    /// Writes what is left, without an end.
    pub(crate) fn cut(mut self) -> Vec<u8> {
        for stream in 0..self.streams.len() {
            self.end_part(stream);
        }
        self.file
    }

    /// Writes what is left and the end.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for stream in 0..self.streams.len() {
            self.end_part(stream);
        }
        self.meta(&Meta::End { time: self.time, lost_events: 0, unwind_differences: 0 });
        self.file
    }
}

fn store(event: Encoded, buffer: &mut [u8]) -> Option<usize> {
    let len = usize::from(event.len);
    buffer[0] = event.tag;
    buffer[1..=len].copy_from_slice(&event.payload.to_le_bytes()[..len]);
    Some(1 + len)
}
