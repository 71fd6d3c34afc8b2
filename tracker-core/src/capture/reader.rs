//! Opens a capture: one pass over the block headers that sorts the blocks by stream and gathers the facts.
//!
//! Reads the metadata, but no events and no module data: their blocks are remembered and loaded by whoever needs them.
//! Memory is proportional to the number of blocks. Works on a capture that is still growing: what was there when it was
//! opened is what is read.

use std::fmt;
use std::io;

use rustc_hash::FxHashMap;

use super::block::{BlockHeader, BlockKind, FILE_HEADER_LEN, FILE_MAGIC, FileHeader, FileHeaderError};
use super::facts::Facts;
use super::meta::{Meta, MetaRoom, ModuleFile};
use super::payload::Loader;
use super::scan::{Found, Piece, Scan};
use super::source::{Source, read_at};
use crate::format::VERSION;
use crate::format::wire::Reader;

/// Most bytes of one module's file that are taken from a capture.
const MAX_MODULE_LEN: u64 = 256 << 20;

/// Called with the bytes done and the bytes there are.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

/// A capture whose blocks are known.
#[derive(Debug)]
pub struct Capture<S> {
    /// Where the bytes come from.
    pub source: S,
    /// Size of the source in bytes when it was opened.
    pub size: u64,
    /// The file header.
    pub header: FileHeader,
    /// What the metadata says.
    pub facts: Facts,
    /// The streams, by number.
    pub streams: Vec<Stream>,
    /// Blocks that hold files of modules, in order.
    pub module_data: Vec<Found>,
    /// What is missing.
    pub damage: Damage,
}

/// One stream's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Its number, unique in the session.
    pub number: u32,
    /// The image it belongs to.
    pub image: u32,
    /// The thread that wrote it.
    pub tid: u32,
    /// By sequence and offset, each once.
    pub blocks: Vec<EventBlock>,
}

/// Where one part of a chunk is: what [`BlockHeader`] says of it, without what its stream says already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBlock {
    /// Offset of the payload in the file.
    pub at: u64,
    pub stored_len: u32,
    pub raw_len: u32,
    pub payload_crc: u32,
    pub codec: u8,
    /// The chunk's number in its stream.
    pub sequence: u32,
    /// Where in the chunk this part starts.
    pub offset: u32,
    /// Records in it.
    pub count: u32,
    pub first_epoch: u64,
    pub first_time: u64,
    /// Holes in the file before this block.
    pub holes: u32,
}

impl EventBlock {
    fn new(found: &Found, holes: u32) -> Self {
        let header = &found.header;
        Self {
            at: found.payload_at(),
            stored_len: header.stored_len,
            raw_len: header.raw_len,
            payload_crc: header.payload_crc,
            codec: header.codec,
            sequence: header.sequence,
            offset: header.offset,
            count: header.count,
            first_epoch: header.first_epoch,
            first_time: header.first_time,
            holes,
        }
    }

    /// As much of the header as loading the payload needs.
    pub(crate) fn payload_header(&self) -> BlockHeader {
        BlockHeader {
            kind: BlockKind::Events as u8,
            codec: self.codec,
            stored_len: self.stored_len,
            raw_len: self.raw_len,
            payload_crc: self.payload_crc,
            ..BlockHeader::default()
        }
    }
}

/// What a capture lacks, as far as headers show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damage {
    /// Places with bytes that are no block.
    pub holes: u32,
    /// Bytes in them.
    pub hole_bytes: u64,
    /// Bytes at the end that are no whole block: cut off, or just being written.
    pub tail_bytes: u64,
    /// Metadata blocks that could not be read.
    pub metas: u64,
}

