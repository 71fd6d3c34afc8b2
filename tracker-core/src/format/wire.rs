//! Bounded reading and writing of explicit little-endian fields. Never panics; a writer that runs out of room
//! remembers it, a reader answers `None`.

use super::varint::{read_varint, unzigzag, zigzag};

/// Writes fields into a fixed buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl<'a> Writer<'a> {
    /// Starts at the front of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0, overflow: false }
    }

    /// Bytes written, or `None` if something did not fit.
    pub fn finish(self) -> Option<usize> {
        if self.overflow { None } else { Some(self.len) }
    }

    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.len
    }

    /// Appends raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.buffer.get_mut(self.len..end) {
            Some(room) => {
                // Not copy_from_slice: its length check is a panic path inside the target.
                for (to, from) in room.iter_mut().zip(bytes) {
                    *to = *from;
                }
                self.len = end;
            }
            None => self.overflow = true,
        }
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Appends a little-endian `u16`.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a little-endian `u32`.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends a little-endian `u64`.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    /// Appends an unsigned LEB128 value.
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// Appends a zigzag LEB128 value.
    pub fn signed(&mut self, value: i64) {
        self.varint(zigzag(value));
    }

    /// Appends a `u16` length and at most `limit` bytes of `text`.
    pub fn text(&mut self, text: &[u8], limit: usize) {
        let text = text.get(..text.len().min(limit).min(usize::from(u16::MAX))).unwrap_or(&[]);
        self.u16(text.len() as u16);
        self.bytes(text);
    }
}

/// Reads fields from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// What has not been read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Takes a little-endian `u16`.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Takes a little-endian `u32`.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Takes a little-endian `u64`.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes an unsigned LEB128 value.
    pub fn varint(&mut self) -> Option<u64> {
        let (value, len) = read_varint(self.bytes)?;
        self.bytes(len)?;
        Some(value)
    }

    /// Takes a zigzag LEB128 value.
    pub fn signed(&mut self) -> Option<i64> {
        self.varint().map(unzigzag)
    }

    /// Takes a text written by [`Writer::text`].
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.bytes(usize::from(len))
    }
}
