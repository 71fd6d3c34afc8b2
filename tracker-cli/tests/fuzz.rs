//! Hostile input for every reader, seeded with what memtrack records. `MEMTRACK_FUZZ_SECONDS=600 cargo test -p tracker-cli --test
//! fuzz -- --nocapture --test-threads 1` looks for more.

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use common::{compile, read, record, scratch, victims};
use fuzz::{campaign, index_of, raw, targets};
use tracker_core::capture::block::BlockKind;
use tracker_core::capture::payload::Loader;
use tracker_core::capture::scan::{Piece, Scan};

/// Captures of small programs with threads, forks and execs, as they were recorded, and with no block compressed.
fn captures() -> &'static [Vec<u8>] {
    static RECORDED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let known = victims().join("known");
        let known = known.to_str().expect("plain path");
        let programs: [&[&str]; 4] =
            [&[known, "simple"], &[known, "threads"], &[known, "fork"], &["/bin/sh", "-c", "ls /; true"]];
        let record = |(number, program): (usize, &&[&str])| {
            let capture = fs::read(record(&format!("fuzz-{number}"), program).path).expect("just recorded");
            [raw(&capture), capture]
        };
        programs.iter().enumerate().flat_map(record).collect()
    })
}

/// The indexes of two sealed captures, one of them with time in it, and a third capture whose index has a checkpoint.
fn indexes() -> Vec<Vec<u8>> {
    let known = victims().join("known");
    let programs: [&[&str]; 2] =
        [&[known.to_str().expect("plain path"), "threads"], &["/bin/sh", "-c", "ls /; sleep 0.1; true"]];
    let sealed = |(number, program): (usize, &&[&str])| {
        let path = record(&format!("fuzz-index-{number}"), program).path;
        read(&["seal", path.to_str().expect("plain path")]);
        index_of(&fs::read(path).expect("just sealed"))
    };
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tracker-core/tests/it/golden/sealed.mtk");
    let with_checkpoints = raw(&fs::read(golden).expect("it is there"));
    programs.iter().enumerate().map(sealed).chain([with_checkpoints]).collect()
}

/// The payloads of one kind of block, each once.
fn payloads(kind: BlockKind) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut loader = Loader::new().expect("a decompressor");
    for capture in captures() {
        let mut scan = Scan::new(&capture[..], capture.len() as u64);
        while let Some(piece) = scan.next_piece().expect("memory can be read") {
            let Piece::Block(block) = piece else { panic!("a capture just made is whole") };
            let mut payload = Vec::new();
            let good = loader.load(&&capture[..], &block.header, block.payload_at(), &mut payload);
            assert!(good.expect("memory can be read"));
            if block.header.kind == kind as u8 {
                found.push(payload);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn blocks() {
    campaign("blocks", captures(), 400, targets::blocks);
}

#[test]
fn records() {
    campaign("records", &payloads(BlockKind::Events), 3000, targets::records);
}

#[test]
fn meta() {
    campaign("meta", &payloads(BlockKind::Meta), 20_000, targets::meta);
}

#[test]
fn replay() {
    campaign("replay", captures(), 200, targets::replay);
}

#[test]
fn index() {
    let seeds = indexes();
    assert!(seeds.iter().all(|seed| targets::index(seed)));
    campaign("index", &seeds, 400, |bytes| {
        targets::index(bytes);
    });
}

#[test]
fn views() {
    campaign("views", captures(), 40, targets::views);
}

#[test]
fn symbols() {
    let folder = scratch("fuzz-symbols");
    let forms: [&[&str]; 4] = [&["-O2", "-gdwarf-5"], &["-O0", "-gdwarf-4", "-gz"], &["-g0"], &["-g", "-gsplit-dwarf"]];
    let build = |(number, flags): (usize, &&[&str])| {
        let path: PathBuf = folder.join(format!("libplug{number}.so"));
        compile(
            "gcc",
            "plug.c",
            &[flags, &["-fPIC", "-shared", "-nostdlib", "-DPLUG=a", "-DSIZE=9"][..]].concat(),
            &path,
        );
        fs::read(path).expect("just compiled")
    };
    let seeds: Vec<_> = forms.iter().enumerate().map(build).collect();
    campaign("symbols", &seeds, 300, targets::symbols);
}

#[test]
fn suppressions() {
    let seeds = [
        "# comment\nleak:^parse_*_node$\nleak:cache/\n\n  leak:libstdc++.so\n",
        "leak:*\n",
        "leak:a*b*c*d*$\r\nleak:^$\nrace:x\n",
        "{\n   name\n   Memcheck:Leak\n   match-leak-kinds: reachable\n   fun:malloc\n   obj:*/libc.so*\n   ...\n}\n",
    ];
    campaign("suppressions", &seeds.map(|text| text.as_bytes().to_vec()), 5000, targets::suppressions);
}

#[test]
fn perf_map() {
    let seeds = [
        "7f000010 20 LazyCompile:~a b.js:1\n7f000020 40 Builtin:X\n7f000000 100 late\n",
        "0x7f000010 0x8 java.lang.String.hashCode()\r\nffffffffffffffff 1 top\n1 ffffffffffffffff all\n",
    ];
    campaign("perf_map", &seeds.map(|text| text.as_bytes().to_vec()), 20_000, targets::perf_map);
}

#[test]
fn requests() {
    campaign("requests", &targets::request_seeds(), 300, targets::requests);
}
