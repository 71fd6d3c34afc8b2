//! Events as the file keeps them: the records of a block, sorted by what they hold, each column compressed alone.
//!
//! In the lanes a record's bytes are mixed, as its writer had no time for more: the low byte of an address, which is
//! noise, beside a tag, which is nearly always one of three. Apart, each has statistics of its own for zstd to find. And
//! what follows from the events before ([`predict`](super::predict)) needs no bytes at all. [Unpacking](super::unpack) gives back the very
//! bytes that were packed, whatever they were. `docs/format.md` has the columns.

use super::predict::Predictor;
use crate::format::event::{self, Event};
use crate::format::lanes::LARGE_CHUNK;
use crate::format::record::{self, tag};
use crate::format::{Deltas, Record};

/// Codes, the low and the second byte of addresses and their rest, the same of sizes and stack ids (two each), and
/// records as they are.
pub(super) const COLUMNS: usize = 9;
const ADDRESS: [usize; 3] = [1, 2, 3];
const SIZE: [usize; 2] = [4, 5];
const STACK: [usize; 2] = [6, 7];
const VERBATIM: usize = 8;

/// First code of a free; below are allocations.
pub(super) const FREE: u8 = 192;
/// The epoch goes up by one.
pub(super) const NEXT_EPOCH: u8 = 202;
/// The next record stands in the last column.
pub(super) const OTHER: u8 = 203;

/// Address modes of an allocation beside the lengths of its delta.
pub(super) const REUSED: u8 = 4;
pub(super) const BEHIND: u8 = 5;
/// Address mode of a free.
pub(super) const NEWEST: u8 = 4;
pub(super) const SAME_SIZE: u8 = 3;

/// Shorter columns are stored as they are.
const WORTH_COMPRESSING: usize = 64;

pub(super) const SIZE_LEN: [usize; 4] = [1, 2, 4, 0];
pub(super) const STACK_LEN: [usize; 4] = [0, 1, 2, 4];
pub(super) const ALLOC_ADDRESS_LEN: [usize; 6] = [1, 2, 3, 6, 0, 0];
pub(super) const FREE_ADDRESS_LEN: [usize; 5] = [1, 2, 3, 8, 0];

fn zigzag_delta(to: u64, from: u64) -> u64 {
    crate::format::varint::zigzag(to.wrapping_sub(from) as i64)
}

/// One column while it is written: a fixed buffer, so that a value is one store, whatever its length.
struct Column {
    bytes: Box<[u8; ROOM]>,
    len: usize,
}

/// A column is no longer than the records, but the last store may overshoot.
const ROOM: usize = LARGE_CHUNK + 8;

impl Column {
    fn new() -> Self {
        Self { bytes: Box::new([0; ROOM]), len: 0 }
    }

