//! What events cost outside of the program: `cargo bench -p tracker-core`. The numbers are per event.

#[path = "../../bench/generate.rs"]
mod generate;
#[path = "../tests/it/recording.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod recording;

use std::fs::File;

use divan::Bencher;
use divan::counter::ItemsCount;
use tracker_core::capture::block::{Codec, FileHeader};
use tracker_core::capture::reader::Capture;
use tracker_core::capture::writer::{Events, Writer};
use tracker_core::format::{Deltas, record};
use tracker_core::replay::slices::Cuts;
use tracker_core::replay::{Options, Pymalloc, replay};

fn main() {
    divan::main();
}

/// Events of one block, as many as a large chunk holds.
const EVENTS: u32 = 8192;

/// Address, size and stack of an allocation; size 0 for a free.
fn events() -> Vec<(u64, u64, u32)> {
    let (mut random, mut live) = (88_172_645_463_325_252_u64, Vec::new());
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    (0..EVENTS)
        .map(|_| {
            let random = next();
            if random & 1 == 0 && live.len() > 64 {
                return (live.swap_remove((random >> 8) as usize % live.len()), 0, 0);
            }
            let address = 0x5555_0000_0000 + (random >> 16) % 100_000 * 32;
            live.push(address);
            (address, 16 + (random >> 40) % 300, (random >> 50) as u32 % 500)
        })
        .collect()
}

fn encode(events: &[(u64, u64, u32)], bytes: &mut Vec<u8>) {
    let mut deltas = Deltas::default();
    bytes.clear();
    for &(address, size, stack) in events {
        let event = match size {
            0 => deltas.encode_free(address, false),
            _ => deltas.encode_alloc(address, size, stack, false),
        };
        let Some(event) = event else { continue };
        bytes.push(event.tag);
        bytes.extend_from_slice(&event.payload.to_le_bytes()[..usize::from(event.len)]);
    }
}

fn records() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&events(), &mut bytes);
    bytes
}

#[divan::bench]
fn encoding(bencher: Bencher<'_, '_>) {
    let (events, mut bytes) = (events(), Vec::with_capacity(1 << 20));
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| encode(&events, &mut bytes));
}

#[divan::bench]
fn decoding(bencher: Bencher<'_, '_>) {
    let records = records();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let (mut deltas, mut at, mut addresses) = (Deltas::default(), 0, 0u64);
        while let Some((record, len)) = record::decode(&mut deltas, &records[at..]).expect("ours") {
            at += len;
            if let record::Record::Alloc { address, .. } | record::Record::Free { address, .. } = record {
                addresses ^= address;
            }
        }
        addresses
    });
}

/// Writing a block: as it is, as one zstd frame, as columns.
#[divan::bench(args = [Codec::Raw, Codec::Zstd, Codec::Columns])]
fn writing(bencher: Bencher<'_, '_>, codec: Codec) {
    let records = records();
    let header = FileHeader { version: tracker_core::format::VERSION, session: [0; 16], start_unix_ns: 0 };
    let mut writer = Writer::new(std::io::sink(), &header).expect("a sink takes all");
    let facts = Events { count: EVENTS, ..Events::default() };
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| writer.events(&facts, &records, codec).expect("as above"));
}

/// Replay, by the number of live blocks.
#[divan::bench(args = [1_000, 100_000], sample_count = 5, sample_size = 1)]
fn replaying(bencher: Bencher<'_, '_>, live: u64) {
    const ALL: u64 = 1_000_000;
    let path = std::env::temp_dir().join(format!("replaying.{}.mtk", std::process::id()));
    generate::write(&path, ALL, live, 1, 10_000).expect("there is room");
    let file = File::open(&path).expect("just written");
    std::fs::remove_file(&path).expect("just written");
    bencher.counter(ItemsCount::new(ALL)).bench_local(|| {
        let mut capture = Capture::open(&file, &mut |_, _| {}).expect("a capture");
        replay(
            &mut capture,
            &Options { pymalloc: Pymalloc::Objects, temporary_distance: 1, cuts: Cuts::Even, checkpoints: false },
            &mut |_, _| {},
        )
        .expect("a capture")
    });
}
