//! The hot records: one tag byte, then up to fourteen bytes whose lengths the tag tells.
//!
//! The encoder builds the payload in a register and never touches memory, so the same code is the preload's fast
//! path and a pure function that tests can call. The caller stores payload, a zero byte behind it, and last the tag.
//!
//! ```text
//! 1 aa ss ii r   allocation: address delta (1, 2, 3 or 6 bytes), size (1, 2, 3 or 4), stack id delta (0, 1, 2 or 4);
//!                r: the block is the result of a realloc whose intent precedes it
//! 0 1 r lll 00   free: address delta of lll + 1 bytes; r: the intent of a realloc
//! 0001 00nn      epoch: +1, or + a u8, u16; 3: absolute u64
//! 0001 01nn      clock: + a u8, u16, u32 of microseconds; 3: absolute u64 of nanoseconds
//! 0001 1xxx      see `record::tag`
//! ```

use super::varint::{unzigzag, zigzag};

/// What the delta-coded fields of one chunk are relative to. Starts anew with each chunk (epoch and time from the
/// chunk's header, the rest zero). Encoder and decoder step it alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deltas {
    /// Address / 16 of the last allocation or free.
    pub address: u64,
    /// Stack id of the last allocation.
    pub stack: u32,
    /// Epoch in force.
    pub epoch: u64,
    /// Nanoseconds since the session's start, as of the last clock record.
    pub time: u64,
}

/// A record ready to be stored: `payload`'s low `len` bytes follow `tag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded {
    /// The tag byte, never zero. Stored last.
    pub tag: u8,
    /// Payload bytes in use, 0 to 14.
    pub len: u8,
    /// The payload, little-endian; bytes from `len` on are zero.
    pub payload: u128,
}

pub(crate) const ALLOC: u8 = 0x80;
pub(crate) const FREE: u8 = 0x40;
pub(crate) const EPOCH: u8 = 0x10;
pub(crate) const CLOCK: u8 = 0x14;

const ALLOC_REALLOC: u8 = 0x01;
const FREE_REALLOC: u8 = 0x20;

const ADDRESS_LEN: [u8; 4] = [1, 2, 3, 6];
const SIZE_LEN: [u8; 4] = [1, 2, 3, 4];
const STACK_LEN: [u8; 4] = [0, 1, 2, 4];

/// An allocation's record before its fields are joined: each stands, little-endian, at an offset from the payload's start,
/// and a later one begins over the zeros of the one before. The stack's is at most four bytes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocFields {
    /// As in [`Encoded`].
    pub tag: u8,
    /// Payload bytes, at most 14.
    pub len: u8,
    /// The address delta, at offset 0.
    pub address: u64,
    /// The size, below 4 GiB.
    pub size: u64,
    /// The stack id's delta.
    pub stack: u64,
    /// Where `size` stands.
    pub at_size: u8,
    /// Where `stack` stands.
    pub at_stack: u8,
}

impl AllocFields {
    /// The same as one payload.
    #[inline]
    pub fn joined(self) -> Encoded {
        let payload = u128::from(self.address)
            | u128::from(self.size) << (8 * self.at_size)
            | u128::from(self.stack) << (8 * self.at_stack);
        Encoded { tag: self.tag, len: self.len, payload }
    }
}

/// For a field's value with so many bits: its length in bytes, its code in the tag 8 bits farther up, and bit 16 where the
/// field has no room for it. Three of them are added up.
type Codes = [u32; 64];

const fn codes(lens: [u8; 4], shift: u32) -> Codes {
    let mut codes = [1 << 16; 64];
    let mut bits = 0;
    while bits < 64 {
        let mut choice = 4;
        while choice > 0 {
            choice -= 1;
            if bits <= 8 * lens[choice] as usize {
                codes[bits] = lens[choice] as u32 | (choice as u32) << (8 + shift);
            }
        }
        bits += 1;
    }
    codes
}