/// Why a file cannot be read as a capture.
#[derive(Debug)]
pub enum ReadError {
    /// There are no bytes, or only the beginning of a file header.
    Empty,
    /// It does not start as captures do.
    NotACapture,
    /// The file header's check sum is wrong.
    Damaged,
    /// There are zeros in place of the file header.
    Gone,
    /// Another format version wrote it.
    Version { found: u32, known: u32 },
    /// Reading failed.
    Io(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty: nothing was recorded into it"),
            Self::NotACapture => f.write_str("is not a memtrack capture"),
            Self::Damaged => f.write_str("starts like a memtrack capture, but its header is damaged"),
            Self::Gone => {
                f.write_str("has zeros in place of its header: if it is a capture, it was cut while it was recorded")
            }
            Self::Version { found, known } => {
                write!(f, "has capture format {found}, this memtrack reads format {known}")
            }
            Self::Io(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl<S: Source> Capture<S> {
    /// Scans `source` once.
    pub fn open(source: S, progress: Progress<'_>) -> Result<Self, ReadError> {
        let size = source.size()?;
        let header = file_header(&source)?;
        let mut capture = Self {
            source,
            size,
            header,
            facts: Facts::default(),
            streams: Vec::new(),
            module_data: Vec::new(),
            damage: Damage::default(),
        };
        capture.scan(progress)?;
        Ok(capture)
    }

    fn scan(&mut self, progress: Progress<'_>) -> io::Result<()> {
        let mut loader = Loader::new()?;
        let mut streams: FxHashMap<u32, usize> = FxHashMap::default();
        let mut scan = Scan::new(&self.source, self.size);
        let mut payload = Vec::new();
        let mut meta_room = MetaRoom::new(self.size);
        while let Some(piece) = scan.next_piece()? {
            let found = match piece {
                Piece::Block(found) => found,
                // Behind the end there is nothing but an index, or what was written of one.
                Piece::Damage(_) | Piece::Tail(_) if self.facts.end.is_some() => continue,
                Piece::Damage(hole) => {
                    self.damage.holes = self.damage.holes.saturating_add(1);
                    self.damage.hole_bytes += hole.len;
                    continue;
                }
                Piece::Tail(hole) => {
                    self.damage.tail_bytes = hole.len;
                    continue;
                }
            };
            let header = &found.header;
            progress(0, self.size);
            match header.kind {
                kind if kind == BlockKind::Events as u8 => {
                    self.facts.last_time = self.facts.last_time.max(header.last_time);
                    let index = *streams.entry(header.stream).or_insert_with(|| {
                        let (number, image, tid) = (header.stream, header.image, header.tid);
                        self.streams.push(Stream { number, image, tid, blocks: Vec::new() });
                        self.streams.len() - 1
                    });
                    if let Some(stream) = self.streams.get_mut(index) {
                        stream.blocks.push(EventBlock::new(&found, self.damage.holes));
                    }
                }
                kind if kind == BlockKind::Meta as u8 => {
                    let good = meta_room.take(header.raw_len)
                        && loader.load(&self.source, header, found.payload_at(), &mut payload)?;
                    match Meta::decode(&payload).filter(|_| good) {
                        Some(meta) => self.facts.add(meta),
                        None => self.damage.metas += 1,
                    }
                }
                kind if kind == BlockKind::ModuleData as u8 => self.module_data.push(found),
                _ => {}
            }
        }
        for stream in &mut self.streams {
            stream.blocks.sort_by_key(|block| (block.sequence, block.offset));
            stream.blocks.dedup_by_key(|block| (block.sequence, block.offset));
        }
        self.streams.sort_by_key(|stream| stream.number);
        Ok(())
    }

    /// The bytes of a module's file, if the capture holds all of them and they can be read.
    pub fn module_bytes(&self, file: &ModuleFile) -> Option<Vec<u8>> {
        if !file.embedded || file.len > MAX_MODULE_LEN {
            return None;
        }
        let mut loader = Loader::new().ok()?;
        let (mut bytes, mut payload) = (Vec::new(), Vec::new());
        for found in &self.module_data {
            if !loader.load(&self.source, &found.header, found.payload_at(), &mut payload).ok()? {
                continue;
            }
            let mut reader = Reader::new(&payload);
            let next = reader.u32() == Some(file.number) && reader.u64() == Some(bytes.len() as u64);
            if next && (bytes.len() as u64) < file.len {
                bytes.extend_from_slice(reader.rest());
            }
        }
        (bytes.len() as u64 == file.len).then_some(bytes)
    }
}

/// Reads and judges the file header.
pub(crate) fn file_header(source: &impl Source) -> Result<FileHeader, ReadError> {
    let mut bytes = [0; FILE_HEADER_LEN];
    let len = read_at(source, &mut bytes, 0)?;
    let bytes = bytes.get(..len).unwrap_or(&bytes);
    if FILE_MAGIC.starts_with(bytes) {
        return Err(ReadError::Empty);
    }
    FileHeader::decode(bytes).map_err(|error| match error {
        FileHeaderError::NotACapture => ReadError::NotACapture,
        FileHeaderError::Cut => ReadError::Empty,
        FileHeaderError::Damaged => ReadError::Damaged,
        FileHeaderError::Gone => ReadError::Gone,
        FileHeaderError::Version(found) => ReadError::Version { found, known: VERSION },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::block::Codec;
    use crate::capture::meta::Session;
    use crate::capture::writer::{Events, Writer};

    fn capture(write: impl FnOnce(&mut Writer<Vec<u8>>)) -> Capture<&'static [u8]> {
        let header = FileHeader { version: VERSION, session: [1; 16], start_unix_ns: 5 };
        let mut writer = Writer::new(Vec::new(), &header).unwrap();
        write(&mut writer);
        let bytes: &[u8] = std::mem::take(writer.get_mut()).leak();
        Capture::open(bytes, &mut |_, _| {}).unwrap()
    }

    #[test]
    fn blocks_are_sorted_into_streams() {
        let capture = capture(|writer| {
            writer.meta(&Meta::Session(Session { pid: 7, ..Session::default() })).unwrap();
            for (stream, sequence, offset) in [(2, 0, 0), (1, 1, 0), (2, 0, 3), (1, 0, 0), (2, 0, 0)] {
                let events = Events { stream, image: stream, tid: 9, sequence, offset, ..Events::default() };
                writer.events(&events, &[0x10; 3], Codec::Raw).unwrap();
            }
            writer.meta(&Meta::End { time: 77, lost_events: 0, unwind_differences: 0 }).unwrap();
        });
        let shape = |stream: &Stream| {
            let parts = stream.blocks.iter().map(|block| (block.sequence, block.offset)).collect::<Vec<_>>();
            (stream.number, stream.image, parts)
        };
        let shapes: Vec<_> = capture.streams.iter().map(shape).collect();
        assert_eq!(shapes, [(1, 1, vec![(0, 0), (1, 0)]), (2, 2, vec![(0, 0), (0, 3)])]);
        assert_eq!(capture.facts.session.as_ref().map(|session| session.pid), Some(7));
        assert_eq!((capture.facts.end, capture.facts.last_time), (Some((77, 0, 0)), 77));
        assert_eq!(capture.damage, Damage::default());
    }

    #[test]
    fn module_files_are_whole_or_not_there() {
        let file = |number, len| ModuleFile { number, len, embedded: true, ..ModuleFile::default() };
        let capture = capture(|writer| {
            for (number, offset, piece) in [(0, 0, "one "), (1, 0, "else"), (0, 4, "two"), (2, 4, "late")] {
                writer.module_data(number, offset, piece.as_bytes()).unwrap();
            }
        });
        assert_eq!(capture.module_bytes(&file(0, 7)).as_deref(), Some(&b"one two"[..]));
        assert_eq!(capture.module_bytes(&ModuleFile { embedded: false, ..file(0, 7) }), None);
        // Longer or shorter than it is said to be, without its beginning, not there at all.
        for missing in [file(0, 8), file(1, 3), file(2, 8), file(3, 4)] {
            assert_eq!(capture.module_bytes(&missing), None);
        }
    }
}
