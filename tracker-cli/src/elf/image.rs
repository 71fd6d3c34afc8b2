//! The few things we need from an ELF file, read in place: header, program headers, dynamic section, one symbol.
//!
//! The file is hostile input: every offset and length in it is bounded before it is used, and nothing is read whole.

use std::ffi::CStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use tracker_core::format::wire::Reader;

use crate::sys::memory;

/// Most bytes read in one go.
const MAX_READ: usize = 64 << 10;
/// Most entries of a table that are looked at.
const MAX_ENTRIES: usize = 4096;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;

const DT_NEEDED: u64 = 1;
const DT_STRSZ: u64 = 10;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_SONAME: u64 = 14;
const DT_GNU_HASH: u64 = 0x6fff_fef5;

/// Section of symbols that are only used. Linkers put a few of those into the hash table, too.
const UNDEFINED: u16 = 0;

/// The machine this memtrack and its library were built for.
#[cfg(target_arch = "x86_64")]
const OUR_MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const OUR_MACHINE: u16 = 183;

/// Bytes by offset; short at the end, empty on errors.
pub(super) trait Source {
    fn read(&self, offset: u64, len: usize) -> Vec<u8>;
}

impl Source for File {
    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len.min(MAX_READ)];
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.read_at(room, offset.saturating_add(filled as u64)) {
                Ok(0) | Err(_) => break,
                Ok(len) => filled += len,
            }
        }
        bytes.truncate(filled);
        bytes
    }
}

impl Source for [u8] {
    fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        self.get(from..from.saturating_add(len.min(MAX_READ)).min(self.len())).unwrap_or_default().to_vec()
    }
}

/// Why a file is no ELF file that could be loaded here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    NotElf,
    OtherClass,
    OtherMachine,
    /// Cut or nonsensical.
    Damaged,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_len: u64,
}

/// An ELF file for this machine.
pub(super) struct Image<'s, S: Source + ?Sized> {
    source: &'s S,
    segments: Vec<Segment>,
    dynamic: Vec<(u64, u64)>,
}

impl<'s, S: Source + ?Sized> Image<'s, S> {
    pub(super) fn parse(source: &'s S) -> Result<Self, Foreign> {
        let header = source.read(0, 64);
        if !header.starts_with(b"\x7fELF") {
            return Err(Foreign::NotElf);
        }
        let machine = header.get(18..20).and_then(|b| <[u8; 2]>::try_from(b).ok()).map(u16::from_le_bytes);
        match (header.get(4), header.get(5), machine) {
            (Some(1), ..) => return Err(Foreign::OtherClass),
            (Some(2), Some(1), Some(OUR_MACHINE)) => {}
            (Some(2), Some(_), Some(_)) => return Err(Foreign::OtherMachine),
            _ => return Err(Foreign::Damaged),
        }
        let segments = read_segments(source, &header).ok_or(Foreign::Damaged)?;
        let dynamic = segments.iter().find(|s| s.kind == PT_DYNAMIC).map(|s| read_dynamic(source, s));
        Ok(Self { source, segments, dynamic: dynamic.unwrap_or_default() })
    }

    /// The program that loads this one.
    pub(super) fn interpreter(&self) -> Option<Vec<u8>> {
        let segment = self.segments.iter().find(|segment| segment.kind == PT_INTERP)?;
        Some(cut(self.source.read(segment.offset, segment.file_len.min(4096) as usize)))
    }

    /// Names of the libraries it needs.
    pub(super) fn needed(&self) -> impl Iterator<Item = Vec<u8>> {
        self.dynamic.iter().filter(|(tag, _)| *tag == DT_NEEDED).filter_map(|(_, name)| self.string(*name))
    }

    /// Its name as a library.
    pub(super) fn soname(&self) -> Option<Vec<u8>> {
        self.string(self.entry(DT_SONAME)?)
    }

    fn entry(&self, tag: u64) -> Option<u64> {
        self.dynamic.iter().find(|entry| entry.0 == tag).map(|entry| entry.1)
    }

    /// The file's offset of a linked address.
    fn offset(&self, address: u64) -> Option<u64> {
        let inside = |s: &&Segment| s.kind == PT_LOAD && address.wrapping_sub(s.address) < s.file_len;
        let segment = self.segments.iter().find(inside)?;
        segment.offset.checked_add(address - segment.address)
    }

    fn at(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let bytes = self.source.read(self.offset(address)?, len);
        (bytes.len() == len).then_some(bytes)
    }

    fn word(&self, address: u64) -> Option<u32> {
        Reader::new(&self.at(address, 4)?).u32()
    }

    fn string(&self, offset: u64) -> Option<Vec<u8>> {
        let address = self.entry(DT_STRTAB)?.checked_add(offset)?;
        Some(cut(self.source.read(self.offset(address)?, 256)))
    }

    /// Whether its dynamic symbols have `name` among them, defined or wanted. (Names that end in it are taken for it: tables share
    /// ends of names.)
    pub(super) fn names(&self, name: &CStr) -> bool {
        let table = self.entry(DT_STRTAB).and_then(|address| self.offset(address)).zip(self.entry(DT_STRSZ));
        let has = |window: Vec<u8>| memory::find(&window, name.to_bytes_with_nul()).is_some();
        table.is_some_and(|(start, len)| strings(self.source, start, len).any(has))
    }

