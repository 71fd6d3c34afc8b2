//! Captures made to exhaust their reader: a megabyte at most, and every command answers or says why not, within a quarter
//! of a gigabyte and a bounded time. Limits are set by the kernel, on the real program.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ended, MEMTRACK, compile, record, run, scratch, victims};
use fuzz::{Random, mutate, raw, repair};
use tracker_core::capture::block::{Codec, FileHeader};
use tracker_core::capture::meta::Meta;
use tracker_core::capture::writer::{Events, Writer};
use tracker_core::format::{Deltas, Encoded, ImageKind, VERSION, record as wire};

const MEGABYTE: u64 = 1 << 20;

/// Address space in KiB; and seconds of processor time, ten times as many where nothing was optimized.
const MEMORY: u32 = 256 << 10;
const TIME: u32 = if cfg!(debug_assertions) { 30 } else { 2 };

/// The ways to read a capture by its replay, of which the first keeps an index for the others if there is memory enough.
const REPLAYING: [&str; 20] = [
    "flamegraph -o -",
    "summary --json",
    "report --allocations --json",
    "report --leaks --from 10% --to 50%",
    "tree --metric peak",
    "table --by file",
    "timeline",
    "stats",
    "check --max peak=1",
    "diff --json",
    "export --format collapsed --metric allocated",
    "export --format pprof",
    "export --format speedscope",
    "export --format firefox",
    "export --format csv",
    "export --format ndjson",
    "export --format svg",
    "seal",
    "symbolize",
    "strip --redact -f -o /dev/null",
];
/// Those that have a way of their own.
const OTHERS: [&str; 2] = ["verify", "strings"];
/// It takes the time in which its records are printed, which a megabyte may hold more of than others have to look at.
const DUMP: &str = "dump";

/// Runs a command under the limits. It may fail, with a message and one of the documented codes.
#[track_caller]
fn read(command: &str, path: &Path) -> Ended {
    let mut limited = Command::new("sh");
    limited.args(["-c", &format!("ulimit -v {MEMORY}; ulimit -t {TIME}; exec \"$@\""), "sh", MEMTRACK]);
    let sides = if command.starts_with("diff") { 2 } else { 1 };
    let ended = run(limited.args(command.split(' ')).args(std::iter::repeat_n(path, sides)));
    let code = ended.status.strip_prefix("exit status: ").and_then(|code| code.parse::<i32>().ok());
    let fine = code == Some(0) || (matches!(code, Some(1 | 3)) && (code == Some(1) || !ended.stderr.is_empty()));
    let stderr = &ended.stderr;
    assert!(fine && !stderr.contains("internal error"), "{command} {}: {} {stderr}", path.display(), ended.status);
    ended
}

/// A capture in the making, in one image.
struct Bomb {
    writer: Writer<Vec<u8>>,
    sequences: Vec<u32>,
}

impl Bomb {
    fn new() -> Self {
        let header = FileHeader { version: VERSION, session: [0; 16], start_unix_ns: 1 };
        let mut bomb = Self { writer: Writer::new(Vec::new(), &header).expect("memory"), sequences: Vec::new() };
        let mut image = [0; 100];
        let len = wire::write_image(&mut image, ImageKind::First, (1, u32::MAX, 0), b"/x", [].into_iter());
        bomb.block(1, &image[..len.expect("it fits")]);
        bomb
    }

    fn full(&self) -> bool {
        self.writer.written() > MEGABYTE - 66_000
    }

    fn block(&mut self, stream: u32, records: &[u8]) {
        let at = stream as usize;
        self.sequences.resize(self.sequences.len().max(at + 1), 0);
        let sequence = self.sequences[at];
        self.sequences[at] += 1;
        let events = Events { stream, image: 1, tid: stream, sequence, first_epoch: 1, ..Events::default() };
        self.writer.events(&events, records, Codec::Zstd).expect("memory");
    }

    /// Blocks of what `encode` makes of 0, 1, 2, … until the file is full.
    fn events(&mut self, streams: u32, encode: impl Fn(&mut Deltas, u64) -> Encoded) {
        let mut number = 0;
        while !self.full() {
            for stream in 1..=streams {
                let mut deltas = Deltas::at_chunk_start(1, 0);
                let mut records = Vec::new();
                while records.len() < 65_000 {
                    let event = encode(&mut deltas, number);
                    records.push(event.tag);
                    records.extend_from_slice(&event.payload.to_le_bytes()[..usize::from(event.len)]);
                    number += 1;
                }
                self.block(stream, &records);
            }
        }
    }

