//! Writes the blocks of a capture: encoding, compression, check sums. Append-only: one `write_all` per block, so a
//! sink that refuses a block as a whole leaves the file ending with a whole block.
//!
//! Knows nothing of files, threads or time.

use std::io::{self, Write};

use super::block::{BLOCK_HEADER_LEN, BlockHeader, BlockKind, Codec, FileHeader, MAX_RAW_LEN};
use super::index::{INDEX_VERSION, Seal};
use super::meta::Meta;
use super::pack::Packer;

/// zstd's fastest regular level: the collector shares the machine with the program.
const LEVEL: i32 = 1;

/// Shorter payloads are stored as they are: zstd saves little there, and a small program's capture then never needs the
/// compressor's megabyte of tables.
const WORTH_COMPRESSING: usize = 512;

/// Where records come from and what they cover; see [`BlockHeader`] for each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Events {
    pub stream: u32,
    pub image: u32,
    pub tid: u32,
    pub sequence: u32,
    pub offset: u32,
    pub count: u32,
    pub first_epoch: u64,
    pub last_epoch: u64,
    pub first_time: u64,
    pub last_time: u64,
}

/// Appends blocks to `out`.
pub struct Writer<W> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
    /// Made with the first block that is packed: it is large, and a capture of few events needs none.
    packer: Option<Packer>,
    block: Vec<u8>,
    written: u64,
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("written", &self.written).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Starts a capture.
    pub fn new(mut out: W, header: &FileHeader) -> io::Result<Self> {
        let bytes = header.encode();
        out.write_all(&bytes)?;
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        Ok(Self { out, compressor, packer: None, block: Vec::new(), written: bytes.len() as u64 })
    }

    /// Goes on with a capture that has `written` bytes already.
    pub fn behind(out: W, written: u64) -> io::Result<Self> {
        Ok(Self { out, compressor: zstd::bulk::Compressor::new(LEVEL)?, packer: None, block: Vec::new(), written })
    }

    /// Bytes of the capture so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The sink.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Appends records of one stream, at most [`MAX_RAW_LEN`] bytes. `Codec::Raw` when there is no time
    /// to compress, `Codec::Columns` otherwise.
    pub fn events(&mut self, events: &Events, records: &[u8], codec: Codec) -> io::Result<()> {
        let header = BlockHeader {
            stream: events.stream,
            image: events.image,
            tid: events.tid,
            sequence: events.sequence,
            offset: events.offset,
            count: events.count,
            first_epoch: events.first_epoch,
            last_epoch: events.last_epoch,
            first_time: events.first_time,
            last_time: events.last_time,
            ..other(BlockKind::Events)
        };
        self.append(header, records, codec)
    }

    /// Marks a place where the capture that is copied has no block.
    pub fn damage(&mut self) -> io::Result<()> {
        self.written += 1;
        self.out.write_all(&[0])
    }

    /// Appends a metadata frame.
    pub fn meta(&mut self, meta: &Meta) -> io::Result<()> {
        self.append(other(BlockKind::Meta), &meta.encode(), Codec::Zstd)
    }

    /// Appends the piece at `offset` of the file of module `number`, less than [`MAX_RAW_LEN`] by 12 bytes.
    pub fn module_data(&mut self, number: u32, offset: u64, piece: &[u8]) -> io::Result<()> {
        let payload = [&number.to_le_bytes(), &offset.to_le_bytes()[..], piece].concat();
        self.append(other(BlockKind::ModuleData), &payload, Codec::Zstd)
    }

    /// Appends an index with these sections, numbered from 0, and its seal. What is written so far is what it covers.
    pub fn index(&mut self, sections: &[Vec<u8>]) -> io::Result<()> {
        let mut seal = Seal { version: INDEX_VERSION, blocks: 0, covers: self.written };
        for (section, bytes) in (0..).zip(sections) {
            for (piece, bytes) in (0..).zip(bytes.chunks(MAX_RAW_LEN as usize)) {
                let header = BlockHeader { stream: section, sequence: piece, ..other(BlockKind::Index) };
                self.append(header, bytes, Codec::Zstd)?;
                seal.blocks += 1;
            }
        }
        self.append(other(BlockKind::Seal), &seal.encode(), Codec::Raw)
    }

    fn append(&mut self, mut header: BlockHeader, payload: &[u8], codec: Codec) -> io::Result<()> {
        header.raw_len = u32::try_from(payload.len()).ok().filter(|len| *len <= MAX_RAW_LEN).ok_or_else(too_long)?;
        self.block.clear();
        self.block.resize(BLOCK_HEADER_LEN, 0);
        header.codec = self.store(payload, codec)? as u8;
        let (front, stored) = self.block.split_at_mut(BLOCK_HEADER_LEN);
        // Stored payloads are as long as raw ones or shorter.
        header.stored_len = stored.len() as u32;
        header.payload_crc = crc32c::crc32c(stored);
        front.copy_from_slice(&header.encode());
        self.out.write_all(&self.block)?;
        self.written += self.block.len() as u64;
        Ok(())
    }

    /// Puts the payload behind the header's room, compressed if that is wanted and makes it smaller.
    fn store(&mut self, payload: &[u8], codec: Codec) -> io::Result<Codec> {
        let is_worth_it = payload.len() >= WORTH_COMPRESSING;
        let wanted = (codec == Codec::Columns && is_worth_it).then(|| self.packer.get_or_insert_with(Packer::new));
        if let Some(packer) = wanted.and_then(|packer| packer.sort(payload).then_some(packer)) {
            packer.write(&mut self.compressor, &mut self.block)?;
            if self.block.len() - BLOCK_HEADER_LEN < payload.len() {
                return Ok(Codec::Columns);
            }
        } else if codec != Codec::Raw && is_worth_it {
            let bound = zstd::zstd_safe::compress_bound(payload.len());
            self.block.resize(BLOCK_HEADER_LEN + bound, 0);
            let room = self.block.get_mut(BLOCK_HEADER_LEN..).unwrap_or_default();
            let len = self.compressor.compress_to_buffer(payload, room)?;
            if len < payload.len() {
                self.block.truncate(BLOCK_HEADER_LEN + len);
                return Ok(Codec::Zstd);
            }
        }
        self.block.truncate(BLOCK_HEADER_LEN);
        self.block.extend_from_slice(payload);
        Ok(Codec::Raw)
    }
}

