//! From a block's stored bytes to its payload: check sum, then decompression into a bounded buffer.

use std::fmt;
use std::io;

use super::block::{BlockHeader, BlockKind, Codec, MAX_RAW_LEN};
use super::source::{Source, read_at};
use super::unpack::Unpacker;
use crate::format::lanes::LARGE_CHUNK;

/// Reads payloads, one at a time, reusing its buffers.
pub struct Loader {
    stored: Vec<u8>,
    zstd: zstd::bulk::Decompressor<'static>,
    unpacker: Unpacker,
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").finish_non_exhaustive()
    }
}

impl Loader {
    /// Nothing loaded yet. Fails when zstd's context cannot be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self { stored: Vec::new(), zstd: zstd::bulk::Decompressor::new()?, unpacker: Unpacker::new() })
    }

    /// Replaces `payload` by what the block stores at `at`. False: the stored bytes are damaged, or in a form that
    /// this version does not know; `payload` is then empty.
    pub fn load(
        &mut self,
        source: &impl Source,
        header: &BlockHeader,
        at: u64,
        payload: &mut Vec<u8>,
    ) -> io::Result<bool> {
        payload.clear();
        let (stored_len, raw_len) = (header.stored_len as usize, header.raw_len as usize);
        // Lengths are bounded by `BlockHeader::decode`; events are at most one chunk.
        let limit = if header.kind == BlockKind::Events as u8 { LARGE_CHUNK } else { MAX_RAW_LEN as usize };
        if raw_len > limit {
            return Ok(false);
        }
        let raw = header.codec == Codec::Raw as u8;
        let target = if raw { &mut *payload } else { &mut self.stored };
        target.clear();
        target.resize(stored_len, 0);
        let whole = read_at(source, target, at)? == stored_len && crc32c::crc32c(target) == header.payload_crc;
        let good = whole
            && if raw {
                stored_len == raw_len
            } else if header.codec == Codec::Zstd as u8 {
                payload.reserve_exact(raw_len);
                self.zstd.decompress_to_buffer(&self.stored, payload).is_ok() && payload.len() == raw_len
            } else if header.codec == Codec::Columns as u8 && header.kind == BlockKind::Events as u8 {
                self.unpacker.read(&self.stored, &mut self.zstd, raw_len, payload).is_some()
            } else {
                false
            };
        if !good {
            payload.clear();
        }
        Ok(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: BlockKind, codec: Codec, stored: &[u8], raw_len: usize) -> BlockHeader {
        BlockHeader {
            kind: kind as u8,
            codec: codec as u8,
            stored_len: stored.len() as u32,
            raw_len: raw_len as u32,
            payload_crc: crc32c::crc32c(stored),
            ..BlockHeader::default()
        }
    }

    fn load(header: &BlockHeader, stored: &[u8]) -> Option<Vec<u8>> {
        let mut payload = vec![1, 2, 3];
        let good = Loader::new().unwrap().load(&stored, header, 0, &mut payload).unwrap();
        assert!(good || payload.is_empty());
        good.then_some(payload)
    }

    #[test]
    fn raw_and_zstd() {
        let text = b"one one one one one one".to_vec();
        let packed = zstd::bulk::compress(&text, 1).unwrap();
        assert_eq!(load(&header(BlockKind::Meta, Codec::Raw, &text, text.len()), &text), Some(text.clone()));
        assert_eq!(load(&header(BlockKind::Meta, Codec::Zstd, &packed, text.len()), &packed), Some(text));
    }

    #[test]
    fn damage_is_noticed() {
        let text = vec![7; 1000];
        let packed = zstd::bulk::compress(&text, 1).unwrap();
        // Wrong lengths either way, a flipped byte, an unknown codec, a file that ends early.
        assert_eq!(load(&header(BlockKind::Meta, Codec::Raw, &text, 999), &text), None);
        assert_eq!(load(&header(BlockKind::Meta, Codec::Zstd, &packed, 999), &packed), None);
        assert_eq!(load(&header(BlockKind::Meta, Codec::Zstd, &packed, 1001), &packed), None);
        let good = header(BlockKind::Meta, Codec::Zstd, &packed, 1000);
        let mut flipped = packed.clone();
        flipped[3] ^= 1;
        assert_eq!(load(&good, &flipped), None);
        assert_eq!(load(&BlockHeader { codec: 9, ..good }, &packed), None);
        assert_eq!(load(&good, &packed[..packed.len() - 1]), None);
    }

    #[test]
    fn events_are_at_most_one_chunk() {
        let bomb = zstd::bulk::compress(&vec![0x10; 1 << 20], 1).unwrap();
        assert_eq!(load(&header(BlockKind::Events, Codec::Zstd, &bomb, 1 << 20), &bomb), None);
    }
}