    fn write(mut self, folder: &Path, name: &str) -> PathBuf {
        let bytes = std::mem::take(self.writer.get_mut());
        assert!(bytes.len() as u64 <= MEGABYTE, "{name}: {}", bytes.len());
        let path = folder.join(format!("{name}.mtk"));
        fs::write(&path, bytes).expect("writable");
        path
    }
}

fn define(first: u32, parent: u32, pcs: impl ExactSizeIterator<Item = u64>) -> Vec<u8> {
    let mut buffer = vec![0; 3072];
    let len = wire::write_define(&mut buffer, first, parent, pcs).expect("it fits");
    buffer.truncate(len);
    buffer
}

/// Reads a bomb in every way; answers how the first two ended. Where these had not memory enough, the other replays have not.
fn check(name: &str, make: impl FnOnce(&mut Bomb)) -> [Ended; 2] {
    let mut bomb = Bomb::new();
    make(&mut bomb);
    let path = bomb.write(&scratch(&format!("limits-{name}")), name);
    let ended = [REPLAYING[0], REPLAYING[1]].map(|command| read(command, &path));
    let replays = if ended[0].status == "exit status: 0" { &REPLAYING[2..] } else { &[] };
    for command in OTHERS.iter().chain(replays) {
        read(command, &path);
    }
    ended
}

#[test]
fn millions_of_live_blocks() {
    let ended = check("live", |bomb| {
        // Behind a block's first address each is one further, in the same bytes.
        let mut deltas = Deltas::default();
        let next = [1, 2].map(|n| deltas.encode_alloc(n * 16, 1, 1, false).expect("short"))[1];
        let next = [&[next.tag], &next.payload.to_le_bytes()[..usize::from(next.len)]].concat();
        let tail = next.repeat(65_000 / next.len());
        for number in 0..1000u64 {
            let mut first = [0; 64];
            let start = (number << 24, 1);
            let len = wire::write_alloc(&mut first, &mut Deltas::default(), start, 1, false).expect("it fits");
            bomb.block(1, &[&first[..len], &tail].concat());
        }
    });
    for Ended { status, stderr, .. } in ended {
        assert_eq!(status, "exit status: 3");
        assert!(stderr.contains("memtrack: out of memory"), "{stderr}");
    }
}

#[test]
fn frees_of_unknown_blocks_by_two_threads_at_once() {
    check("debts", |bomb| {
        let mut random = Random::new(3);
        // Not compressible, so that the number of events is that of the file's bytes.
        let places: Vec<u64> = (0..500_000).map(|_| random.below(1 << 12)).collect();
        let place = |n: u64| places[n as usize % places.len()] * 16;
        bomb.events(2, |deltas, n| deltas.encode_free(place(n), n.is_multiple_of(3)).expect("short"));
    });
}

#[test]
fn thousands_of_threads_that_wait_for_each_other() {
    check("stuck", |bomb| {
        let mut stream = 1;
        while !bomb.full() {
            stream += 1;
            let mut deltas = Deltas::at_chunk_start(1, 0);
            let mut records = Vec::new();
            for n in 0..8 {
                let event = deltas.encode_free(u64::from(stream) * 160 + n * 16, false).expect("short");
                records.push(event.tag);
                records.extend_from_slice(&event.payload.to_le_bytes()[..usize::from(event.len)]);
            }
            bomb.block(stream, &records);
        }
    });
}

#[test]
fn megabytes_of_names_in_a_few_bytes() {
    check("names", |bomb| {
        let start = bomb.writer.get_mut().len();
        let (exe, reason) = (vec![b'x'; 1_000_000], "y".repeat(100));
        bomb.writer.meta(&Meta::Untracked { pid: 1, exe, reason }).expect("memory");
        bomb.writer.meta(&Meta::Warning { text: "z".repeat(1_000_000) }).expect("memory");
        let bytes = bomb.writer.get_mut();
        let blocks = bytes[start..].repeat(300);
        bytes.extend_from_slice(&blocks);
    });
}

