//! Decodes one stream: block after block, record after record, and notices what is missing between them.
//!
//! Delta coding starts anew with each chunk; a chunk's later parts go on where the part before them ended. So after a
//! missing part nothing can be read until the next chunk starts, and after anything missing the stream's stack ids may
//! mean something else: the cursor says so, its reader forgets them.

use std::io;

use super::ahead::Ahead;
use super::columns::{Field, Input, fields};
use super::payload::Loader;
use super::reader::EventBlock;
use super::source::Source;
use crate::format::record::decode;
use crate::format::{Deltas, Record};

/// What could not be read of the blocks that were met, summed over streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// Blocks whose payload is damaged, or of which the part that it continues is missing.
    pub blocks: u64,
    /// Records in those blocks, as their headers say.
    pub records: u64,
    /// Places in streams where chunks or parts of chunks are not in the file.
    pub gaps: u64,
    /// Blocks with bytes that are no record; the rest of such a block is not read.
    pub broken: u64,
}

impl Missing {
    /// Whether nothing is.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// How a block follows what was read of its stream before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Continues the part before it.
    Part,
    /// The next chunk.
    Chunk,
    /// A chunk; something may be missing before it.
    Suspect,
    /// A chunk; something is missing before it.
    Gap,
    /// Continues a part that is missing.
    Orphan,
}

/// Where a stream stands, for judging the next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Chain {
    last: Option<u32>,
    end: u32,
    holes: u32,
    /// Everything up to here was decoded.
    whole: bool,
    /// The next chunk has to be taken as the first after a loss.
    lost: bool,
}

impl Chain {
    pub(crate) const START: Self = Self { last: None, end: 0, holes: 0, whole: true, lost: false };

    fn link(&self, block: &EventBlock) -> Link {
        let (sequence, offset) = (block.sequence, block.offset);
        if offset != 0 {
            let follows = self.last == Some(sequence) && self.end == offset && self.whole;
            return if follows { Link::Part } else { Link::Orphan };
        }
        match self.last {
            None if sequence == 0 => Link::Chunk,
            Some(last) if last.checked_add(1) == Some(sequence) => {
                // A hole in between may have been the last part of the chunk before.
                if self.lost || self.holes != block.holes { Link::Suspect } else { Link::Chunk }
            }
            _ => Link::Gap,
        }
    }

    /// The block cannot be read.
    fn skip(&mut self, block: &EventBlock) {
        (self.last, self.end, self.holes) = (Some(block.sequence), 0, block.holes);
        (self.whole, self.lost) = (false, true);
    }
}

/// What [`enter`] found out about a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// Something is missing, or may be, since the block before: stack ids are void.
    pub lost: bool,
}

/// Loads `block` and sets `deltas` to decode it; `None` when it cannot be read, which is counted.
fn enter(
    block: &EventBlock,
    (chain, deltas): (&mut Chain, &mut Deltas),
    (ahead, loader): (&Ahead<'_, impl Source>, &mut Loader),
    payload: &mut Vec<u8>,
    missing: &mut Missing,
) -> io::Result<Option<Entered>> {
    let link = chain.link(block);
    let first_orphan = link == Link::Orphan && chain.whole;
    if link == Link::Gap || first_orphan {
        missing.gaps += 1;
    }
    let orphan = link == Link::Orphan;
    if orphan {
        ahead.skip(block);
    }
    if orphan || !ahead.take(block, loader, payload)? {
        missing.blocks += 1;
        missing.records += u64::from(block.count);
        chain.skip(block);
        payload.clear();
        return Ok(None);
    }
    if link != Link::Part {
        *deltas = Deltas::at_chunk_start(block.first_epoch, block.first_time);
    }
    let lost = matches!(link, Link::Suspect | Link::Gap) || chain.lost;
    let end = block.offset.saturating_add(block.raw_len);
    *chain = Chain { last: Some(block.sequence), end, holes: block.holes, whole: true, lost: false };
    Ok(Some(Entered { lost }))
}

/// Where a cursor stands between two records, for another one to go on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stand {
    /// Blocks of the stream that were taken into hand or left out.
    pub(crate) taken: u32,
    /// Bytes of the block in hand that were read.
    at: u32,
    deltas: Deltas,
    chain: Chain,
}

