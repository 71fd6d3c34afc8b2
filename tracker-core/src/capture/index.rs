//! The index of a sealed capture: what a replay found out, in sections behind the blocks that it covers.
//!
//! The file's last block is the seal, which says where the index begins; so a capture of any size is opened by a look at
//! its end. Without a whole index, or with one of another version, the capture is replayed as if there were none.

use std::io;

use super::block::{BLOCK_HEADER_LEN, BlockHeader, BlockKind, MAX_RAW_LEN};
use super::payload::Loader;
use super::source::{Source, read_at};
use crate::format::wire::Reader;

/// Version of the sections' contents. A change of them, or of what a replay counts, takes a new one.
pub const INDEX_VERSION: u32 = 7;
/// Bytes of a seal's payload.
pub const SEAL_LEN: usize = 16;
/// Sections there may be.
const MAX_SECTIONS: usize = 128;
/// Most bytes of a section: this many, and as many times what is stored of it.
const MAX_SECTION_LEN: u64 = 16 << 20;
const MAX_RATIO: u64 = 1000;

/// Where an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// [`INDEX_VERSION`] of the writer.
    pub version: u32,
    /// Blocks of the index.
    pub blocks: u32,
    /// Bytes of the file that were replayed; the first block of the index follows them.
    pub covers: u64,
}

impl Seal {
    /// The payload of its block.
    pub fn encode(&self) -> [u8; SEAL_LEN] {
        let mut bytes = [0; SEAL_LEN];
        bytes[..4].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[8..].copy_from_slice(&self.covers.to_le_bytes());
        bytes
    }

    /// Reads a payload.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self { version: reader.u32()?, blocks: reader.u32()?, covers: reader.u64()? })
    }
}

/// An index whose blocks are known.
#[derive(Debug)]
pub struct Index<S> {
    source: S,
    pub seal: Seal,
    /// Pieces of each section, in order.
    sections: Vec<Vec<(u64, BlockHeader)>>,
}

impl<S: Source> Index<S> {
    /// The index at the end of `source`; `None` when there is none that this version can read.
    pub fn open(source: S) -> io::Result<Option<Self>> {
        const LAST: usize = BLOCK_HEADER_LEN + SEAL_LEN;
        let Some(last_at) = source.size()?.checked_sub(LAST as u64) else { return Ok(None) };
        let mut loader = Loader::new()?;
        let Some(header) = header_at(&source, last_at)? else { return Ok(None) };
        let mut payload = Vec::new();
        let is_seal = header.kind == BlockKind::Seal as u8 && header.stored_len as usize == SEAL_LEN;
        if !is_seal || !loader.load(&source, &header, last_at + BLOCK_HEADER_LEN as u64, &mut payload)? {
            return Ok(None);
        }
        let Some(seal) = Seal::decode(&payload).filter(|seal| seal.version == INDEX_VERSION) else { return Ok(None) };
        let mut index = Self { source, seal, sections: Vec::new() };
        let mut at = seal.covers;
        for _ in 0..seal.blocks {
            let header = if at < last_at { header_at(&index.source, at)? } else { None };
            let Some(header) = header.filter(|header| header.kind == BlockKind::Index as u8) else { return Ok(None) };
            let (section, piece) = (header.stream as usize, header.sequence as usize);
            if section >= MAX_SECTIONS {
                return Ok(None);
            }
            if index.sections.len() <= section {
                index.sections.resize(section + 1, Vec::new());
            }
            match index.sections.get_mut(section).filter(|pieces| pieces.len() == piece) {
                Some(pieces) => pieces.push((at + BLOCK_HEADER_LEN as u64, header)),
                None => return Ok(None),
            }
            at += BLOCK_HEADER_LEN as u64 + u64::from(header.stored_len);
        }
        Ok((at == last_at).then_some(index))
    }

