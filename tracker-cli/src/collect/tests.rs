//! The collector against threads that write as the library does, and against some that do not.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use tracker_core::capture::block::{BlockHeader, BlockKind, FileHeader};
use tracker_core::capture::meta::{ExitStatus, Meta};
use tracker_core::capture::writer::Writer;
use tracker_core::format::lanes::{CHUNKS, OWNER_FULL, chunk_range, owner};
use tracker_core::format::{Deltas, Encoded, ImageKind, VERSION, record};

use super::link::{Counts, Reply, hear, tell};
use super::testing::blocks;
use super::{CaptureFile, Clock, Session, run};
use crate::sys::lanes::{Lanes, LanesFile};
use crate::sys::socket;

/// A thread of a recorded program.
struct Fake<'l> {
    lanes: &'l Lanes,
    owner: u64,
    stream: u32,
    sequence: u32,
    chunk: usize,
    offset: usize,
    deltas: Deltas,
}

impl<'l> Fake<'l> {
    fn new(lanes: &'l Lanes, image: u32, tid: u32) -> Self {
        let stream = lanes.control().numbers.0.next_stream.fetch_add(1, Ordering::Relaxed);
        let owner = owner(image, tid);
        let mut this = Self { lanes, owner, stream, sequence: 0, chunk: 0, offset: 0, deltas: Deltas::default() };
        this.claim();
        this
    }

    fn claim(&mut self) {
        loop {
            for chunk in 0..CHUNKS {
                let (word, bit) = (chunk / 64, 1u64 << (chunk % 64));
                if self.lanes.control().free[word].load(Ordering::Relaxed) & bit == 0 {
                    continue;
                }
                let header = self.lanes.header(chunk).unwrap();
                if header.owner.compare_exchange(0, self.owner, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                    continue;
                }
                self.lanes.control().free[word].fetch_and(!bit, Ordering::Relaxed);
                header.stream.store(self.stream, Ordering::Relaxed);
                header.sequence.store(self.sequence, Ordering::Relaxed);
                header.first_epoch.store(self.deltas.epoch, Ordering::Relaxed);
                header.first_time.store(self.deltas.time, Ordering::Relaxed);
                self.deltas = Deltas::at_chunk_start(self.deltas.epoch, self.deltas.time);
                (self.chunk, self.offset) = (chunk, 0);
                return;
            }
            std::thread::yield_now();
        }
    }

    fn publish(&mut self) {
        let header = self.lanes.header(self.chunk).unwrap();
        header.used.store(self.offset as u32, Ordering::Relaxed);
        header.owner.fetch_or(OWNER_FULL, Ordering::Release);
        self.lanes.control().full[self.chunk / 64].fetch_or(1 << (self.chunk % 64), Ordering::Release);
        self.sequence += 1;
        self.claim();
    }

    fn store(&mut self, bytes: &[u8]) {
        if self.offset + bytes.len() + 1 > chunk_range(self.chunk).unwrap().1 {
            self.publish();
        }
        let zero = self.offset + bytes.len();
        for (at, byte) in bytes.iter().enumerate().skip(1).map(|(at, byte)| (self.offset + at, *byte)) {
            self.lanes.store(self.chunk, at, byte);
        }
        self.lanes.store(self.chunk, zero, 0);
        self.lanes.store(self.chunk, self.offset, bytes[0]);
        self.offset = zero;
    }

    fn event(&mut self, encode: impl Fn(&mut Deltas) -> Encoded) {
        // Near the end a chunk is left unused, as the library does.
        if self.offset + 40 > chunk_range(self.chunk).unwrap().1 {
            self.publish();
        }
        let encoded = encode(&mut self.deltas);
        let payload = encoded.payload.to_le_bytes();
        self.store(&[&[encoded.tag], &payload[..usize::from(encoded.len)]].concat());
    }

    fn alloc(&mut self, address: u64, size: u64) {
        self.event(|deltas| deltas.encode_alloc(address, size, 1, false).unwrap());
    }