fn other(kind: BlockKind) -> BlockHeader {
    BlockHeader { kind: kind as u8, ..BlockHeader::default() }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a block's payload is longer than the format allows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::block::FILE_HEADER_LEN;
    use crate::format::VERSION;

    fn header() -> FileHeader {
        FileHeader { version: VERSION, session: [7; 16], start_unix_ns: 1 }
    }

    /// Header and decoded payload of every block behind the file header.
    fn blocks(mut bytes: &[u8]) -> Vec<(BlockHeader, Vec<u8>)> {
        let mut found = Vec::new();
        bytes = &bytes[FILE_HEADER_LEN..];
        while let Some((front, rest)) = bytes.split_first_chunk::<BLOCK_HEADER_LEN>() {
            let header = BlockHeader::decode(front).expect("a valid header");
            let (stored, rest) = rest.split_at(header.stored_len as usize);
            assert_eq!(header.payload_crc, crc32c::crc32c(stored));
            let payload = match header.codec {
                0 => stored.to_vec(),
                _ => zstd::bulk::decompress(stored, header.raw_len as usize).expect("a zstd frame"),
            };
            assert_eq!(payload.len(), header.raw_len as usize);
            found.push((header, payload));
            bytes = rest;
        }
        assert!(bytes.is_empty());
        found
    }

    #[test]
    fn blocks_come_back_as_they_were() {
        let events = Events { stream: 3, image: 1, tid: 77, sequence: 2, offset: 16, count: 5, ..Events::default() };
        let long = vec![0x42; 5000];
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        writer.events(&events, &long, Codec::Zstd).unwrap();
        writer.events(&events, &long, Codec::Raw).unwrap();
        writer.events(&events, b"short", Codec::Zstd).unwrap();
        writer.meta(&Meta::Warning { text: "w".repeat(2000) }).unwrap();
        writer.module_data(4, 1 << 33, b"elf").unwrap();
        assert_eq!(writer.written(), writer.out.len() as u64);

        let found = blocks(&writer.out);
        let shape: Vec<_> = found.iter().map(|(h, p)| (h.kind, h.codec, p.len())).collect();
        assert_eq!(shape, [(1, 1, 5000), (1, 0, 5000), (1, 0, 5), (2, 1, 2012), (3, 0, 15)]);
        assert_eq!((found[0].0.stream, found[0].0.tid, found[0].0.offset, found[0].0.count), (3, 77, 16, 5));
        assert_eq!(Meta::decode(&found[3].1), Some(Meta::Warning { text: "w".repeat(2000) }));
        assert_eq!(found[4].1, [&[4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], &b"elf"[..]].concat());
    }

    #[test]
    fn what_does_not_compress_is_stored_raw() {
        let noise: Vec<u8> = (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        writer.events(&Events::default(), &noise, Codec::Zstd).unwrap();
        let found = blocks(&writer.out);
        assert!(found[0].0.stored_len <= found[0].0.raw_len);
        assert_eq!(found[0].1, noise);
    }

    #[test]
    fn too_long_a_payload_is_refused_whole() {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        let error = writer.events(&Events::default(), &vec![0; MAX_RAW_LEN as usize + 1], Codec::Raw).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(writer.out.len(), FILE_HEADER_LEN);
    }
}
