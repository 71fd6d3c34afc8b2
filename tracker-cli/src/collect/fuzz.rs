//! The lanes, with anything in them, as the drain sees them: while it looks, and while it copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;

use fuzz::{Random, campaign};
use tracker_core::capture::block::Codec;
use tracker_core::capture::block::FileHeader;
use tracker_core::capture::writer::Writer;
use tracker_core::format::VERSION;
use tracker_core::format::lanes::{CHUNKS, chunk_range};
use tracker_core::format::wire::Reader;
use tracker_core::report::OpenOptions;
use tracker_core::report::names::NoSymbols;
use tracker_core::report::open::read;

use super::drain::Drain;
use super::images::Images;
use super::observer::Reporter;
use super::queue::{Item, Queue};
use crate::sys::lanes::{Lanes, LanesFile};

/// What a hostile program does, as bytes: chunk, header, whether it says that the chunk is free or full, bytes of the chunk.
fn step(lanes: &Lanes, reader: &mut Reader<'_>) -> Option<()> {
    let chunk = reader.u16()? as usize % CHUNKS;
    let (owner, stream, sequence, used, bits) =
        (reader.u64()?, reader.u32()?, reader.u32()?, reader.u32()?, reader.u8()?);
    let header = lanes.header(chunk)?;
    header.owner.store(owner, Ordering::Relaxed);
    header.stream.store(stream, Ordering::Relaxed);
    header.sequence.store(sequence, Ordering::Relaxed);
    header.used.store(used, Ordering::Relaxed);
    header.first_epoch.store(u64::from(used), Ordering::Relaxed);
    let (word, bit) = (chunk / 64, 1 << (chunk % 64));
    for (map, set) in [(&lanes.control().free, bits & 1 != 0), (&lanes.control().full, bits & 2 != 0)] {
        let word = map.get(word)?;
        if set {
            word.fetch_or(bit, Ordering::Relaxed)
        } else {
            word.fetch_and(!bit, Ordering::Relaxed)
        };
    }
    for (at, byte) in reader.text()?.iter().take(chunk_range(chunk)?.1).enumerate() {
        lanes.store(chunk, at, *byte);
    }
    Some(())
}

/// Two chunks of one stream and one of another: claimed, partly filled, full.
fn seed() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (chunk, owner, stream, sequence, used, bits, records) in [
        (
            0u16,
            1u64 << 32 | 7,
            1u32,
            0u32,
            0u32,
            0u8,
            &b"\x26\x12\x00\x00\x07\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x02\x00/x"[..],
        ),
        (4096, 1 << 63 | 1 << 32 | 7, 1, 1, 8, 2, b"\xe2\x54\x12\xab\xaa\xaa\x0a\x40\x08\x80\x0a\x40"),
        (1, 1 << 63 | 1 << 32 | 9, 2, 0, 3, 3, b"\x40\x09\x14\x2a\x10\x18"),
    ] {
        bytes.extend_from_slice(&chunk.to_le_bytes());
        bytes.extend_from_slice(&owner.to_le_bytes());
        [stream, sequence, used].iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.push(bits);
        bytes.extend_from_slice(&(records.len() as u16).to_le_bytes());
        bytes.extend_from_slice(records);
    }
    bytes
}

/// Drains as the collector does, and answers the capture.
fn drain(lanes: &Lanes, (queue, items): (Queue, Receiver<Item>), looks: usize) -> Vec<u8> {
    let mut drain = Drain::new(queue, Reporter::unheard().expect("a descriptor"), Arc::new(Images::default()));
    let header = FileHeader { version: VERSION, session: [0; 16], start_unix_ns: 0 };
    let mut writer = Writer::new(Vec::new(), &header).expect("memory");
    for _ in 0..looks {
        drain.newcomers(lanes);
        drain.published(lanes);
        drain.unfinished(lanes);
        for item in items.try_iter() {
            match item {
                Item::Events(events, bytes) => writer.events(&events, &bytes, Codec::Raw).expect("it fits"),
                Item::Meta(meta) => writer.meta(&meta).expect("it fits"),
                Item::Module { .. } | Item::Finish => {}
            }
        }
    }
    std::mem::take(writer.get_mut())
}

/// What was written is a capture without holes, whatever it says.
#[track_caller]
fn check(capture: &[u8]) {
    let profile = read(&capture, false, &OpenOptions::default(), &mut NoSymbols, &mut |_, _| {});
    fuzz::assert_sums(&profile.expect("a capture"));
    fuzz::targets::blocks(capture);
}

fn lanes() -> (LanesFile, Lanes) {
    let file = LanesFile::create(0, 0).expect("memory");
    let lanes = file.map().expect("memory");
    (file, lanes)
}

#[test]
fn any_lanes() {
    campaign("lanes", &[seed()], 300, |bytes| {
        let (_file, lanes) = lanes();
        let mut reader = Reader::new(bytes);
        while step(&lanes, &mut reader).is_some() {}
        check(&drain(&lanes, Queue::open(), 2));
    });
}

/// A program that goes on writing anywhere while the collector reads: what was checked may be something else by then.
#[test]
fn lanes_that_change_while_they_are_read() {
    let (_file, lanes) = lanes();
    let done = AtomicBool::new(false);
    let capture = thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(5);
            let seed = seed();
            while !done.load(Ordering::Relaxed) {
                let mut bytes = seed.clone();
                fuzz::mutate(&mut random, &mut bytes, std::slice::from_ref(&seed));
                let mut reader = Reader::new(&bytes);
                while step(&lanes, &mut reader).is_some() {}
            }
        });
        let capture = drain(&lanes, Queue::open(), 200);
        done.store(true, Ordering::Relaxed);
        capture
    });
    check(&capture);
}