static ADDRESS_CODES: Codes = codes(ADDRESS_LEN, 5);
static SIZE_CODES: Codes = codes(SIZE_LEN, 3);
static STACK_CODES: Codes = codes(STACK_LEN, 1);

/// The codes for half of `doubled`, which is one bit shorter.
#[inline(always)]
fn code(codes: &Codes, doubled: u64) -> u32 {
    codes[(63 - (doubled | 1).leading_zeros()) as usize]
}

#[inline(always)]
const fn byte_len(value: u64) -> u32 {
    (71 - (value | 1).leading_zeros()) >> 3
}

impl Deltas {
    /// The state at the start of a chunk.
    pub const fn at_chunk_start(epoch: u64, time: u64) -> Self {
        Self { address: 0, stack: 0, epoch, time }
    }

    /// Encodes an allocation. `None` when a field does not fit the short form (unaligned address, size from 4 GiB,
    /// far jump): write [`super::record::write_alloc`] then.
    #[inline]
    pub fn encode_alloc(&mut self, address: u64, size: u64, stack: u32, realloc: bool) -> Option<Encoded> {
        self.encode_alloc_fields(address, size, stack, realloc).map(AllocFields::joined)
    }

    /// As [`Self::encode_alloc`], for who can store the fields one after the other, each as a whole word: joining them in
    /// a register takes longer.
    #[inline(always)]
    pub fn encode_alloc_fields(&mut self, address: u64, size: u64, stack: u32, realloc: bool) -> Option<AllocFields> {
        let delta = zigzag((address >> 4).wrapping_sub(self.address) as i64);
        let stack_delta = zigzag(i64::from(stack) - i64::from(self.stack));
        let (of_address, of_size) = (code(&ADDRESS_CODES, delta << 1), code(&SIZE_CODES, size << 1));
        let codes = of_address + of_size + code(&STACK_CODES, stack_delta << 1);
        if codes >> 16 | (address & 15) as u32 | (size >> 32) as u32 != 0 {
            return None;
        }
        self.address = address >> 4;
        self.stack = stack;
        let at_size = of_address as u8;
        Some(AllocFields {
            tag: (codes >> 8) as u8 | ALLOC | if realloc { ALLOC_REALLOC } else { 0 },
            len: codes as u8,
            address: delta,
            size,
            stack: stack_delta,
            at_size,
            at_stack: at_size + of_size as u8,
        })
    }

    /// Encodes a free, or the intent of a realloc. `None` for an address that is not a multiple of 16: write
    /// [`super::record::write_free`] then.
    #[inline(always)]
    pub fn encode_free(&mut self, address: u64, realloc: bool) -> Option<Encoded> {
        if address & 15 != 0 {
            return None;
        }
        let delta = zigzag((address >> 4).wrapping_sub(self.address) as i64);
        self.address = address >> 4;
        let bytes = byte_len(delta) as u8;
        let tag = FREE | (bytes - 1) << 2 | if realloc { FREE_REALLOC } else { 0 };
        Some(Encoded { tag, len: bytes, payload: u128::from(delta) })
    }

    /// Encodes the step to a later epoch.
    #[inline(always)]
    pub fn encode_epoch(&mut self, epoch: u64) -> Encoded {
        let step = epoch.wrapping_sub(self.epoch);
        self.epoch = epoch;
        let (code, len, value) = match step {
            1 => (0, 0, 0),
            2..=0xff => (1, 1, step),
            0x100..=0xffff => (2, 2, step),
            _ => (3, 8, epoch),
        };
        Encoded { tag: EPOCH | code, len, payload: u128::from(value) }
    }

    /// Encodes the step to a later time, in nanoseconds since the session's start; whole microseconds only.
    #[inline]
    pub fn encode_clock(&mut self, time: u64) -> Encoded {
        let step = time.wrapping_sub(self.time) / 1000;
        let (code, len, value) = match step {
            0..=0xff => (0, 1, step),
            0x100..=0xffff => (1, 2, step),
            0x1_0000..=0xffff_ffff => (2, 4, step),
            _ => (3, 8, time),
        };
        self.time = if code == 3 { time } else { self.time.wrapping_add(step * 1000) };
        Encoded { tag: CLOCK | code, len, payload: u128::from(value) }
    }
}