    fn image(&mut self, pid: u32) {
        let mut buffer = [0; 256];
        let len =
            record::write_image(&mut buffer, ImageKind::First, (pid, u32::MAX, 0), b"/bin/x", [].into_iter()).unwrap();
        self.store(&buffer[..len]);
    }
}

/// A collector at work in this process.
struct Rig {
    path: PathBuf,
    lanes: Option<Lanes>,
    parent: OwnedFd,
    thread: JoinHandle<u8>,
}

impl Rig {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memtrack-collect-{}-{name}", std::process::id()));
        Self::with_file(name, path.clone(), File::create(&path).unwrap())
    }

    fn with_file(name: &str, path: PathBuf, file: File) -> Self {
        let clock = Clock::start();
        let lanes_file = LanesFile::create(0, clock.start_monotonic()).unwrap();
        let lanes = lanes_file.map().unwrap();
        let (parent, theirs) = socket::pair().unwrap();
        let header = FileHeader { version: VERSION, session: [1; 16], start_unix_ns: 0 };
        let mut writer = Writer::new(CaptureFile::new(file, u64::MAX).unwrap(), &header).unwrap();
        writer.meta(&Meta::Session(Default::default())).unwrap();
        let session = Session {
            clock,
            lanes: lanes_file,
            listener: socket::listen(&format!("memtrack-test-{}-{name}", std::process::id())).unwrap(),
            secret: "secret".to_owned(),
            parent: theirs,
            writer,
            root: std::process::id(),
            program: PathBuf::from("/proc/self/exe"),
            is_tracked: true,
        };
        let thread = std::thread::spawn(move || run(session));
        Self { path, lanes: Some(lanes), parent, thread }
    }

    /// Ends the program and waits for the collector.
    fn end(mut self) -> (Counts, Vec<(BlockHeader, Vec<u8>)>) {
        self.lanes = None;
        tell(self.parent.as_fd(), &Meta::RootExit { time: 5, status: ExitStatus::Code(0), max_rss: 0, before: 0 });
        let counts = loop {
            match hear(self.parent.as_fd()) {
                Some(Reply::Done(counts)) => break counts,
                Some(Reply::Running(_)) => {}
                None => panic!("the collector is gone"),
            }
        };
        assert_eq!(self.thread.join().unwrap(), 0);
        let mut bytes = Vec::new();
        File::open(&self.path).unwrap().read_to_end(&mut bytes).unwrap();
        std::fs::remove_file(&self.path).unwrap();
        assert_eq!(counts.bytes, bytes.len() as u64);
        (counts, blocks(&bytes))
    }
}

fn events(blocks: &[(BlockHeader, Vec<u8>)], stream: u32) -> Vec<BlockHeader> {
    let is_event = |header: &&BlockHeader| header.kind == BlockKind::Events as u8 && header.stream == stream;
    blocks.iter().map(|(header, _)| header).filter(is_event).copied().collect()
}

/// Every record of a stream is there once, in order, and each block starts where the one before ended.
fn check_stream(blocks: &[(BlockHeader, Vec<u8>)], stream: u32, records: u64) {
    let events = events(blocks, stream);
    assert_eq!(events.iter().map(|block| u64::from(block.count)).sum::<u64>(), records, "stream {stream}");
    let mut expected = (0, 0);
    for block in &events {
        let next = (block.sequence, block.offset);
        assert!(next == expected || next == (expected.0 + 1, 0), "{next:?} after {expected:?}");
        expected = (block.sequence, block.offset + block.raw_len);
    }
    for pair in events.windows(2) {
        assert_eq!((pair[0].last_epoch, pair[0].last_time), (pair[1].first_epoch, pair[1].first_time));
    }
}