    /// Appends the low `len` bytes of `value`.
    #[inline(always)]
    fn put(&mut self, value: u64, len: usize) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + 8) {
            room.copy_from_slice(&value.to_le_bytes());
            self.len += len;
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Sorts records into columns.
pub(super) struct Packer {
    predictor: Predictor,
    columns: [Column; COLUMNS],
}

/// Bytes that a value takes, at least one.
#[inline(always)]
const fn byte_len(value: u64) -> u8 {
    ((71 - (value | 1).leading_zeros()) >> 3) as u8
}

/// Mode of a value that takes so many bytes, where there are modes for one, two, three and more.
#[inline(always)]
const fn mode_of(len: u8) -> u8 {
    if len > 3 { 3 } else { len - 1 }
}

impl Packer {
    pub(super) fn new() -> Self {
        Self { predictor: Predictor::new(), columns: std::array::from_fn(|_| Column::new()) }
    }

    /// Sorts these records. False: not all of them are records.
    pub(super) fn sort(&mut self, mut records: &[u8]) -> bool {
        if records.len() > LARGE_CHUNK {
            return false;
        }
        self.columns.iter_mut().for_each(|column| column.len = 0);
        let mut deltas = self.predictor.start();
        while let Some(&first) = records.first() {
            let before = deltas;
            // What nearly all records are, without the detour over what a record can be.
            if first >= tag::FREE_SHORT
                && let (Some(len), Some(payload)) = (event::payload_len(first), records[1..].first_chunk())
            {
                let done = match deltas.decode(first, u128::from_le_bytes(*payload)) {
                    Event::Alloc { address, size, stack, realloc } => {
                        self.alloc(first, before, (address >> 4, size), stack, realloc)
                    }
                    Event::Free { address, realloc } => self.free(first, before, address >> 4, realloc),
                    Event::Epoch(_) | Event::Clock(_) => false,
                };
                if done {
                    records = records.get(1 + len..).unwrap_or(&[]);
                    continue;
                }
                deltas = before;
            }
            let Ok(Some((record, len))) = record::decode(&mut deltas, records) else { return false };
            let Some((bytes, rest)) = records.split_at_checked(len) else { return false };
            records = rest;
            let done = match record {
                Record::Alloc { address, size, stack, realloc } if bytes[0] >= tag::ALLOC_SHORT => {
                    self.alloc(bytes[0], before, (address >> 4, size), stack, realloc)
                }
                Record::Free { address, realloc } if bytes[0] >= tag::FREE_SHORT => {
                    self.free(bytes[0], before, address >> 4, realloc)
                }
                Record::Epoch(_) if len == 1 => {
                    self.columns[0].put(NEXT_EPOCH.into(), 1);
                    true
                }
                _ => false,
            };
            if !done {
                self.columns[0].put(OTHER.into(), 1);
                self.columns[VERBATIM].extend(bytes);
            }
        }
        true
    }

    /// False: unpacking would give a shorter form.
    #[inline(always)]
    fn alloc(&mut self, tag: u8, before: Deltas, (address, size): (u64, u64), stack: u32, realloc: bool) -> bool {
        let delta = zigzag_delta(address, before.address);
        let stack_delta = zigzag_delta(stack.into(), before.stack.into());
        let (address_mode, size_len) = (mode_of(byte_len(delta)), byte_len(size));
        let stack_mode = match stack_delta {
            0 => 0,
            1..=0xff => 1,
            0x100..=0xffff => 2,
            _ => 3,
        };
        if tag & 0x7e != address_mode << 5 | (size_len - 1) << 3 | stack_mode << 1 {
            return false;
        }
        let mode = if self.predictor.reused(size) == Some(address) {
            REUSED
        } else if self.predictor.behind() == address {
            BEHIND
        } else {
            address_mode
        };
        let size_mode = if self.predictor.size(stack) == Some(size as u32) { SAME_SIZE } else { (size_len - 1).min(2) };
        self.predictor.alloc(address, size, stack);
        self.columns[0].put((((mode * 4 + size_mode) * 4 + stack_mode) * 2 + u8::from(realloc)).into(), 1);
        self.put_address(delta, ALLOC_ADDRESS_LEN[usize::from(mode)]);
        self.put_pair(SIZE, size, SIZE_LEN[usize::from(size_mode)]);
        self.put_pair(STACK, stack_delta, STACK_LEN[usize::from(stack_mode)]);
        true
    }

    /// As `alloc`.
    #[inline(always)]
    fn free(&mut self, tag: u8, before: Deltas, address: u64, realloc: bool) -> bool {
        let delta = zigzag_delta(address, before.address);
        let len = byte_len(delta);
        if tag & 0x1c != (len - 1) << 2 {
            return false;
        }
        let mode = if self.predictor.newest() == Some(address) { NEWEST } else { mode_of(len) };
        self.predictor.free(address);
        self.columns[0].put((FREE + mode * 2 + u8::from(realloc)).into(), 1);
        self.put_address(delta, FREE_ADDRESS_LEN[usize::from(mode)]);
        true
    }

    /// Appends the low `len` bytes of a delta: one to each of the first two address columns, and what is left to the last.
    #[inline(always)]
    fn put_address(&mut self, delta: u64, len: usize) {
        self.columns[ADDRESS[0]].put(delta, len.min(1));
        self.columns[ADDRESS[1]].put(delta >> 8, len.saturating_sub(1).min(1));
        self.columns[ADDRESS[2]].put(delta >> 16, len.saturating_sub(2));
    }

    #[inline(always)]
    fn put_pair(&mut self, columns: [usize; 2], value: u64, len: usize) {
        self.columns[columns[0]].put(value, len.min(1));
        self.columns[columns[1]].put(value >> 8, len.saturating_sub(1));
    }

    /// Appends the payload of a block: the columns of the records last sorted.
    pub(super) fn write(
        &self,
        compressor: &mut zstd::bulk::Compressor<'static>,
        payload: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        self.columns.iter().try_for_each(|column| write_column(column.written(), compressor, payload))
    }
}

fn write_column(
    column: &[u8],
    compressor: &mut zstd::bulk::Compressor<'static>,
    payload: &mut Vec<u8>,
) -> std::io::Result<()> {
    let head = payload.len();
    payload.extend_from_slice(&[0; 8]);
    let start = payload.len();
    if column.len() >= WORTH_COMPRESSING {
        payload.resize(start + zstd::zstd_safe::compress_bound(column.len()), 0);
        let len = compressor.compress_to_buffer(column, &mut payload[start..])?;
        payload.truncate(start + len);
    }
    if payload.len() == start || payload.len() - start >= column.len() {
        payload.truncate(start);
        payload.extend_from_slice(column);
    }
    let stored = (payload.len() - start) as u32;
    payload[head..head + 4].copy_from_slice(&(column.len() as u32).to_le_bytes());
    payload[head + 4..start].copy_from_slice(&stored.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::unpack::Unpacker;
    use crate::format::Encoded;

    fn push(records: &mut Vec<u8>, event: Encoded) {
        records.push(event.tag);
        records.extend_from_slice(&event.payload.to_le_bytes()[..usize::from(event.len)]);
    }

    fn pack(records: &[u8]) -> Option<Vec<u8>> {
        let mut payload = Vec::new();
        let mut packer = Packer::new();
        packer.sort(records).then(|| {
            packer.write(&mut zstd::bulk::Compressor::new(1).unwrap(), &mut payload).unwrap();
            payload
        })
    }

    fn unpack(payload: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut records = Vec::new();
        let mut zstd = zstd::bulk::Decompressor::new().unwrap();
        Unpacker::new().read(payload, &mut zstd, len, &mut records).map(|()| records)
    }

    /// The page's example: records, and what they are packed as.
    #[test]
    fn as_the_page_says() {
        let page = include_str!("../../../docs/format.md");
        let (_, example) = page.split_once("```columns\n").expect("an example");
        let hex = |line: &str| -> Vec<u8> {
            line.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect()
        };
        let mut lines = example.lines();
        let records = hex(lines.next().expect("records"));
        let payload = lines.take_while(|line| *line != "```").flat_map(hex).collect::<Vec<_>>();
        let packed = pack(&records).expect("records");
        let text: Vec<String> = packed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(packed, payload, "{}", text.join(" "));
        assert_eq!(unpack(&payload, records.len()), Some(records));
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % limit
        }
    }

    /// Records of a program that allocates and frees, with every kind of guess right and wrong now and then.
    fn program(random: &mut Random, events: usize) -> Vec<u8> {
        let (mut deltas, mut records) = (Deltas::at_chunk_start(5, 0), Vec::new());
        let (mut live, mut freed, mut end) = (vec![], vec![], 0x5555_5555_0000u64);
        for _ in 0..events {
            let kind = random.below(100);
            let size = [24, 24, 40, 300, 70_000, 20_000_000][random.below(6) as usize];
            let event = match kind {
                0..50 => {
                    let address = if kind < 25 { freed.pop() } else { None }.unwrap_or_else(|| {
                        end += if kind < 30 { random.below(1 << 34) << 4 } else { (size + 23) & !15 };
                        end
                    });
                    live.push(address);
                    Some(deltas.encode_alloc(address, size, random.below(700) as u32 * 100, kind == 7).unwrap())
                }
                50..95 => live.len().checked_sub(1).map(|last| {
                    let at = if kind < 70 { last } else { random.below(live.len() as u64) as usize };
                    let address = live.swap_remove(at);
                    freed.push(address);
                    deltas.encode_free(address, kind == 60).unwrap()
                }),
                95 => Some(deltas.encode_epoch(deltas.epoch + 1)),
                96 => Some(deltas.encode_epoch(deltas.epoch + random.below(1 << 20))),
                97 => Some(deltas.encode_clock(deltas.time + 5000)),
                98 => {
                    let mut buffer = [0; 64];
                    let len =
                        record::write_alloc(&mut buffer, &mut deltas, (random.below(1 << 47), 8), 3, false).unwrap();
                    records.extend_from_slice(&buffer[..len]);
                    None
                }
                _ => {
                    records.push(tag::FORGET_STACKS);
                    None
                }
            };
            if let Some(event) = event {
                push(&mut records, event);
            }
        }
        records
    }

    #[test]
    fn what_was_packed_comes_back() {
        let mut random = Random(1);
        for events in [0, 1, 10, 1000, 5000] {
            for _ in 0..10 {
                let records = program(&mut random, events);
                let payload = pack(&records).expect("records");
                assert!(unpack(&payload, records.len()) == Some(records), "{events} events");
            }
        }
    }

    /// Longer forms than needed are records too.
    #[test]
    fn records_of_other_writers_come_back() {
        let long = [0xfe, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0x5c, 1, 0, 0, 0, 0, 0, 0, 0, 0x11, 1];
        assert_eq!(unpack(&pack(&long).expect("records"), long.len()), Some(long.to_vec()));
    }

    #[test]
    fn what_holds_no_records_is_not_packed() {
        for bytes in [&[0xff][..], &[0x02], &[0x10, 0x00, 0x10], &[0x22, 1]] {
            assert_eq!(pack(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn a_loop_costs_next_to_nothing() {
        let (mut deltas, mut records, mut events) = (Deltas::default(), Vec::new(), 0);
        for round in 0..3000u64 {
            // Two sizes at two stacks, the blocks of the one freed at once and of the other sixteen rounds later.
            push(&mut records, deltas.encode_alloc(0x10_0000, 100, 1, false).unwrap());
            push(&mut records, deltas.encode_alloc(0x20_0000 + round % 16 * 64, 50, 2, false).unwrap());
            push(&mut records, deltas.encode_free(0x10_0000, false).unwrap());
            events += 3;
            if round >= 15 {
                push(&mut records, deltas.encode_free(0x20_0000 + (round + 1) % 16 * 64, false).unwrap());
                events += 1;
            }
        }
        let payload = pack(&records).expect("records");
        assert!(payload.len() < events / 8, "{} bytes for {events} events", payload.len());
    }

    /// A reader trusts no byte: a changed payload gives other records of that length or none, and never more.
    #[test]
    fn hostile_payloads_are_refused() {
        let mut random = Random(9);
        let records = program(&mut random, 400);
        let payload = pack(&records).expect("records");
        for _ in 0..20_000 {
            let mut bytes = payload.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.below(256) as u8;
            }
            bytes.truncate(bytes.len() - random.below(2) as usize * random.below(40) as usize);
            if let Some(read) = unpack(&bytes, records.len()) {
                assert_eq!(read.len(), records.len());
            }
        }
        for len in [0, 1, records.len() - 1, records.len() + 1] {
            assert_eq!(unpack(&payload, len), None);
        }
    }
}
