//! Finds the blocks of a file: hops from header to header, and behind damage searches the next valid one.
//!
//! Trusts nothing but a header whose check sum is right and whose payload lies inside the file. Reads headers only.

use std::io;

use super::block::{BLOCK_HEADER_LEN, BLOCK_MAGIC, BlockHeader, FILE_HEADER_LEN};
use super::source::{Source, read_at};

/// A valid header and where its payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Offset of the header in the file.
    pub at: u64,
    /// The header.
    pub header: BlockHeader,
}

impl Found {
    /// Offset of the payload in the file.
    pub const fn payload_at(&self) -> u64 {
        self.at + BLOCK_HEADER_LEN as u64
    }

    /// Offset behind the block.
    pub const fn end(&self) -> u64 {
        self.payload_at() + self.header.stored_len as u64
    }
}

/// A place in the file where no block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Offset of its first byte.
    pub at: u64,
    /// Bytes up to the next block or the end of the file.
    pub len: u64,
}

/// What comes next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// A block.
    Block(Found),
    /// Bytes that are no block, with a block behind them.
    Damage(Hole),
    /// The file ends inside a block, or with bytes that are none.
    Tail(Hole),
}

/// Walks over the blocks of a file, in order.
#[derive(Debug)]
pub struct Scan<S> {
    source: S,
    at: u64,
    end: u64,
    /// The block behind a hole that was answered last.
    ahead: Option<Found>,
}

/// Bytes looked at in one go when searching behind damage.
const WINDOW: usize = 64 << 10;

impl<S: Source> Scan<S> {
    /// Starts behind the file header and goes up to `end`, the size of the file.
    pub fn new(source: S, end: u64) -> Self {
        Self { source, at: FILE_HEADER_LEN as u64, end, ahead: None }
    }

    /// The next piece; `None` at the end.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece>> {
        if let Some(found) = self.ahead.take() {
            self.at = found.end();
            return Ok(Some(Piece::Block(found)));
        }
        if self.at >= self.end {
            return Ok(None);
        }
        if let Some(found) = self.block_at(self.at)? {
            self.at = found.end();
            return Ok(Some(Piece::Block(found)));
        }
        let from = self.at;
        self.ahead = self.search(from + 1)?;
        self.at = self.ahead.map_or(self.end, |found| found.at);
        let hole = Hole { at: from, len: self.at - from };
        Ok(Some(if self.ahead.is_some() { Piece::Damage(hole) } else { Piece::Tail(hole) }))
    }

    fn block_at(&self, at: u64) -> io::Result<Option<Found>> {
        let mut bytes = [0; BLOCK_HEADER_LEN];
        if read_at(&self.source, &mut bytes, at)? < BLOCK_HEADER_LEN {
            return Ok(None);
        }
        let found = BlockHeader::decode(&bytes).map(|header| Found { at, header });
        Ok(found.filter(|found| found.end() <= self.end))
    }

    /// The first valid block at or behind `from`.
    fn search(&self, mut from: u64) -> io::Result<Option<Found>> {
        let mut window = vec![0; WINDOW];
        while from.saturating_add(BLOCK_HEADER_LEN as u64) <= self.end {
            let len = read_at(&self.source, &mut window, from)?;
            let bytes = window.get(..len).unwrap_or(&[]);
            for (at, _) in bytes.windows(BLOCK_MAGIC.len()).enumerate().filter(|(_, word)| *word == BLOCK_MAGIC) {
                if let Some(found) = self.block_at(from + at as u64)? {
                    return Ok(Some(found));
                }
            }
            if len < BLOCK_HEADER_LEN {
                break;
            }
            // The magic may lie across two windows.
            from += (len - (BLOCK_MAGIC.len() - 1)) as u64;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of three blocks with 10, 200 000 and 0 bytes; offsets of their headers.
    fn file() -> (Vec<u8>, [usize; 3]) {
        let mut bytes = vec![0; FILE_HEADER_LEN];
        let places = [10u32, 200_000, 0].map(|len| {
            let at = bytes.len();
            let header = BlockHeader { stored_len: len, raw_len: len, ..BlockHeader::default() };
            bytes.extend_from_slice(&header.encode());
            // Magics inside payloads are no blocks.
            bytes.extend(BLOCK_MAGIC.iter().cycle().take(len as usize));
            at
        });
        (bytes, places)
    }

    fn walk(bytes: &[u8]) -> String {
        let mut scan = Scan::new(bytes, bytes.len() as u64);
        let mut text = String::new();
        while let Some(piece) = scan.next_piece().unwrap() {
            text += &match piece {
                Piece::Block(found) => format!("block {} ", found.header.stored_len),
                Piece::Damage(hole) => format!("damage {}+{} ", hole.at, hole.len),
                Piece::Tail(hole) => format!("tail {}+{} ", hole.at, hole.len),
            };
        }
        text.trim_end().to_owned()
    }

    #[test]
    fn hops_from_block_to_block() {
        assert_eq!(walk(&file().0), "block 10 block 200000 block 0");
        assert_eq!(walk(&[0; FILE_HEADER_LEN]), "");
    }

    #[test]
    fn finds_the_way_behind_damage() {
        let (good, [first, second, third]) = file();
        let flip = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 4;
            walk(&bytes)
        };
        assert_eq!(flip(first + 9), "damage 64+90 block 200000 block 0");
        assert_eq!(flip(second), "block 10 damage 154+200080 block 0");
        assert_eq!(flip(third + 79), "block 10 block 200000 tail 200234+80");
    }

    #[test]
    fn any_cut_leaves_the_blocks_before_it() {
        let (good, [first, second, third]) = file();
        assert_eq!(walk(&good[..first + 1]), "tail 64+1");
        assert_eq!(walk(&good[..second]), "block 10");
        assert_eq!(walk(&good[..second + 80]), "block 10 tail 154+80");
        assert_eq!(walk(&good[..third - 1]), "block 10 tail 154+200079");
    }
}