    /// Whether it defines the dynamic symbol `name`: one lookup in the GNU hash table.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<()> {
        let table = self.entry(DT_GNU_HASH)?;
        let symbols = self.entry(DT_SYMTAB)?;
        let header = self.at(table, 16)?;
        let mut r = Reader::new(&header);
        let (buckets, first, bloom) = (r.u32()?, r.u32()?, r.u32()?);
        let hash = name.bytes().fold(5381u32, |h, byte| h.wrapping_mul(33).wrapping_add(u32::from(byte)));
        let buckets_at = table.checked_add(16)?.checked_add(u64::from(bloom) * 8)?;
        let chains_at = buckets_at.checked_add(u64::from(buckets) * 4)?;
        let bucket = u64::from(hash.checked_rem(buckets)?);
        let start = self.word(buckets_at.checked_add(bucket * 4)?)?;
        for index in (start..).take(MAX_ENTRIES) {
            let chain = self.word(chains_at.checked_add(u64::from(index.checked_sub(first)?) * 4)?)?;
            if chain | 1 == hash | 1 {
                let symbol = self.at(symbols.checked_add(u64::from(index) * 24)?, 24)?;
                let mut r = Reader::new(&symbol);
                let (offset, _kind, section) = (r.u32()?, r.u16()?, r.u16()?);
                if section != UNDEFINED && self.string(u64::from(offset))? == name.as_bytes() {
                    return Some(());
                }
            }
            if chain & 1 == 1 {
                return None;
            }
        }
        None
    }
}

/// The front of a table of strings in pieces that overlap, so that a name of up to 64 bytes is whole in one of them.
pub(super) fn strings<S: Source + ?Sized>(source: &S, start: u64, len: u64) -> impl Iterator<Item = Vec<u8>> {
    const MOST: u64 = 16 << 20;
    const PIECE: u64 = MAX_READ as u64;
    const OVERLAP: u64 = 64;
    let len = len.min(MOST);
    let pieces = (0..len).step_by((PIECE - OVERLAP) as usize);
    pieces.map(move |at| source.read(start.saturating_add(at), (len - at).min(PIECE) as usize))
}

fn read_segments<S: Source + ?Sized>(source: &S, header: &[u8]) -> Option<Vec<Segment>> {
    let mut r = Reader::new(header.get(32..)?);
    let table = r.u64()?;
    let mut r = Reader::new(header.get(54..)?);
    let (entry_len, count) = (usize::from(r.u16()?), usize::from(r.u16()?));
    if entry_len < 56 || count > MAX_ENTRIES {
        return None;
    }
    let bytes = source.read(table, entry_len * count);
    let segments: Vec<Segment> = bytes.chunks_exact(entry_len).filter_map(segment).collect();
    (segments.len() == count).then_some(segments)
}

fn segment(bytes: &[u8]) -> Option<Segment> {
    let mut r = Reader::new(bytes);
    let (kind, _flags) = (r.u32()?, r.u32()?);
    let (offset, address, _physical, file_len) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
    Some(Segment { kind, offset, address, file_len })
}

fn read_dynamic<S: Source + ?Sized>(source: &S, segment: &Segment) -> Vec<(u64, u64)> {
    let len = usize::try_from(segment.file_len).unwrap_or(usize::MAX).min(MAX_READ);
    let bytes = source.read(segment.offset, len);
    let entries = bytes.chunks_exact(16).map_while(|entry| {
        let mut r = Reader::new(entry);
        let (tag, value) = (r.u64()?, r.u64()?);
        (tag != 0).then_some((tag, value))
    });
    entries.take(MAX_ENTRIES).collect()
}

/// Up to the first zero byte.
fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ourselves() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn our_own_program_is_understood() {
        let bytes = ourselves();
        let image = Image::parse(bytes.as_slice()).ok().unwrap();
        assert!(image.interpreter().unwrap().starts_with(b"/"));
        assert!(image.needed().any(|name| name.starts_with(b"libc.so")));
        assert!(!image.defines("malloc"));
    }

    #[test]
    fn symbols_of_a_library_are_found() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let path = maps.lines().filter_map(|l| l.split_ascii_whitespace().nth(5)).find(|p| p.contains("libc.so"));
        let file = File::open(path.unwrap()).unwrap();
        let image = Image::parse(&file).ok().unwrap();
        for (name, defined) in [("malloc", true), ("qsort", true), ("_rjem_malloc", false), ("", false)] {
            assert_eq!(image.defines(name), defined, "{name}");
        }
        assert!(image.soname().unwrap().starts_with(b"libc.so"));
    }

    #[test]
    fn other_files_are_told_apart() {
        let mut elf = ourselves();
        for (at, value, expected) in
            [(0, 0, Foreign::NotElf), (18, 40, Foreign::OtherMachine), (4, 1, Foreign::OtherClass)]
        {
            let mut copy = elf.get(..64).unwrap().to_vec();
            copy[at] = value;
            assert_eq!(Image::parse(copy.as_slice()).err(), Some(expected));
        }
        elf.truncate(100);
        assert_eq!(Image::parse(elf.as_slice()).err(), Some(Foreign::Damaged));
        assert_eq!(Image::parse(b"#!/bin/sh".as_slice()).err(), Some(Foreign::NotElf));
    }

    #[test]
    fn damaged_files_do_no_harm() {
        let elf = ourselves();
        let mut state = 7u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        // Everything that the parser follows starts in the first bytes, or behind numbers found there.
        let mut copy = elf.get(..elf.len().min(1 << 16)).unwrap().to_vec();
        for _ in 0..500 {
            let at = 4 + random() as usize % 1500;
            let saved = copy[at];
            copy[at] = random() as u8;
            if let Ok(image) = Image::parse(copy.as_slice()) {
                let _ = (image.interpreter(), image.soname(), image.needed().count(), image.defines("malloc"));
            }
            if random() % 2 == 0 {
                copy[at] = saved;
            }
        }
    }
}