#[test]
fn nothing_is_lost_or_reordered() {
    const THREADS: u32 = 4;
    const EVENTS: u64 = 300_000;
    let rig = Rig::new("all");
    std::thread::scope(|scope| {
        for tid in 1..=THREADS {
            let lanes = rig.lanes.as_ref().unwrap();
            scope.spawn(move || {
                // A thread id that exists: ours, so that nothing is taken away from a living thread.
                let mut fake = Fake::new(lanes, 1, std::process::id());
                if tid == 1 {
                    fake.image(std::process::id());
                }
                for n in 0..EVENTS {
                    fake.alloc(n * 16 * 7919, n % 300);
                    if n % 64 == 0 {
                        let epoch = fake.deltas.epoch + 1;
                        fake.event(|deltas| deltas.encode_epoch(epoch));
                        fake.event(|deltas| deltas.encode_clock(deltas.time + 50_000));
                    }
                }
            });
        }
    });
    let (counts, blocks) = rig.end();
    let events = EVENTS + 2 * EVENTS.div_ceil(64);
    let total: u64 = (1..=THREADS).map(|stream| u64::from(blocks_count(&blocks, stream))).sum();
    assert_eq!(total, u64::from(THREADS) * events + 1);
    for stream in 1..=THREADS {
        check_stream(&blocks, stream, u64::from(blocks_count(&blocks, stream)));
    }
    assert_eq!((counts.allocations, counts.lost), (u64::from(THREADS) * EVENTS, 0));
    assert_eq!(blocks.first().map(|block| block.0.kind), Some(BlockKind::Meta as u8));
}

fn blocks_count(blocks: &[(BlockHeader, Vec<u8>)], stream: u32) -> u32 {
    events(blocks, stream).iter().map(|block| block.count).sum()
}

#[test]
fn what_is_not_published_is_taken_too() {
    let rig = Rig::new("unfinished");
    let mut fake = Fake::new(rig.lanes.as_ref().unwrap(), 1, std::process::id());
    for n in 0..10 {
        fake.alloc(n * 16, 8);
    }
    // Asks to be looked at, and goes on.
    rig.lanes.as_ref().unwrap().control().talk.0.attention.store(1, Ordering::Release);
    while rig.lanes.as_ref().unwrap().control().talk.0.attention.load(Ordering::Acquire) != 0 {
        std::thread::yield_now();
    }
    for n in 0..5 {
        fake.alloc(n * 16, 8);
    }
    let (counts, blocks) = rig.end();
    assert_eq!(counts.allocations, 15);
    check_stream(&blocks, 1, 15);
}

#[test]
fn a_hostile_program_harms_only_its_own_records() {
    let rig = Rig::new("hostile");
    let lanes = rig.lanes.as_ref().unwrap();
    let mut honest = Fake::new(lanes, 1, std::process::id());
    honest.alloc(16, 1);
    let mut hostile = Fake::new(lanes, 2, u32::MAX);
    hostile.alloc(16, 1);
    // A tag that does not exist, lengths and bits out of nowhere.
    hostile.store(&[0x1f, 0xff, 0xff]);
    let header = lanes.header(hostile.chunk).unwrap();
    header.used.store(u32::MAX, Ordering::Relaxed);
    header.owner.fetch_or(OWNER_FULL, Ordering::Release);
    for word in &lanes.control().full {
        word.store(u64::MAX, Ordering::Release);
    }
    for word in &lanes.control().free {
        word.store(0, Ordering::Release);
    }
    honest.alloc(32, 1);
    let (counts, blocks) = rig.end();
    assert_eq!(counts.allocations, 3);
    check_stream(&blocks, 1, 2);
    check_stream(&blocks, 2, 1);
}

#[test]
fn chunks_come_back_to_the_threads() {
    let rig = Rig::new("reuse");
    let lanes = rig.lanes.as_ref().unwrap();
    let mut fake = Fake::new(lanes, 1, std::process::id());
    let mut highest = 0;
    for n in 0..2_000_000u64 {
        fake.alloc(n * 16, 8);
        highest = highest.max(fake.chunk);
    }
    assert!(highest < CHUNKS);
    let (counts, blocks) = rig.end();
    assert_eq!(counts.allocations, 2_000_000);
    check_stream(&blocks, 1, 2_000_000);
}