impl Stand {
    /// The number of the first block that is still needed: the one in hand.
    pub(crate) fn first_wanted(&self) -> usize {
        (self.taken as usize).saturating_sub(1)
    }
}

fields!(Deltas: address, stack, epoch, time);
fields!(Chain: last, end, holes, whole, lost);
fields!(Stand: taken, at, deltas, chain);

/// Reads one stream, front to back. Holds one block's payload.
#[derive(Debug)]
pub struct Cursor {
    blocks: std::vec::IntoIter<EventBlock>,
    /// How many there were.
    count: usize,
    payload: Vec<u8>,
    at: usize,
    /// Where the last record started.
    last: usize,
    deltas: Deltas,
    chain: Chain,
}

impl Cursor {
    /// Starts before the first of `blocks`, which are one stream's, in order.
    pub fn new(blocks: Vec<EventBlock>) -> Self {
        Self {
            count: blocks.len(),
            blocks: blocks.into_iter(),
            payload: Vec::new(),
            at: 0,
            last: 0,
            deltas: Deltas::default(),
            chain: Chain::START,
        }
    }

    /// Where it stands.
    pub(crate) fn stand(&self) -> Stand {
        // Neither a stream's blocks nor a block's bytes are more than their headers can count.
        let taken = (self.count - self.blocks.len()) as u32;
        Stand { taken, at: self.at as u32, deltas: self.deltas, chain: self.chain }
    }

    /// Goes from the first block to where another cursor over the same ones stood. Answers the bytes of blocks ahead.
    pub(crate) fn go_to(
        &mut self,
        stand: &Stand,
        (ahead, loader): (&Ahead<'_, impl Source>, &mut Loader),
    ) -> io::Result<u64> {
        (self.deltas, self.chain) = (stand.deltas, stand.chain);
        let in_hand = (stand.taken as usize).checked_sub(1).and_then(|last| self.blocks.nth(last));
        if let Some(block) = in_hand {
            ahead.take(&block, loader, &mut self.payload)?;
            (self.at, self.last) = (stand.at as usize, stand.at as usize);
        }
        Ok(self.blocks.as_slice().iter().map(|block| u64::from(block.stored_len)).sum())
    }

    /// A lower bound of the next record's epoch; `None` at the end of the stream.
    pub fn next_epoch(&self) -> Option<u64> {
        if self.at < self.payload.len() {
            return Some(self.deltas.epoch);
        }
        self.blocks.as_slice().first().map(|block| block.first_epoch)
    }

    /// Whether the block in hand has been read to its end.
    pub fn needs_block(&self) -> bool {
        self.at >= self.payload.len()
    }

    /// Time before the next record, nanoseconds since the session's start.
    pub fn time(&self) -> u64 {
        self.deltas.time
    }

    /// Takes the next block that can be read into hand; `None` at the end of the stream.
    pub(crate) fn next_block(
        &mut self,
        ahead: &Ahead<'_, impl Source>,
        loader: &mut Loader,
        missing: &mut Missing,
    ) -> io::Result<Option<(Entered, EventBlock)>> {
        self.at = 0;
        for block in self.blocks.by_ref() {
            let state = (&mut self.chain, &mut self.deltas);
            if let Some(entered) = enter(&block, state, (ahead, loader), &mut self.payload, missing)? {
                return Ok(Some((entered, block)));
            }
        }
        self.payload = Vec::new();
        Ok(None)
    }

    /// The next record of the block in hand; `None` at its end.
    #[inline(always)]
    pub fn record(&mut self, missing: &mut Missing) -> Option<Record<'_>> {
        let rest = self.payload.get(self.at..)?;
        match decode(&mut self.deltas, rest) {
            Ok(Some((record, len))) => {
                (self.last, self.at) = (self.at, self.at + len);
                Some(record)
            }
            Ok(None) => {
                self.at = self.payload.len();
                None
            }
            Err(_) => {
                missing.broken += 1;
                (self.chain.whole, self.chain.lost) = (false, true);
                self.at = self.payload.len();
                None
            }
        }
    }

    /// Makes the last record the next one again. Not for the records that step the delta coding: those are gone.
    pub fn unread(&mut self) {
        self.at = self.last;
    }

