//! Executes `docs/format.md`: its hex examples against encoder and decoder, its layout tables against the structs.

use std::mem::{offset_of, size_of};

use tracker_core::capture::block::{BlockHeader, FileHeader};
use tracker_core::capture::dump::{Show, ShowMeta};
use tracker_core::capture::index::{INDEX_VERSION, Seal};
use tracker_core::capture::meta::Meta;
use tracker_core::format::lanes::{
    BITMAP_WORDS, CHUNKS, ChunkHeader, Control, HEADERS_OFFSET, LANES_LEN, LARGE_CHUNK, LARGE_CHUNKS, LARGE_OFFSET,
    SMALL_CHUNK, SMALL_CHUNKS, SMALL_OFFSET,
};
use tracker_core::format::python::{
    CodeFields, CodeKind, InterpreterState, write_code, write_interpreter, write_lines, write_merge,
    write_python_stacks,
};
use tracker_core::format::record::{
    ModuleFields, UntrackedReason, decode, write_alloc, write_define, write_free, write_gap, write_generation,
    write_image, write_map, write_module, write_region_begin, write_region_end, write_thread_name, write_unmap,
    write_untracked,
};
use tracker_core::format::{Deltas, MAX_RECORD_LEN, Record};

const PAGE: &str = include_str!("../../../docs/format.md");

