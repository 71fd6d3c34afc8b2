//! The frames of the capture file, byte by byte as `docs/format.md` specifies them. No IO here.

use crate::format::VERSION;

/// First bytes of every capture.
pub const FILE_MAGIC: [u8; 8] = *b"MEMTRACK";
/// Bytes of the file header.
pub const FILE_HEADER_LEN: usize = 64;
/// First bytes of every block.
pub const BLOCK_MAGIC: [u8; 4] = *b"MTB1";
/// Bytes of a block header.
pub const BLOCK_HEADER_LEN: usize = 80;
/// Most bytes a block's payload may decode to.
pub const MAX_RAW_LEN: u32 = 4 << 20;

/// The start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHeader {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Random; distinguishes sessions.
    pub session: [u8; 16],
    /// Wall-clock time of the session's start, nanoseconds since 1970.
    pub start_unix_ns: u64,
}

/// Why a file header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileHeaderError {
    /// Does not start with [`FILE_MAGIC`].
    NotACapture,
    /// Shorter than a header.
    Cut,
    /// The header's check sum is wrong.
    Damaged,
    /// Nothing but zeros: whoever cut the file while it was written left a hole.
    Gone,
    /// Written by a memtrack with this newer (or, before the first release, other) format version.
    Version(u32),
}

impl FileHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; FILE_HEADER_LEN] {
        let mut bytes = [0; FILE_HEADER_LEN];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&(FILE_HEADER_LEN as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.session);
        bytes[32..40].copy_from_slice(&self.start_unix_ns.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header from the front of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FileHeaderError> {
        if bytes.len() < 8 || bytes[..8] != FILE_MAGIC {
            let is_hole = bytes.len() >= FILE_HEADER_LEN && bytes.iter().take(FILE_HEADER_LEN).all(|byte| *byte == 0);
            return Err(if is_hole { FileHeaderError::Gone } else { FileHeaderError::NotACapture });
        }
        let Some(header) = bytes.first_chunk::<FILE_HEADER_LEN>() else { return Err(FileHeaderError::Cut) };
        // All versions have this header.
        if u32_at(header, 60) != crc32c::crc32c(&header[..60]) {
            return Err(FileHeaderError::Damaged);
        }
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(FileHeaderError::Version(version));
        }
        let mut session = [0; 16];
        session.copy_from_slice(&header[16..32]);
        Ok(Self { version, session, start_unix_ns: u64_at(header, 32) })
    }
}

/// What a block holds. Unknown kinds are stepped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockKind {
    /// Records of one stream: a whole chunk, or a part of one.
    Events = 1,
    /// One bincode frame, see [`super::meta::Meta`].
    Meta = 2,
    /// A piece of a module's file that readers will not find any more; the payload starts with the module's number
    /// (u32) and the piece's offset (u64). See [`super::meta::Meta::ModuleFile`].
    ModuleData = 3,
    /// A piece of the index; `stream` is its section, `sequence` the piece's number in that.
    Index = 4,
    /// The end of an index, see [`super::index::Seal`].
    Seal = 5,
}

/// How a block's payload is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// As it is.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
    /// Records in columns, each raw or one zstd frame.
    Columns = 2,
}

/// A block's header. Epochs, times and counts concern `Events` blocks and are 0 in others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockHeader {
    /// A [`BlockKind`] or a later one.
    pub kind: u8,
    /// A [`Codec`] or a later one.
    pub codec: u8,
    /// Bytes of payload in the file, behind this header.
    pub stored_len: u32,
    /// Bytes of payload when decoded; at most [`MAX_RAW_LEN`].
    pub raw_len: u32,
    /// The stream, unique in the session.
    pub stream: u32,
    /// The image it belongs to.
    pub image: u32,
    /// The thread's kernel id, as its own pid namespace counts.
    pub tid: u32,
    /// The chunk's number in its stream.
    pub sequence: u32,
    /// Where in the chunk this block's bytes start: 0 for a chunk's first part; a later part continues the delta
    /// coding of the part that ends there.
    pub offset: u32,
    /// Number of records.
    pub count: u32,
    /// Epoch in force before the first record.
    pub first_epoch: u64,
    /// Epoch in force after the last record.
    pub last_epoch: u64,
    /// Time before the first record, nanoseconds since the session's start.
    pub first_time: u64,
    /// Time after the last record.
    pub last_time: u64,
    /// CRC32C of the stored payload.
    pub payload_crc: u32,
}

impl BlockHeader {
    /// The header's bytes, its own check sum included.
    pub fn encode(&self) -> [u8; BLOCK_HEADER_LEN] {
        let mut bytes = [0; BLOCK_HEADER_LEN];
        bytes[..4].copy_from_slice(&BLOCK_MAGIC);
        bytes[4] = self.kind;
        bytes[5] = self.codec;
        let words =
            [self.stored_len, self.raw_len, self.stream, self.image, self.tid, self.sequence, self.offset, self.count];
        for (to, word) in bytes[8..40].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let longs = [self.first_epoch, self.last_epoch, self.first_time, self.last_time];
        for (to, long) in bytes[40..72].chunks_exact_mut(8).zip(longs) {
            to.copy_from_slice(&long.to_le_bytes());
        }
        bytes[72..76].copy_from_slice(&self.payload_crc.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when magic, check sum or [`MAX_RAW_LEN`] is violated.
    pub fn decode(bytes: &[u8; BLOCK_HEADER_LEN]) -> Option<Self> {
        if bytes[..4] != BLOCK_MAGIC || u32_at(bytes, 76) != crc32c::crc32c(&bytes[..76]) {
            return None;
        }
        let header = Self {
            kind: bytes[4],
            codec: bytes[5],
            stored_len: u32_at(bytes, 8),
            raw_len: u32_at(bytes, 12),
            stream: u32_at(bytes, 16),
            image: u32_at(bytes, 20),
            tid: u32_at(bytes, 24),
            sequence: u32_at(bytes, 28),
            offset: u32_at(bytes, 32),
            count: u32_at(bytes, 36),
            first_epoch: u64_at(bytes, 40),
            last_epoch: u64_at(bytes, 48),
            first_time: u64_at(bytes, 56),
            last_time: u64_at(bytes, 64),
            payload_crc: u32_at(bytes, 72),
        };
        // A raw block may not be larger than what it decodes to either; zstd's worst case adds less than 1 KiB here.
        let sane = header.raw_len <= MAX_RAW_LEN && header.stored_len <= header.raw_len.saturating_add(32 << 10);
        sane.then_some(header)
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