    /// The records that follow in the block in hand, without taking them.
    pub fn ahead(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = self.payload.get(self.at..).unwrap_or(&[]);
        let mut deltas = self.deltas;
        std::iter::from_fn(move || {
            let (record, len) = decode(&mut deltas, rest).ok()??;
            rest = rest.get(len..)?;
            Some(record)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::block::Codec;
    use crate::format::record::write_gap;

    /// Stores one gap record per `(sequence, offset, holes)` and tells which of them a cursor answers. The record's
    /// number is the block's place in the list; `!` marks a loss before it, `x` a damaged payload.
    fn read(blocks: &[(u32, u32, u32)], damaged: &[usize]) -> (String, Missing) {
        let mut file = Vec::new();
        let mut refs = Vec::new();
        for (n, &(sequence, offset, holes)) in blocks.iter().enumerate() {
            let mut bytes = [0; 11];
            assert_eq!(write_gap(&mut bytes, n as u64), Some(11));
            refs.push(EventBlock {
                at: file.len() as u64,
                stored_len: 11,
                raw_len: 11,
                payload_crc: crc32c::crc32c(&bytes) ^ u32::from(damaged.contains(&n)),
                codec: Codec::Raw as u8,
                sequence,
                offset,
                count: 1,
                first_epoch: 0,
                first_time: 0,
                holes,
            });
            file.extend_from_slice(&bytes);
        }
        let mut cursor = Cursor::new(refs);
        let (mut missing, mut text) = (Missing::default(), String::new());
        let mut loader = Loader::new().unwrap();
        let order = cursor.blocks.as_slice().to_vec();
        Ahead::while_decoding(&&file[..], order, |ahead| {
            while let Some((entered, _)) = cursor.next_block(ahead, &mut loader, &mut missing).unwrap() {
                while let Some(record) = cursor.record(&mut missing) {
                    let Record::Gap { lost } = record else { panic!("{record:?}") };
                    text += if entered.lost { " !" } else { " " };
                    text += &lost.to_string();
                }
            }
        });
        (text.trim_start().to_owned(), missing)
    }

    #[track_caller]
    fn check(blocks: &[(u32, u32, u32)], damaged: &[usize], expected: &str, missing: Missing) {
        assert_eq!(read(blocks, damaged), (expected.to_owned(), missing));
    }

    const NONE: Missing = Missing { blocks: 0, records: 0, gaps: 0, broken: 0 };

    #[test]
    fn whole_streams() {
        check(&[], &[], "", NONE);
        check(&[(0, 0, 0), (1, 0, 0), (1, 11, 0), (1, 22, 0), (2, 0, 0)], &[], "0 1 2 3 4", NONE);
        // Damage before a stream started is not its own.
        check(&[(0, 0, 3), (1, 0, 3)], &[], "0 1", NONE);
    }

    #[test]
    fn missing_chunks_and_parts() {
        check(&[(0, 0, 0), (2, 0, 1), (3, 0, 1)], &[], "0 !1 2", Missing { gaps: 1, ..NONE });
        check(&[(3, 0, 0)], &[], "!0", Missing { gaps: 1, ..NONE });
        // A part without the one before it waits for the next chunk.
        let orphan = Missing { blocks: 2, records: 2, gaps: 1, broken: 0 };
        check(&[(0, 0, 0), (0, 22, 1), (0, 33, 1), (1, 0, 1)], &[], "0 !3", orphan);
        // The last part of a chunk may be in a hole: nobody can know.
        check(&[(0, 0, 0), (1, 0, 1), (1, 11, 1), (2, 0, 1)], &[], "0 !1 2 3", NONE);
    }

    #[test]
    fn damaged_payloads() {
        let one = Missing { blocks: 1, records: 1, ..NONE };
        check(&[(0, 0, 0), (1, 0, 0), (2, 0, 0)], &[1], "0 !2", one);
        check(&[(0, 0, 0), (0, 11, 0), (1, 0, 0)], &[1], "0 !2", one);
        check(&[(0, 0, 0), (0, 11, 0), (1, 0, 0)], &[0], "!2", Missing { blocks: 2, records: 2, ..NONE });
        check(&[(0, 0, 0)], &[0], "", one);
    }
}