    /// A section's bytes; `None` when they are damaged or too many. A section that was not written is empty.
    pub fn section(&self, number: usize) -> io::Result<Option<Vec<u8>>> {
        let pieces = self.sections.get(number).map_or(&[][..], Vec::as_slice);
        let sum = |of: fn(&BlockHeader) -> u32| pieces.iter().map(|(_, header)| u64::from(of(header))).sum::<u64>();
        if sum(|header| header.raw_len) > MAX_SECTION_LEN + sum(|header| header.stored_len).saturating_mul(MAX_RATIO) {
            return Ok(None);
        }
        let mut loader = Loader::new()?;
        // Not reserved at once: the lengths are the file's word.
        let (mut bytes, mut payload) = (Vec::new(), Vec::new());
        for (at, header) in pieces {
            if !loader.load(&self.source, header, *at, &mut payload)? {
                return Ok(None);
            }
            bytes.extend_from_slice(&payload);
        }
        Ok(Some(bytes))
    }

    /// Bytes of the index in the file.
    pub fn size(&self) -> u64 {
        let stored = self.sections.iter().flatten().map(|(_, header)| u64::from(header.stored_len));
        let blocks = u64::from(self.seal.blocks) + 1;
        stored.sum::<u64>() + blocks * BLOCK_HEADER_LEN as u64 + SEAL_LEN as u64
    }
}

fn header_at(source: &impl Source, at: u64) -> io::Result<Option<BlockHeader>> {
    let mut bytes = [0; BLOCK_HEADER_LEN];
    if read_at(source, &mut bytes, at)? < BLOCK_HEADER_LEN {
        return Ok(None);
    }
    Ok(BlockHeader::decode(&bytes).filter(|header| header.raw_len <= MAX_RAW_LEN))
}

/// The beginning of a source: what an index covers.
#[derive(Debug, Clone, Copy)]
pub struct Prefix<S> {
    source: S,
    len: u64,
}

impl<S: Source> Prefix<S> {
    /// The first `len` bytes.
    pub const fn new(source: S, len: u64) -> Self {
        Self { source, len }
    }
}

impl<S: Source> Source for Prefix<S> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.source.size()?.min(self.len))
    }

    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let room = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        match buffer.get_mut(..room) {
            Some(buffer) if room > 0 => self.source.read_some_at(buffer, offset),
            _ => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::block::FileHeader;
    use crate::capture::writer::Writer;
    use crate::format::VERSION;

    fn file(sections: &[Vec<u8>]) -> Vec<u8> {
        let header = FileHeader { version: VERSION, session: [1; 16], start_unix_ns: 5 };
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        writer.index(sections).unwrap();
        std::mem::take(writer.get_mut())
    }

    #[test]
    fn sections_come_back() {
        let large: Vec<u8> = (0..u64::from(MAX_RAW_LEN) + 7).map(|n| ((n * n) >> 7) as u8).collect();
        let sections = [b"first".to_vec(), Vec::new(), large];
        let bytes = file(&sections);
        let index = Index::open(&bytes[..]).unwrap().unwrap();
        assert_eq!((index.seal.blocks, index.seal.covers, index.size()), (3, 64, bytes.len() as u64 - 64));
        for (number, section) in sections.iter().enumerate() {
            assert!(index.section(number).unwrap().as_ref() == Some(section));
        }
        assert_eq!(index.section(9).unwrap(), Some(Vec::new()));
    }

    #[test]
    fn a_cut_or_flipped_index_is_none() {
        let bytes = file(&[b"first".to_vec(), b"second".to_vec()]);
        for len in 0..bytes.len() {
            assert!(Index::open(&bytes[..len]).unwrap().is_none(), "{len}");
        }
        for at in 64..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let index = Index::open(&flipped[..]).unwrap();
            let whole = |index: &Index<&[u8]>| (0..2).all(|number| index.section(number).unwrap().is_some());
            assert!(!index.as_ref().is_some_and(whole), "{at}");
        }
    }

    #[test]
    fn a_prefix_ends_where_it_says() {
        let prefix = Prefix::new(&b"abcdef"[..], 4);
        let mut buffer = [0; 9];
        assert_eq!((prefix.size().unwrap(), read_at(&prefix, &mut buffer, 1).unwrap()), (4, 3));
        assert_eq!(&buffer[..3], b"bcd");
        assert_eq!(read_at(&prefix, &mut buffer, 4).unwrap(), 0);
    }
}
