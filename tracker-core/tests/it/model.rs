//! Random programs, recorded by the rules, against a model that knows what really happened.

use std::collections::BTreeMap;

use fuzz::Random;
use tracker_core::capture::block::Codec;
use tracker_core::format::record::tag;
use tracker_core::report::profile::{FrameKind, Profile, Row};

use crate::check::plain_profile;
use crate::recording::Recording;

/// What the hooks do: an allocation that brings its stream here takes a new epoch.
const EPOCH_EVENTS: u32 = 64;
const EPOCH_BYTES: u64 = 4096;

/// What kind of program.
#[derive(Debug, Clone, Copy)]
struct Kind {
    threads: usize,
    steps: u64,
    /// Events in a row of one thread, at most.
    turn: u64,
    max_size: u64,
    /// Distinct addresses; few of them change hands often.
    addresses: u64,
}

#[derive(Debug, Clone, Copy)]
struct Live {
    size: u64,
    stack: u64,
    thread: usize,
    serial: u64,
}

/// Blocks and bytes per (stack, thread).
type Sums = BTreeMap<(u64, usize), (u64, u64)>;

#[derive(Debug, Default)]
struct Truth {
    live: BTreeMap<u64, Live>,
    allocated: Sums,
    /// Bytes of the largest allocation per (stack, thread).
    largest: BTreeMap<(u64, usize), u64>,
    temporary: Sums,
    peak: u64,
    at_peak: Sums,
    frees: u64,
    reallocations: u64,
}

#[derive(Debug, Default)]
struct Thread {
    stream: usize,
    events: u32,
    bytes: u64,
    serial: u64,
    realloc: Option<Realloc>,
}

/// A realloc under way.
#[derive(Debug, Clone, Copy)]
struct Realloc {
    address: u64,
    block: Live,
    /// Somebody was given the address since, so this one has succeeded.
    done: bool,
}

fn sums(live: &BTreeMap<u64, Live>) -> Sums {
    let mut sums = Sums::new();
    for block in live.values() {
        let sum = sums.entry((block.stack, block.thread)).or_default();
        *sum = (sum.0 + 1, sum.1 + block.size);
    }
    sums
}

fn stack_pcs(stack: u64) -> Vec<u64> {
    vec![0x40_0000, 0x40_1000 + stack % 3, 0x40_2000 + stack]
}

struct Program {
    recording: Recording,
    truth: Truth,
    threads: Vec<Thread>,
    random: Random,
    kind: Kind,
}

impl Program {
    fn run(seed: u64, kind: Kind) -> (Vec<u8>, Truth) {
        let mut random = Random::new(seed);
        let mut recording = Recording::new();
        recording.chunk_len = 200 + random.below(4000) as usize;
        recording.codec = [Codec::Raw, Codec::Zstd, Codec::Columns][random.below(3) as usize];
        let threads = (0..kind.threads)
            .map(|thread| Thread { stream: recording.stream(1, 10 + thread as u32), ..Thread::default() })
            .collect();
        let mut program = Self { recording, truth: Truth::default(), threads, random, kind };
        let mut left = 0;
        let mut thread = 0;
        for _ in 0..kind.steps {
            if left == 0 {
                left = program.random.below(kind.turn) + 1;
                thread = program.random.below(kind.threads as u64) as usize;
            }
            left -= 1;
            program.step(thread);
            program.recording.time += program.random.below(3) * 1000;
            if program.random.one_in(50) {
                program.recording.end_part(program.threads[thread].stream);
            }
        }
        for thread in 0..kind.threads {
            program.end_realloc(thread);
        }
        (program.recording.finish(), program.truth)
    }

    /// One event of a thread's stream, as the hooks stamp it.
    fn stamp(&mut self, thread: usize, allocated: Option<u64>) {
        let t = &mut self.threads[thread];
        t.events += 1;
        t.bytes += allocated.unwrap_or(0);
        if allocated.is_some() && (t.events >= EPOCH_EVENTS || t.bytes >= EPOCH_BYTES) {
            (t.events, t.bytes) = (0, 0);
            self.recording.epoch += 1;
        }
    }

    fn step(&mut self, thread: usize) {
        if self.threads[thread].realloc.is_some() {
            // Others may run between intent and result; the thread itself may not.
            return self.end_realloc(thread);
        }
        let address = self.random.below(self.kind.addresses) * 16 + 0x10_0000;
        let what = self.random.below(20);
        match self.truth.live.get(&address).copied() {
            None => self.alloc(thread, address, false),
            Some(block) if what < 3 => {
                self.stamp(thread, None);
                self.recording.free(self.threads[thread].stream, address, true);
                self.threads[thread].realloc = Some(Realloc { address, block, done: false });
                // Really still there; but nobody else may touch it.
                self.truth.live.remove(&address);
                self.truth.live.insert(u64::MAX - thread as u64, block);
            }
            Some(block) => {
                self.stamp(thread, None);
                self.recording.free(self.threads[thread].stream, address, false);
                self.truth.live.remove(&address);
                self.died(block);
            }
        }
    }

