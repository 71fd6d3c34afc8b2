//! Puts the lengths and check sums of a capture's blocks right, so that what lies behind them is reached.

use tracker_core::capture::block::{
    BLOCK_HEADER_LEN, BLOCK_MAGIC, BlockHeader, BlockKind, Codec, FILE_HEADER_LEN, FileHeader,
};
use tracker_core::capture::index::{INDEX_VERSION, Seal};
use tracker_core::capture::payload::Loader;
use tracker_core::capture::scan::{Piece, Scan};
use tracker_core::format::VERSION;

/// Every place in `bytes` that starts like a block becomes a valid block up to the next one; the start becomes a file
/// header.
pub fn repair(bytes: &mut Vec<u8>) {
    if bytes.len() < FILE_HEADER_LEN {
        bytes.resize(FILE_HEADER_LEN, 0);
    }
    let header = FileHeader { version: VERSION, session: [0; 16], start_unix_ns: 0 };
    bytes[..FILE_HEADER_LEN].copy_from_slice(&header.encode());

    let starts = bytes.windows(BLOCK_MAGIC.len()).enumerate().filter(|(_, word)| *word == BLOCK_MAGIC);
    let mut starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    // A block that starts inside the header of another one is none.
    starts.dedup_by(|later, earlier| *later < *earlier + BLOCK_HEADER_LEN);
    starts.push(bytes.len());
    for pair in starts.windows(2) {
        if let Some(block) = bytes.get_mut(pair[0]..pair[1]).filter(|block| block.len() >= BLOCK_HEADER_LEN) {
            repair_block(block);
        }
    }
}

fn repair_block(block: &mut [u8]) {
    let (header, payload) = block.split_at_mut(BLOCK_HEADER_LEN);
    let len = (payload.len() as u32).to_le_bytes();
    header[8..12].copy_from_slice(&len);
    if header[5] == Codec::Raw as u8 {
        header[12..16].copy_from_slice(&len);
    }
    header[72..76].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    let sum = crc32c::crc32c(&header[..76]);
    header[76..80].copy_from_slice(&sum.to_le_bytes());
}

/// Ends `bytes`, whose blocks are valid, with a seal of all index blocks, as long as they lie together.
pub(crate) fn seal(bytes: &mut Vec<u8>) {
    let mut seal = Seal { version: INDEX_VERSION, blocks: 0, covers: bytes.len() as u64 };
    let mut scan = Scan::new(&bytes[..], bytes.len() as u64);
    let mut end = bytes.len();
    while let Some(piece) = scan.next_piece().expect("memory can be read") {
        match piece {
            Piece::Block(found) if found.header.kind == BlockKind::Index as u8 => {
                seal.covers = seal.covers.min(found.at);
                seal.blocks += 1;
                end = found.end() as usize;
            }
            _ if seal.blocks > 0 => break,
            _ => {}
        }
    }
    bytes.truncate(end);
    let payload = seal.encode();
    let len = payload.len() as u32;
    let header = BlockHeader {
        kind: BlockKind::Seal as u8,
        codec: Codec::Raw as u8,
        stored_len: len,
        raw_len: len,
        payload_crc: crc32c::crc32c(&payload),
        ..BlockHeader::default()
    };
    bytes.extend_from_slice(&header.encode());
    bytes.extend_from_slice(&payload);
}

/// The index of a sealed capture and nothing else, not compressed.
pub fn index_of(capture: &[u8]) -> Vec<u8> {
    blocks_of(capture, |kind| kind == BlockKind::Index as u8)
}

/// The same capture with no block compressed: what is changed then is a record and not a compressor's bit.
pub fn raw(capture: &[u8]) -> Vec<u8> {
    blocks_of(capture, |_| true)
}

fn blocks_of(capture: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut bytes = capture[..FILE_HEADER_LEN].to_vec();
    let mut scan = Scan::new(capture, capture.len() as u64);
    let mut loader = Loader::new().expect("a decompressor");
    let mut payload = Vec::new();
    while let Some(piece) = scan.next_piece().expect("memory can be read") {
        let Piece::Block(found) = piece else { continue };
        if !wanted(found.header.kind) {
            continue;
        }
        if loader.load(&capture, &found.header, found.payload_at(), &mut payload).expect("memory can be read") {
            let len = payload.len() as u32;
            let payload_crc = crc32c::crc32c(&payload);
            let header =
                BlockHeader { codec: Codec::Raw as u8, stored_len: len, raw_len: len, payload_crc, ..found.header };
            bytes.extend_from_slice(&header.encode());
            bytes.extend_from_slice(&payload);
        }
    }
    bytes
}
