//! Records from the columns that [`pack`](super::pack) sorts them into: the very bytes that were packed.
//!
//! Reads foreign bytes: whatever they are, there is an answer, and no more room is taken than the block's header says.

use super::pack::{
    ALLOC_ADDRESS_LEN, BEHIND, COLUMNS, FREE, FREE_ADDRESS_LEN, NEWEST, NEXT_EPOCH, OTHER, REUSED, SAME_SIZE, SIZE_LEN,
    STACK_LEN,
};
use super::predict::Predictor;
use crate::format::record;
use crate::format::wire::Reader;
use crate::format::{Encoded, varint};

/// One column while it is read.
#[derive(Default)]
struct Values {
    /// The column, and room behind it for the last value to be read as eight bytes.
    bytes: Vec<u8>,
    len: usize,
    at: usize,
}

const PAST: usize = 8;

impl Values {
    /// Takes a column of `len` bytes in hand.
    fn load(&mut self, stored: &[u8], len: usize, zstd: &mut zstd::bulk::Decompressor<'static>) -> Option<()> {
        (self.len, self.at) = (len, 0);
        self.bytes.clear();
        self.bytes.reserve_exact(len + PAST);
        if stored.len() == len {
            self.bytes.extend_from_slice(stored);
        } else {
            zstd.decompress_to_buffer(stored, &mut self.bytes).ok()?;
        }
        let whole = self.bytes.len() == len;
        self.bytes.extend_from_slice(&[0; PAST]);
        whole.then_some(())
    }

    /// The next `len` bytes as a number, at most eight. Where too few are left, the end is not where it should be.
    #[inline(always)]
    fn take(&mut self, len: usize) -> Option<u64> {
        let bytes = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += len;
        let value = u64::from_le_bytes(*bytes);
        Some(if len == 8 { value } else { value & ((1 << (8 * len)) - 1) })
    }

    /// The bytes that are left.
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..self.len).unwrap_or(&[])
    }

    fn is_used_up(&self) -> bool {
        self.at == self.len
    }
}

/// Records while they are put together: a fixed buffer, so that each is one store.
struct Records<'r> {
    bytes: &'r mut [u8],
    at: usize,
}

impl Records<'_> {
    /// Appends a record; `None` when there is no room.
    #[inline(always)]
    fn push(&mut self, event: Encoded) -> Option<()> {
        let room = self.bytes.get_mut(self.at..)?.first_chunk_mut::<EVENT>()?;
        room[0] = event.tag;
        room[1..].copy_from_slice(&event.payload.to_le_bytes());
        self.at += 1 + usize::from(event.len);
        Some(())
    }

    fn extend(&mut self, bytes: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.at..)?.get_mut(..bytes.len())?.copy_from_slice(bytes);
        self.at += bytes.len();
        Some(())
    }
}

/// Bytes that storing an event touches.
const EVENT: usize = 17;

/// Puts records together again.
pub(super) struct Unpacker {
    predictor: Predictor,
    columns: [Values; COLUMNS],
}

impl Unpacker {
    pub(super) fn new() -> Self {
        Self { predictor: Predictor::new(), columns: Default::default() }
    }

    /// Appends the `len` bytes of records that `payload` packs to `records`. `None`: it packs no such.
    pub(super) fn read(
        &mut self,
        payload: &[u8],
        zstd: &mut zstd::bulk::Decompressor<'static>,
        len: usize,
        records: &mut Vec<u8>,
    ) -> Option<()> {
        let mut reader = Reader::new(payload);
        for column in &mut self.columns {
            let (raw_len, stored_len) = (reader.u32()? as usize, reader.u32()? as usize);
            let stored = reader.bytes(stored_len)?;
            // No column is longer than the records; each has a code.
            if raw_len > len {
                return None;
            }
            column.load(stored, raw_len, zstd)?;
        }
        if !reader.rest().is_empty() {
            return None;
        }
        let start = records.len();
        records.resize(start + len + EVENT, 0);
        let done = self.put_together(&mut Records { bytes: records.get_mut(start..)?, at: 0 });
        records.truncate(start + len);
        (done == Some(len)).then_some(())
    }

    /// Answers the bytes of all records.
    fn put_together(&mut self, records: &mut Records<'_>) -> Option<usize> {
        let mut deltas = self.predictor.start();
        let [codes, low, second, high, size_low, size_high, stack_low, stack_high, verbatim] = &mut self.columns;
        for &code in codes.rest() {
            match code {
                0..FREE => {
                    let (realloc, stack_mode, size_mode) = (code & 1 != 0, code >> 1 & 3, code >> 3 & 3);
                    let mode = code >> 5;
                    let delta = take_address([low, second, high], ALLOC_ADDRESS_LEN[usize::from(mode)])?;
                    let size = take_pair([size_low, size_high], SIZE_LEN[usize::from(size_mode)])?;
                    let stack_delta = take_pair([stack_low, stack_high], STACK_LEN[usize::from(stack_mode)])?;
                    let stack = undelta(stack_delta, deltas.stack.into()) as u32;
                    let size = if size_mode == SAME_SIZE { self.predictor.size(stack)?.into() } else { size };
                    let address = match mode {
                        REUSED => self.predictor.reused(size)?,
                        BEHIND => self.predictor.behind(),
                        _ => undelta(delta, deltas.address),
                    };
                    self.predictor.alloc(address, size, stack);
                    records.push(deltas.encode_alloc(address << 4, size, stack, realloc)?)?;
                }
                FREE..NEXT_EPOCH => {
                    let (mode, realloc) = ((code - FREE) >> 1, code & 1 != 0);
                    let delta = take_address([low, second, high], FREE_ADDRESS_LEN[usize::from(mode)])?;
                    // Asked in any case, as it was when the free was packed: asking lets go of dead blocks.
                    let newest = self.predictor.newest();
                    let address = if mode == NEWEST { newest? } else { undelta(delta, deltas.address) };
                    self.predictor.free(address);
                    records.push(deltas.encode_free(address << 4, realloc)?)?;
                }
                NEXT_EPOCH => records.push(deltas.encode_epoch(deltas.epoch.wrapping_add(1)))?,
                OTHER => {
                    let (_, len) = record::decode(&mut deltas, verbatim.rest()).ok()??;
                    records.extend(verbatim.rest().get(..len)?)?;
                    verbatim.at += len;
                }
                _ => return None,
            }
        }
        codes.at = codes.len;
        self.columns.iter().all(Values::is_used_up).then_some(records.at)
    }
}

fn undelta(delta: u64, from: u64) -> u64 {
    from.wrapping_add(varint::unzigzag(delta) as u64)
}

/// A delta of `len` bytes, one in each of the first two columns, and what is left in the last.
#[inline(always)]
fn take_address([low, second, high]: [&mut Values; 3], len: usize) -> Option<u64> {
    let first = low.take(len.min(1))?;
    let second = second.take(len.saturating_sub(1).min(1))?;
    Some(first | second << 8 | high.take(len.saturating_sub(2))? << 16)
}

#[inline(always)]
fn take_pair([low, high]: [&mut Values; 2], len: usize) -> Option<u64> {
    let first = low.take(len.min(1))?;
    Some(first | high.take(len.saturating_sub(1))? << 8)
}