    fn end_realloc(&mut self, thread: usize) {
        let Some(Realloc { address: old, block, done }) = self.threads[thread].realloc.take() else {
            return;
        };
        let stream = self.threads[thread].stream;
        self.truth.live.remove(&(u64::MAX - thread as u64));
        let what = self.random.below(6);
        if what == 0 && !done {
            self.recording.tag(stream, tag::REALLOC_FAILED);
            self.truth.live.insert(old, block);
            return;
        }
        self.died(block);
        if what == 1 {
            self.recording.tag(stream, tag::REALLOC_FREED);
            return;
        }
        let free = |address: &u64| !self.truth.live.contains_key(address);
        let candidates: Vec<u64> = (0..self.kind.addresses).map(|n| n * 16 + 0x10_0000).filter(free).collect();
        match candidates.get(self.random.below(candidates.len() as u64) as usize) {
            Some(&address) => {
                self.truth.reallocations += 1;
                self.alloc(thread, address, true);
            }
            None => self.recording.tag(stream, tag::REALLOC_FREED),
        }
    }

    fn alloc(&mut self, thread: usize, address: u64, realloc: bool) {
        let (size, stack) = (self.random.below(self.kind.max_size), self.random.below(12));
        self.stamp(thread, Some(size));
        for realloc in self.threads.iter_mut().filter_map(|other| other.realloc.as_mut()) {
            realloc.done |= realloc.address == address;
        }
        let t = &mut self.threads[thread];
        t.serial += 1;
        self.recording.alloc(t.stream, (address, size), &stack_pcs(stack), realloc);
        self.truth.live.insert(address, Live { size, stack, thread, serial: t.serial });
        let sum = self.truth.allocated.entry((stack, thread)).or_default();
        *sum = (sum.0 + 1, sum.1 + size);
        let largest = self.truth.largest.entry((stack, thread)).or_default();
        *largest = size.max(*largest);
        let live = self.truth.live.values().map(|block| block.size).sum();
        if live > self.truth.peak {
            self.truth.peak = live;
            self.truth.at_peak = sums(&self.truth.live);
        }
    }

    fn died(&mut self, block: Live) {
        self.truth.frees += 1;
        if self.threads[block.thread].serial - block.serial <= 1 {
            let sum = self.truth.temporary.entry((block.stack, block.thread)).or_default();
            *sum = (sum.0 + 1, sum.1 + block.size);
        }
    }
}

/// Stack and thread of a row.
fn key(profile: &Profile, row: &Row) -> (u64, usize) {
    let leaf = &profile.frames[profile.stacks[row.stack.0 as usize].frames[0].0 as usize];
    assert_eq!(leaf.kind, FrameKind::Jit);
    (leaf.address - 0x40_2000, profile.threads[row.thread as usize].tid as usize - 10)
}

/// Blocks and bytes of each row that has any.
fn by_row(profile: &Profile, amount: fn(&tracker_core::report::profile::Metrics) -> (u64, u64)) -> Sums {
    let mut sums = Sums::new();
    for row in &profile.rows {
        let key = key(profile, row);
        let amount = amount(&row.metrics);
        if amount != (0, 0) {
            assert_eq!(sums.insert(key, amount), None, "one row per stack and thread");
        }
    }
    sums
}

/// What must be right whatever the threads did.
#[track_caller]
fn check_counts(profile: &Profile, truth: &Truth, seed: u64) {
    let totals = &profile.totals;
    assert_eq!(by_row(profile, |m| (m.allocations, m.allocated_bytes)), truth.allocated, "seed {seed}");
    let largest = profile.rows.iter().map(|row| (key(profile, row), row.largest_bytes));
    assert_eq!(largest.collect::<BTreeMap<_, _>>(), truth.largest, "seed {seed}");
    assert_eq!((totals.frees, totals.unmatched_frees), (truth.frees, 0), "seed {seed}");
    assert_eq!(totals.reallocations, truth.reallocations, "seed {seed}");
    assert_eq!(totals.metrics.leaked_blocks, truth.live.len() as u64, "seed {seed}");
    assert_eq!((totals.inherited_frees, totals.lost_events, totals.truncated_stacks), (0, 0, 0));
    let off = totals.metrics.peak_bytes.abs_diff(truth.peak);
    assert!(off <= totals.peak_error_bytes, "seed {seed}: {off} bytes off, claims {}", totals.peak_error_bytes);
    assert!(profile.warnings.is_empty(), "{:?}", profile.warnings);
}

#[test]
fn one_thread_is_exact_in_everything() {
    for seed in 0..200 {
        let kind = Kind { threads: 1, steps: 600, turn: 1, max_size: 3000, addresses: 5 + seed % 60 };
        let (bytes, truth) = Program::run(seed, kind);
        let profile = plain_profile(&bytes);
        check_counts(&profile, &truth, seed);
        assert_eq!(profile.totals.peak_error_bytes, 0);
        assert_eq!(by_row(&profile, |m| (m.leaked_blocks, m.leaked_bytes)), sums(&truth.live), "seed {seed}");
        assert_eq!(by_row(&profile, |m| (m.peak_blocks, m.peak_bytes)), truth.at_peak, "seed {seed}");
        assert_eq!(by_row(&profile, |m| (m.temporary_allocations, m.temporary_bytes)), truth.temporary, "seed {seed}");
    }
}

#[test]
fn threads_lose_no_count_and_keep_the_error_bound() {
    for seed in 0..400 {
        let kind = Kind {
            threads: 2 + (seed % 5) as usize,
            steps: 600,
            turn: [1, 4, 30, 100][seed as usize / 5 % 4],
            max_size: [40, 300, 3000, 20_000][seed as usize / 20 % 4],
            addresses: [3, 10, 40, 400][seed as usize / 80 % 4],
        };
        let (bytes, truth) = Program::run(seed, kind);
        let profile = plain_profile(&bytes);
        check_counts(&profile, &truth, seed);
    }
}