/// The fenced blocks of a kind: the words behind the kind, and the lines.
fn examples(kind: &str) -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let mut found = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```").filter(|info| !info.is_empty()) else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let mut words = info.split(' ');
        if words.next() == Some(kind) {
            found.push((words.collect(), body));
        }
    }
    assert!(!found.is_empty(), "the page has examples of {kind}");
    found
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
}

fn number(words: &[&str], name: &str, nth: usize) -> u64 {
    let at = words.iter().position(|word| *word == name).expect("the field is there");
    words[at + 1 + nth].parse().expect("a number")
}

/// The record's bytes as the encoder writes them; `None` for what no encoder writes.
fn encode(deltas: &mut Deltas, record: &Record<'_>, sized: bool) -> Option<Vec<u8>> {
    let mut buffer = [0; MAX_RECORD_LEN];
    let event = match *record {
        Record::Alloc { address, size, stack, realloc } if !sized => {
            deltas.encode_alloc(address, size, stack, realloc)?
        }
        Record::Free { address, realloc } if !sized => deltas.encode_free(address, realloc)?,
        Record::Epoch(epoch) => deltas.encode_epoch(epoch),
        Record::Clock(time) => deltas.encode_clock(time),
        Record::ReallocFailed => return Some(vec![0x18]),
        Record::ReallocFreed => return Some(vec![0x19]),
        Record::ForgetStacks => return Some(vec![0x1a]),
        _ => {
            let len = encode_sized(&mut buffer, deltas, record)?;
            return Some(buffer[..len].to_vec());
        }
    };
    let payload = event.payload.to_le_bytes();
    Some([&[event.tag], &payload[..usize::from(event.len)]].concat())
}

fn encode_sized(buffer: &mut [u8], deltas: &mut Deltas, record: &Record<'_>) -> Option<usize> {
    match *record {
        Record::Alloc { address, size, stack, realloc } => write_alloc(buffer, deltas, (address, size), stack, realloc),
        Record::Free { address, realloc } => write_free(buffer, deltas, address, realloc),
        Record::Define { first, parent, pcs } => {
            write_define(buffer, first, parent, pcs.iter().collect::<Vec<_>>().into_iter())
        }
        Record::Gap { lost } => write_gap(buffer, lost),
        Record::Generation(generation) => write_generation(buffer, generation),
        Record::Module { generation, start, end, bias, build_id, path } => {
            write_module(buffer, &ModuleFields { generation, start, end, bias, build_id, path })
        }
        Record::Image { kind, pid, parent, generation, exe, arguments } => {
            let arguments = arguments.iter().collect::<Vec<_>>();
            write_image(buffer, kind, (pid, parent, generation), exe, arguments.into_iter())
        }
        Record::Untracked { pid, reason, path } => {
            write_untracked(buffer, pid, UntrackedReason::from_number(reason)?, path)
        }
        Record::Map { address, len, stack, kind } => write_map(buffer, (address, len), stack, kind),
        Record::Unmap { address, len, moves } => write_unmap(buffer, (address, len), moves),
        Record::ThreadName { tid, chosen, name } => write_thread_name(buffer, tid, chosen, name),
        Record::RegionBegin { id, scope, name, limits } => write_region_begin(buffer, id, scope, name, limits),
        Record::RegionEnd { id } => write_region_end(buffer, id),
        Record::Interpreter { state, version } => {
            write_interpreter(buffer, version, InterpreterState::from_number(state)?)
        }
        Record::Code { number, kind, first_line, lines_len, file, name } => {
            let kind = CodeKind::from_number(kind)?;
            write_code(buffer, &CodeFields { number, kind, first_line, lines_len, file, name })
        }
        Record::Lines { number, offset, bytes } => write_lines(buffer, number, offset, bytes),
        Record::PythonStacks { first, parent, frames } => {
            write_python_stacks(buffer, first, parent, frames.iter().collect::<Vec<_>>().into_iter())
        }
        Record::Merge { id, native, python, places } => write_merge(buffer, id, (native, python), places.iter()),
        _ => None,
    }
}

#[test]
fn records() {
    for (start, lines) in examples("records") {
        let start: Vec<u64> = start.iter().map(|word| word.parse().expect("a number")).collect();
        let mut reading = Deltas::at_chunk_start(start[0], start[1]);
        let mut writing = reading;
        for line in lines {
            let (hex, text) = line.split_once(" | ").expect("hex | text");
            let bytes = bytes(hex);
            let (record, len) = decode(&mut reading, &bytes).expect(line).expect(line);
            assert_eq!((len, Show(&record).to_string().as_str()), (bytes.len(), text));
            match encode(&mut writing, &record, bytes[0] < 0x40) {
                Some(written) => assert_eq!(written, bytes, "{line}"),
                None => assert!(matches!(record, Record::Unknown { .. }), "{line}"),
            }
            assert_eq!(reading, writing);
        }
    }
}

#[test]
fn file_header() {
    for (words, lines) in examples("file-header") {
        let bytes = bytes(&lines.join(" "));
        let at = words.iter().position(|word| *word == "session").expect("the session is there");
        let session = u128::from_str_radix(words[at + 1], 16).expect("hex").to_be_bytes();
        let version = number(&words, "version", 0) as u32;
        let header = FileHeader { version, session, start_unix_ns: number(&words, "start", 0) };
        assert_eq!(header.encode().as_slice(), bytes);
        assert_eq!(FileHeader::decode(&bytes), Ok(header));
    }
}

#[test]
fn block_header() {
    for (words, lines) in examples("block-header") {
        let field = |name| number(&words, name, 0);
        let at = words.iter().position(|word| *word == "payload").expect("the payload is there");
        let header = BlockHeader {
            kind: field("kind") as u8,
            codec: field("codec") as u8,
            stored_len: field("stored") as u32,
            raw_len: field("raw") as u32,
            stream: field("stream") as u32,
            image: field("image") as u32,
            tid: field("thread") as u32,
            sequence: field("sequence") as u32,
            offset: field("offset") as u32,
            count: field("count") as u32,
            first_epoch: field("epochs"),
            last_epoch: number(&words, "epochs", 1),
            first_time: field("times"),
            last_time: number(&words, "times", 1),
            payload_crc: crc32c::crc32c(&bytes(words[at + 1])),
        };
        let bytes = bytes(&lines.join(" "));
        assert_eq!(header.encode().as_slice(), bytes);
        assert_eq!(BlockHeader::decode(bytes.as_slice().try_into().expect("80 bytes")), Some(header));
    }
}

#[test]
fn seal() {
    for (words, lines) in examples("seal") {
        let number = |name| number(&words, name, 0);
        let seal = Seal { version: INDEX_VERSION, blocks: number("blocks") as u32, covers: number("covers") };
        assert_eq!(u64::from(seal.version), number("version"));
        assert_eq!(seal.encode().to_vec(), bytes(&lines.concat()));
        assert_eq!(Seal::decode(&seal.encode()), Some(seal));
    }
}

#[test]
fn metadata() {
    let mut kinds = Vec::new();
    for (_, lines) in examples("meta") {
        for line in lines {
            let (hex, text) = line.split_once(" | ").expect("hex | text");
            let bytes = bytes(hex);
            let meta = Meta::decode(&bytes).expect(line);
            assert_eq!(ShowMeta(&meta).to_string(), text);
            assert_eq!(meta.encode(), bytes, "{line}");
            kinds.push(bytes[0]);
        }
    }
    kinds.dedup();
    assert_eq!(kinds, (0..=10).collect::<Vec<u8>>(), "every kind has an example");
}

#[test]
fn layouts() {
    let control = [
        (offset_of!(Control, magic), 8, "magic"),
        (offset_of!(Control, version), 4, "version"),
        (offset_of!(Control, flags), 4, "flags"),
        (offset_of!(Control, start_monotonic), 8, "start_monotonic"),
        (offset_of!(Control, network), 8, "network"),
        (offset_of!(Control, epoch), 8, "epoch"),
        (offset_of!(Control, numbers.0.next_image), 4, "next_image"),
        (offset_of!(Control, numbers.0.next_stream), 4, "next_stream"),
        (offset_of!(Control, numbers.0.next_code), 4, "next_code"),
        (offset_of!(Control, talk.0.heartbeat), 4, "heartbeat"),
        (offset_of!(Control, talk.0.waiters), 4, "waiters"),
        (offset_of!(Control, talk.0.wake), 4, "wake"),
        (offset_of!(Control, talk.0.attention), 4, "attention"),
        (offset_of!(Control, talk.0.pending_execs), 4, "pending_execs"),
        (offset_of!(Control, talk.0.stopped), 4, "stopped"),
        (offset_of!(Control, talk.0.lost), 8, "lost"),
        (offset_of!(Control, talk.0.unwind_differences), 8, "unwind_differences"),
        (offset_of!(Control, talk.0.freed), 4, "freed"),
        (offset_of!(Control, talk.0.released), 8, "released"),
        (offset_of!(Control, talk.0.met_at_exec), 8, "met_at_exec"),
        (offset_of!(Control, free), BITMAP_WORDS * 8, "free"),
        (offset_of!(Control, full), BITMAP_WORDS * 8, "full"),
    ];
    let chunk_header = [
        (offset_of!(ChunkHeader, owner), 8, "owner"),
        (offset_of!(ChunkHeader, stream), 4, "stream"),
        (offset_of!(ChunkHeader, sequence), 4, "sequence"),
        (offset_of!(ChunkHeader, first_epoch), 8, "first_epoch"),
        (offset_of!(ChunkHeader, first_time), 8, "first_time"),
        (offset_of!(ChunkHeader, used), 4, "used"),
        (offset_of!(ChunkHeader, recorder), 4, "recorder"),
        (offset_of!(ChunkHeader, last_epoch), 8, "last_epoch"),
        (offset_of!(ChunkHeader, last_time), 8, "last_time"),
    ];
    let page = examples("layout");
    for (name, fields) in [("Control", &control[..]), ("ChunkHeader", &chunk_header)] {
        let (_, lines) = page.iter().find(|(words, _)| words == &[name]).expect(name);
        let written: Vec<String> = fields.iter().map(|(at, len, name)| format!("{at} {len} {name}")).collect();
        assert_eq!(lines, &written);
    }
    for (at, what) in [
        (HEADERS_OFFSET, format!("{CHUNKS} chunk headers, {} bytes each", size_of::<ChunkHeader>())),
        (SMALL_OFFSET, format!("{SMALL_CHUNKS} small chunks of {SMALL_CHUNK} bytes")),
        (LARGE_OFFSET, format!("{LARGE_CHUNKS} large chunks of {LARGE_CHUNK} bytes")),
        (LANES_LEN, "end".to_owned()),
    ] {
        assert!(PAGE.contains(&format!("| {at} | {what}")), "{at} {what}");
    }
}