#[test]
fn more_stacks_than_memory() {
    check("stacks", |bomb| {
        let mut first = 1;
        for _ in 0..200 {
            let mut records = Vec::new();
            while records.len() < 64_000 {
                records.extend(define(first, 0, (0..256u32).map(|n| u64::from(first) * 4096 + u64::from(n) * 8)));
                first += 256;
            }
            bomb.block(1, &records);
        }
    });
}

#[test]
fn allocations_at_every_depth_of_a_deep_recursion() {
    check("deep", |bomb| {
        let mut first = 1;
        while first < 60_000 {
            let mut records = Vec::new();
            while records.len() < 60_000 {
                records.extend(define(first, first - 1, (0..256u32).map(|_| 0x40_1000)));
                first += 256;
            }
            bomb.block(1, &records);
        }
        for part in 0..6 {
            let mut deltas = Deltas::at_chunk_start(1, 0);
            let mut records = Vec::new();
            for n in 0..10_000 {
                let id = part * 10_000 + n + 1;
                let event = deltas.encode_alloc(u64::from(id) * 16, 1, id, false).expect("short");
                records.push(event.tag);
                records.extend_from_slice(&event.payload.to_le_bytes()[..usize::from(event.len)]);
            }
            bomb.block(1, &records);
        }
    });
}

/// A program whose debug data is larger than the memory for reading it: its functions keep the names of the symbol table,
/// and a note says why lines are missing.
#[test]
fn debug_data_beyond_memory() {
    const HUGE: u64 = 1 << 30;
    let folder = scratch("limits-debug");
    let program = folder.join("leaky");
    compile("gcc", "leaky.c", &["-O0", "-g"], &program);
    let mut elf = fs::read(&program).expect("just built");
    let word = |elf: &[u8], at: usize, len: usize| {
        elf[at..at + len].iter().rev().fold(0usize, |word, byte| word << 8 | usize::from(*byte))
    };
    let (table, count, names) = (word(&elf, 0x28, 8), word(&elf, 0x3c, 2), word(&elf, 0x3e, 2));
    let section = |number: usize| table + number * 64;
    let texts = word(&elf, section(names) + 24, 8);
    let is_info = |&at: &usize| elf[texts + word(&elf, at, 4)..].starts_with(b".debug_info\0");
    let info = (0..count).map(section).find(is_info).expect("it has debug data");
    // It moves to the end of the file, where nothing but a hole is.
    let end = elf.len().to_le_bytes();
    elf[info + 24..info + 32].copy_from_slice(&end);
    elf[info + 32..info + 40].copy_from_slice(&HUGE.to_le_bytes());
    fs::write(&program, &elf).expect("writable");
    let file = fs::File::options().append(true).open(&program).expect("ours");
    file.set_len(elf.len() as u64 + HUGE).expect("a hole");
    drop(file);

    let capture = folder.join("capture.mtk");
    let _ = fs::remove_file(&capture);
    let recorded = run(Command::new(MEMTRACK).args(["run", "-q", "-o"]).arg(&capture).arg(&program));
    assert_eq!(recorded.status, "exit status: 0", "{}", recorded.stderr);
    let ended = read("report", &capture);
    assert_eq!(ended.status, "exit status: 0", "{}", ended.stderr);
    assert!(ended.stdout.contains("lose"), "{}", ended.stdout);
    let summary = read("summary --json", &capture).stdout;
    assert!(summary.contains("its debug data cannot be read: it is larger than the memory left here"), "{summary}");
}

/// Real captures, changed: each read by one of the commands.
#[test]
fn changed_captures() {
    let known = victims().join("known");
    let known = known.to_str().expect("plain path");
    let seeds: Vec<Vec<u8>> = ["simple", "threads", "fork"]
        .map(|mode| fs::read(record(&format!("limits-{mode}"), &[known, mode]).path).expect("just recorded"))
        .into_iter()
        .flat_map(|capture| [raw(&capture), capture])
        .collect();
    let path = scratch("limits-changed").join("changed.mtk");
    let mut random = Random::new(11);
    let commands = [&REPLAYING[..], &OTHERS, &[DUMP]].concat();
    for command in commands {
        let mut bytes = seeds[random.index(seeds.len())].clone();
        mutate(&mut random, &mut bytes, &seeds);
        if random.one_in(2) {
            repair(&mut bytes);
        }
        fs::write(&path, bytes).expect("writable");
        read(command, &path);
    }
}