/// Payload length of a hot record, from its tag alone; `None` for other tags.
#[inline]
pub(crate) const fn payload_len(tag: u8) -> Option<usize> {
    if tag & ALLOC != 0 {
        let address = ADDRESS_LEN[(tag >> 5 & 3) as usize];
        let size = SIZE_LEN[(tag >> 3 & 3) as usize];
        let stack = STACK_LEN[(tag >> 1 & 3) as usize];
        return Some((address + size + stack) as usize);
    }
    if tag & FREE != 0 {
        return if tag & 3 == 0 { Some((tag >> 2 & 7) as usize + 1) } else { None };
    }
    match tag {
        0x10 => Some(0),
        0x11 => Some(1),
        0x12 => Some(2),
        0x13 => Some(8),
        0x14 => Some(1),
        0x15 => Some(2),
        0x16 => Some(4),
        0x17 => Some(8),
        _ => None,
    }
}

/// A decoded hot record; addresses in bytes, epoch and time absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Alloc { address: u64, size: u64, stack: u32, realloc: bool },
    Free { address: u64, realloc: bool },
    Epoch(u64),
    Clock(u64),
}

#[inline(always)]
const fn low(value: u128, bytes: u32) -> u64 {
    if bytes == 0 { 0 } else { (value as u64) & (u64::MAX >> (64 - 8 * bytes)) }
}

impl Deltas {
    /// Inverse of the encoders. `payload` holds at least [`payload_len`] bytes of the record, zeros or later bytes
    /// behind them.
    #[inline(always)]
    pub(crate) fn decode(&mut self, tag: u8, payload: u128) -> Event {
        if tag & ALLOC != 0 {
            let address_bytes = u32::from(ADDRESS_LEN[usize::from(tag >> 5 & 3)]);
            let size_bytes = u32::from(SIZE_LEN[usize::from(tag >> 3 & 3)]);
            let stack_bytes = u32::from(STACK_LEN[usize::from(tag >> 1 & 3)]);
            let delta = low(payload, address_bytes);
            let size = low(payload >> (8 * address_bytes), size_bytes);
            let stack = low(payload >> (8 * (address_bytes + size_bytes)), stack_bytes);
            self.address = self.address.wrapping_add(unzigzag(delta) as u64) & (u64::MAX >> 4);
            self.stack = self.stack.wrapping_add(unzigzag(stack) as u32);
            let address = self.address << 4;
            return Event::Alloc { address, size, stack: self.stack, realloc: tag & ALLOC_REALLOC != 0 };
        }
        if tag & FREE != 0 {
            let delta = low(payload, u32::from(tag >> 2 & 7) + 1);
            self.address = self.address.wrapping_add(unzigzag(delta) as u64) & (u64::MAX >> 4);
            return Event::Free { address: self.address << 4, realloc: tag & FREE_REALLOC != 0 };
        }
        let wide = payload as u64;
        match tag {
            0x10 => self.epoch = self.epoch.wrapping_add(1),
            0x11 => self.epoch = self.epoch.wrapping_add(wide & 0xff),
            0x12 => self.epoch = self.epoch.wrapping_add(wide & 0xffff),
            0x13 => self.epoch = wide,
            0x14 => self.time = self.time.wrapping_add((wide & 0xff) * 1000),
            0x15 => self.time = self.time.wrapping_add((wide & 0xffff) * 1000),
            0x16 => self.time = self.time.wrapping_add((wide & 0xffff_ffff) * 1000),
            _ => self.time = wide,
        }
        if tag < CLOCK { Event::Epoch(self.epoch) } else { Event::Clock(self.time) }
    }
}
