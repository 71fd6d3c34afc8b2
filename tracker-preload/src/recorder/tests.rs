//! \[unsafe\] Streams as a recorder writes them and the decoder reads them, through real lanes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, OnceLock};

use tracker_core::format::lanes::{BITMAP_WORDS, CHUNKS, ChunkHeader, LANES_LEN, LANES_MAGIC, OWNER_FULL, owner};
use tracker_core::format::record::{self, Called, Function, Record};
use tracker_core::format::{Deltas, VERSION};

use super::{Again, Captured, Recorder, stack_hash};
use crate::chunk::SLICE;
use crate::lanes::{self, Lanes};
use crate::python;
use crate::stacks::{KnownId, ROOT_HASH, extend};
use crate::unwind::{Entry, Path, Recalled};

type Small = Recorder<1024>;

/// A path of these return addresses, leaf first, as a walk answers it.
fn entries(pcs: &[u64]) -> Vec<Entry> {
    let mut hash = ROOT_HASH;
    let entry = |&pc: &u64| {
        hash = extend(hash, pc);
        Entry::plain(pc, hash)
    };
    pcs.iter().rev().map(entry).collect()
}

fn captured(function: Function, entries: &[Entry]) -> Captured<'_> {
    Captured { called: function.into(), path: Path { marker: 0, entries }, python: python::Path::NONE }
}

/// Lanes of this test process, all chunks free; one test at a time.
fn lanes() -> (MutexGuard<'static, ()>, Lanes) {
    static ONE: Mutex<()> = Mutex::new(());
    static MAPPED: OnceLock<bool> = OnceLock::new();
    let guard = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    assert!(MAPPED.get_or_init(|| {
        // SAFETY: plain system calls on a new descriptor; the header words are written before anyone maps them.
        let fd = unsafe {
            let fd = libc::memfd_create(c"lanes".as_ptr(), 0);
            assert_eq!(libc::ftruncate(fd, LANES_LEN as i64), 0);
            let mut head = LANES_MAGIC.to_le_bytes().to_vec();
            head.extend(VERSION.to_le_bytes());
            assert_eq!(libc::pwrite(fd, head.as_ptr().cast(), head.len(), 0), head.len() as isize);
            fd
        };
        lanes::attach(fd)
    }));
    let lanes = Lanes::get().expect("attached above");
    let control = lanes.control();
    control.talk.0.stopped.store(0, Ordering::Relaxed);
    control.talk.0.lost.store(0, Ordering::Relaxed);
    for word in 0..BITMAP_WORDS {
        control.free[word].store(u64::MAX, Ordering::Relaxed);
        control.full[word].store(0, Ordering::Relaxed);
    }
    for index in 0..CHUNKS {
        lanes.header(index).expect("in range").owner.store(0, Ordering::Relaxed);
        // SAFETY: a chunk of the mapping, which this test owns.
        unsafe { lanes.chunk(index).expect("in range").start.write(0) };
    }
    (guard, lanes)
}

fn recorder() -> Box<Small> {
    // SAFETY: all zero is a recorder's initial state; see its definition.
    let mut recorder: Box<Small> = unsafe { Box::new_zeroed().assume_init() };
    recorder.start(1, 77, 0, None);
    recorder
}

/// What one stream says, with stacks spelled out.
#[derive(Debug, PartialEq, Clone)]
enum Said {
    Alloc { address: u64, size: u64, stack: Vec<u64>, realloc: bool },
    Free { address: u64, realloc: bool },
    Gap(u64),
    Other(&'static str),
}

/// Frees of this address only fill chunks.
const FILLER: u64 = 0xf00;

/// Reads all chunks in the order of their sequence numbers.
fn read(lanes: Lanes) -> Vec<Said> {
    let mut chunks: Vec<(u32, usize)> = (0..CHUNKS)
        .filter_map(|index| {
            let header = lanes.header(index)?;
            (header.owner.load(Ordering::Acquire) != 0).then(|| (header.sequence.load(Ordering::Relaxed), index))
        })
        .collect();
    chunks.sort_unstable();
    let (mut said, mut stacks) = (Vec::new(), HashMap::from([(0u32, Vec::new())]));
    for (expected, (sequence, index)) in chunks.into_iter().enumerate() {
        assert_eq!(sequence as usize, expected);
        let (header, chunk) = (lanes.header(index).expect("in range"), lanes.chunk(index).expect("in range"));
        // SAFETY: a chunk of the mapping.
        let bytes = unsafe { std::slice::from_raw_parts(chunk.start, chunk.len) };
        let mut deltas = Deltas::at_chunk_start(header.first_epoch.load(Ordering::Relaxed), 0);
        let mut at = 0;
        while let Some((record, len)) = record::decode(&mut deltas, &bytes[at..]).expect("decodes") {
            at += len;
            match record {
                Record::Alloc { address, size, stack, realloc } => {
                    said.push(Said::Alloc { address, size, stack: stacks[&stack].clone(), realloc });
                }
                Record::Free { address: FILLER, .. } => {}
                Record::Free { address, realloc } => said.push(Said::Free { address, realloc }),
                Record::Define { first, parent, pcs } => {
                    let mut path: Vec<u64> = stacks[&parent].clone();
                    for (id, pc) in (first..).zip(pcs.iter()) {
                        path.push(pc);
                        stacks.insert(id, path.clone());
                    }
                }
                Record::ForgetStacks => stacks.retain(|&id, _| id == 0),
                Record::Gap { lost } => said.push(Said::Gap(lost)),
                Record::ReallocFailed => said.push(Said::Other("failed")),
                Record::ReallocFreed => said.push(Said::Other("freed")),
                Record::Unmap { .. } => said.push(Said::Other("unmap")),
                Record::Epoch(_) | Record::Clock(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        if header.owner.load(Ordering::Relaxed) & OWNER_FULL != 0 {
            assert_eq!(at, header.used.load(Ordering::Relaxed) as usize);
        }
    }
    said
}

fn expected(address: u64, size: u64, pcs: &[u64], function: Function) -> Said {
    let stack = pcs.iter().rev().copied().chain([Called::from(function).marker()]).collect();
    Said::Alloc { address, size, stack, realloc: false }
}

#[test]
fn every_kind_of_event_comes_back() {
    let (_one, lanes) = lanes();
    let mut recorder = recorder();
    let pcs = [0x40_1000, 0x7f00_0000_1234, 0x55aa_0000_0042];
    let frames = entries(&pcs);
    let stack = captured(Function::Calloc, &frames);
    recorder.alloc(0x1000, 24, stack, false);
    recorder.free(0x1000, true);
    recorder.end_realloc(false);
    recorder.free(0x1000, true);
    recorder.end_realloc(true);
    recorder.alloc(0x7fff_ffff_f008, 1 << 40, stack, true);
    recorder.free(0x7fff_ffff_f008, false);
    recorder.unmap((0x1000, 4096), false);
    let said = read(lanes);
    assert_eq!(said[0], expected(0x1000, 24, &pcs, Function::Calloc));
    assert_eq!(
        said[1..5],
        [
            Said::Free { address: 0x1000, realloc: true },
            Said::Other("failed"),
            Said::Free { address: 0x1000, realloc: true },
            Said::Other("freed"),
        ]
    );
    let Said::Alloc { address, size, realloc, .. } = &said[5] else { panic!("{:?}", said[5]) };
    assert_eq!((*address, *size, *realloc), (0x7fff_ffff_f008, 1 << 40, true));
    assert_eq!(said[6..], [Said::Free { address: 0x7fff_ffff_f008, realloc: false }, Said::Other("unmap")]);
}

/// Enough events to fill hundreds of chunks, with more distinct stacks than the dictionary holds, some of them deeper
/// than one definition: across chunk borders, evictions and renewed dictionaries every stack is the right one.
#[test]
fn stacks_survive_chunks_evictions_and_renewal() {
    let (_one, lanes) = lanes();
    let mut recorder = recorder();
    let mut random = 88_172_645_463_325_252u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut wanted = Vec::new();
    for index in 0..60_000u64 {
        let depth = if next() % 500 == 0 { 700 } else { next() % 12 + 1 };
        let pcs: Vec<u64> = (0..depth).map(|level| 0x40_0000 + level * 0x1000 + next() % 3 * 8).collect();
        let (address, size) = ((next() % (1 << 43)) << 4, next() % 5000);
        recorder.alloc(address, size, captured(Function::Malloc, &entries(&pcs)), false);
        wanted.push(expected(address, size, &pcs, Function::Malloc));
        if index % 3 == 0 {
            recorder.free(address, false);
            wanted.push(Said::Free { address, realloc: false });
        }
        if index % 200 == 0 {
            (0..30_000).for_each(|_| recorder.free(FILLER, false));
        }
    }
    assert!(recorder.sequence > 256, "{}", recorder.sequence);
    assert_eq!(lanes.control().talk.0.lost.load(Ordering::Relaxed), 0);
    assert!(read(lanes) == wanted);
}

/// A stack whose path was recalled: by the id kept beside it while that is true, else by its hash, else not at all.
#[test]
fn a_recalled_stack_is_the_same_stack() {
    let (_one, lanes) = lanes();
    let mut recorder = recorder();
    let pcs = [0x40_1000, 0x40_2000];
    let frames = entries(&pcs);
    let hash = frames.last().expect("two").hash;
    let mut id = KnownId::default();
    let mut again = |recorder: &mut Small, address, function, python| {
        let path = Recalled { hash, id: &mut id };
        recorder.alloc_again(address, 8, Again { called: Called::from(function), path, python }, false)
    };
    assert!(!again(&mut recorder, 0x10, Function::Malloc, None), "not defined yet");
    recorder.alloc(0x20, 8, captured(Function::Malloc, &frames), false);
    recorder.alloc(0x30, 8, captured(Function::Calloc, &frames), false);
    assert!(again(&mut recorder, 0x40, Function::Malloc, None));
    assert!(again(&mut recorder, 0x50, Function::Malloc, None));
    assert!(again(&mut recorder, 0x60, Function::Calloc, None), "the id that is kept is of another function");
    assert!(!again(&mut recorder, 0x70, Function::Calloc, Some(7)), "another stack, with Python frames");
    assert!(again(&mut recorder, 0x80, Function::Calloc, None));
    recorder.forget_stacks();
    assert!(!again(&mut recorder, 0x90, Function::Calloc, None), "the id that is kept was forgotten");
    let wanted = [(0x20, 0), (0x30, 1), (0x40, 0), (0x50, 0), (0x60, 1), (0x80, 1)];
    let function = |index| [Function::Malloc, Function::Calloc][index];
    assert_eq!(read(lanes), wanted.map(|(address, index)| expected(address, 8, &pcs, function(index))));
    let mut insert = |python| recorder.dictionary.insert(stack_hash(hash, Function::Malloc.into(), python));
    let ids = [insert(None), insert(Some(7))];
    for python in [None, Some(7), None] {
        assert!(again(&mut recorder, 0x10, Function::Malloc, python));
        assert_eq!(recorder.deltas.stack, ids[usize::from(python.is_some())]);
    }
}

#[test]
fn losses_are_counted_and_leave_a_gap() {
    let (_one, lanes) = lanes();
    let mut recorder = recorder();
    let frames = entries(&[0x40_1000]);
    let stack = captured(Function::Malloc, &frames);
    // A thread without an id gets no chunk.
    let tid = std::mem::take(&mut recorder.tid);
    for address in 1..=5 {
        recorder.alloc(address << 4, 8, stack, false);
    }
    recorder.free(16, false);
    assert_eq!(lanes.control().talk.0.lost.load(Ordering::Relaxed), 6);
    recorder.tid = tid;
    recorder.alloc(0x600, 8, stack, false);
    assert_eq!(read(lanes), [Said::Gap(6), expected(0x600, 8, &[0x40_1000], Function::Malloc)]);
}

/// Nobody frees chunks here. Each wait is counted in the word that wakes the collector, and is bounded itself.
#[test]
fn a_dead_collector_is_waited_for_once_and_for_one_second() {
    let (_one, lanes) = lanes();
    let mut recorder = recorder();
    let talk = &lanes.control().talk.0;
    lanes.control().free.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    let waits = || talk.wake.load(Ordering::Relaxed);
    let before = waits();
    let frames = entries(&[0x40_1000]);
    let stack = captured(Function::Malloc, &frames);
    for address in 1..=1000 {
        recorder.alloc(address << 4, 8, stack, false);
        assert_eq!((waits() - before) * SLICE, 1000, "milliseconds after event {address}");
    }
    assert_eq!(talk.lost.load(Ordering::Relaxed), 1000);
    // Room again: everything goes on, and the next want may wait again.
    lanes.control().free[0].store(1, Ordering::Relaxed);
    recorder.alloc(0x600, 8, stack, false);
    assert_eq!(read(lanes), [Said::Gap(1000), expected(0x600, 8, &[0x40_1000], Function::Malloc)]);
}

#[test]
fn a_recording_that_was_stopped_loses_nothing() {
    let (_one, lanes) = lanes();
    let mut recorder = recorder();
    lanes.control().talk.0.stopped.store(1, Ordering::Relaxed);
    recorder.alloc(0x10, 8, captured(Function::Malloc, &entries(&[0x40_1000])), false);
    recorder.free(0x10, false);
    assert_eq!((read(lanes), lanes.control().talk.0.lost.load(Ordering::Relaxed)), (Vec::new(), 0));
}

/// A recorder with an event in the first chunk, which is another thread's by now: that chunk's header, and the other's word.
fn taken_away(lanes: Lanes) -> (Box<Small>, &'static ChunkHeader, u64) {
    let mut recorder = recorder();
    recorder.alloc(0x10, 8, captured(Function::Malloc, &entries(&[0x40_1000])), false);
    let header = lanes.header(0).expect("in range");
    let somebody_else = owner(1, 99);
    header.owner.store(somebody_else, Ordering::Relaxed);
    (recorder, header, somebody_else)
}

/// A thread that was taken for dead goes on: it says so, and leaves the chunk to its new owner.
#[test]
fn a_chunk_that_was_taken_away_is_a_loss() {
    let (_one, lanes) = lanes();
    let (mut recorder, header, somebody_else) = taken_away(lanes);
    while lanes.header(1).expect("in range").owner.load(Ordering::Relaxed) == 0 {
        recorder.alloc(0x10, 8, captured(Function::Malloc, &entries(&[0x40_1000])), false);
        recorder.free(0x10, false);
    }
    assert_eq!(header.owner.load(Ordering::Relaxed), somebody_else);
    assert_eq!(header.used.load(Ordering::Relaxed), 0);
    assert_eq!(lanes.control().talk.0.lost.load(Ordering::Relaxed), 1);
}

/// The collector may have given the chunk of a dead thread to somebody else by then: nothing of it may be touched.
#[test]
fn a_successor_leaves_a_dead_threads_chunk_alone() {
    let (_one, lanes) = lanes();
    let (mut recorder, header, somebody_else) = taken_away(lanes);
    lanes.control().talk.0.attention.store(0, Ordering::Relaxed);
    recorder.start(1, 78, 0, None);
    assert_eq!(header.owner.load(Ordering::Relaxed), somebody_else);
    assert_eq!(header.used.load(Ordering::Relaxed), 0);
    assert_eq!(lanes.control().full[0].load(Ordering::Relaxed), 0);
    assert_eq!(lanes.control().talk.0.attention.load(Ordering::Relaxed), 1, "the collector is asked to look");
}
