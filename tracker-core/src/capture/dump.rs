//! Prints a capture: every block header and every record, in file order. For people who look at bytes.
//!
//! Judges nothing: what the replay would leave out is printed too, as far as it can be decoded. All names are escaped.

use std::fmt;
use std::io;

use rustc_hash::FxHashMap;

use super::block::{BlockHeader, BlockKind, Codec};
use super::index::Seal;
use super::meta::Meta;
use super::payload::Loader;
use super::reader::{ReadError, file_header};
use super::scan::{Found, Piece, Scan};
use super::source::Source;
use crate::format::python::{CodeKind, InterpreterState};
use crate::format::record::{MapKind, RegionScope, UntrackedReason, decode};
use crate::format::wire::Reader;
use crate::format::{DecodeError, Deltas, Record};

/// Why a dump ended early.
#[derive(Debug)]
pub enum DumpError {
    /// The capture cannot be read.
    Read(ReadError),
    /// The text cannot be written.
    Write(io::Error),
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the capture {error}"),
            Self::Write(error) => write!(f, "the text cannot be written: {error}"),
        }
    }
}

impl std::error::Error for DumpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => Some(error),
            Self::Write(error) => Some(error),
        }
    }
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// Where the delta coding of a stream stands: chunk, offset behind the last part, state.
type Position = (u32, u32, Deltas);

/// Prints the whole capture.
pub fn dump(source: &impl Source, out: &mut dyn io::Write) -> Result<(), DumpError> {
    let read = |error: io::Error| DumpError::Read(error.into());
    let header = file_header(source).map_err(DumpError::Read)?;
    let size = source.size().map_err(read)?;
    write!(out, "capture format {}, session ", header.version)?;
    header.session.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
    writeln!(out, ", started {} ns after 1970, {size} bytes", header.start_unix_ns)?;

    let mut loader = Loader::new().map_err(read)?;
    let mut streams: FxHashMap<u32, Position> = FxHashMap::default();
    let mut payload = Vec::new();
    let mut scan = Scan::new(source, size);
    while let Some(piece) = scan.next_piece().map_err(read)? {
        let found = match piece {
            Piece::Block(found) => found,
            Piece::Damage(hole) => {
                writeln!(out, "{:#x} damaged, {} bytes", hole.at, hole.len)?;
                continue;
            }
            Piece::Tail(hole) => {
                writeln!(out, "{:#x} no whole block, {} bytes", hole.at, hole.len)?;
                continue;
            }
        };
        let header = &found.header;
        let good = loader.load(source, header, found.payload_at(), &mut payload).map_err(read)?;
        write_header(out, &found)?;
        if !good {
            writeln!(out, "  the payload is damaged")?;
        } else if header.kind == BlockKind::Events as u8 {
            write_events(out, header, &payload, &mut streams)?;
        } else if header.kind == BlockKind::Meta as u8 {
            match Meta::decode(&payload) {
                Some(meta) => writeln!(out, "  {}", ShowMeta(&meta))?,
                None => writeln!(out, "  no metadata frame")?,
            }
        } else if header.kind == BlockKind::ModuleData as u8 {
            let mut reader = Reader::new(&payload);
            if let (Some(number), Some(offset)) = (reader.u32(), reader.u64()) {
                writeln!(out, "  module file {number}, {} bytes at {offset}", reader.rest().len())?;
            }
        } else if header.kind == BlockKind::Index as u8 {
            writeln!(out, "  section {}, piece {}", header.stream, header.sequence)?;
        } else if let Some(seal) = Seal::decode(&payload).filter(|_| header.kind == BlockKind::Seal as u8) {
            let Seal { version, blocks, covers } = seal;
            writeln!(out, "  index version {version} of {blocks} blocks, covers {covers} bytes")?;
        }
    }
    Ok(())
}

fn write_header(out: &mut dyn io::Write, found: &Found) -> io::Result<()> {
    let h = &found.header;
    let codec = match h.codec {
        codec if codec == Codec::Raw as u8 => "raw",
        codec if codec == Codec::Zstd as u8 => "zstd",
        codec if codec == Codec::Columns as u8 => "columns",
        _ => "unknown codec",
    };
    let kind = match h.kind {
        kind if kind == BlockKind::Events as u8 => "events",
        kind if kind == BlockKind::Meta as u8 => "meta",
        kind if kind == BlockKind::ModuleData as u8 => "module data",
        kind if kind == BlockKind::Index as u8 => "index",
        kind if kind == BlockKind::Seal as u8 => "seal",
        _ => "unknown kind",
    };
    write!(out, "{:#x} {kind} ({}), {codec} ({}), {} of {} bytes", found.at, h.kind, h.codec, h.stored_len, h.raw_len)?;
    if h.kind == BlockKind::Events as u8 {
        write!(out, ", stream {} image {} thread {}", h.stream, h.image, h.tid)?;
        write!(out, ", chunk {} from {}, {} records", h.sequence, h.offset, h.count)?;
        write!(out, ", epoch {} to {}", h.first_epoch, h.last_epoch)?;
        write!(out, ", time {} to {}", h.first_time, h.last_time)?;
    }
    writeln!(out)
}

fn write_events(
    out: &mut dyn io::Write,
    header: &BlockHeader,
    payload: &[u8],
    streams: &mut FxHashMap<u32, Position>,
) -> io::Result<()> {
    let mut deltas = match streams.get(&header.stream) {
        _ if header.offset == 0 => Deltas::at_chunk_start(header.first_epoch, header.first_time),
        Some(&(sequence, end, deltas)) if (sequence, end) == (header.sequence, header.offset) => deltas,
        _ => {
            streams.remove(&header.stream);
            return writeln!(out, "  continues a part that is missing");
        }
    };
    let mut rest = payload;
    loop {
        let at = header.offset as usize + (payload.len() - rest.len());
        match decode(&mut deltas, rest) {
            Ok(Some((record, len))) => {
                writeln!(out, "  +{at} {}", Show(&record))?;
                rest = rest.get(len..).unwrap_or(&[]);
            }
            Ok(None) => break,
            Err(error) => {
                let text = match error {
                    DecodeError::Cut => "a record that is longer than the block".to_owned(),
                    DecodeError::BadTag(tag) => format!("no record: tag {tag:#04x}"),
                    DecodeError::BadPayload(tag) => {
                        format!("no sense in the record with tag {tag:#04x}")
                    }
                };
                streams.remove(&header.stream);
                return writeln!(out, "  +{at} {text}");
            }
        }
    }
    streams.insert(header.stream, (header.sequence, header.offset.saturating_add(header.raw_len), deltas));
    Ok(())
}

/// A record in words.
#[derive(Debug)]
pub struct Show<'r>(pub &'r Record<'r>);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let realloc = |yes: bool| if yes { ", realloc" } else { "" };
        match self.0 {
            Record::Alloc { address, size, stack, realloc: r } => {
                write!(f, "alloc {address:#x} size {size} stack {stack}{}", realloc(*r))
            }
            Record::Free { address, realloc: r } => write!(f, "free {address:#x}{}", realloc(*r)),
            Record::ReallocFailed => f.write_str("realloc failed"),
            Record::ReallocFreed => f.write_str("realloc freed"),
            Record::Epoch(epoch) => write!(f, "epoch {epoch}"),
            Record::Clock(time) => write!(f, "time {time}"),
            Record::Define { first, parent, pcs } => {
                write!(f, "stacks from {first} below {parent}:")?;
                pcs.iter().try_for_each(|pc| write!(f, " {pc:#x}"))
            }
            Record::ForgetStacks => f.write_str("forget stacks"),
            Record::Gap { lost } => write!(f, "gap, {lost} events lost"),
            Record::Generation(generation) => write!(f, "generation {generation}"),
            Record::Module { generation, start, end, bias, build_id, path } => {
                write!(f, "module {start:#x}-{end:#x} bias {bias:#x} generation {generation} build-id ")?;
                build_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, " {}", path.escape_ascii())
            }
            Record::Image { kind, pid, parent, generation, exe, arguments } => {
                write!(f, "image {kind:?} pid {pid} parent ")?;
                if *parent == u32::MAX {
                    f.write_str("none")?
                } else {
                    write!(f, "{parent}")?
                }
                write!(f, " generation {generation} {}", exe.escape_ascii())?;
                arguments.iter().try_for_each(|argument| write!(f, " '{}'", argument.escape_ascii()))?;
                f.write_str(if arguments.cut { " (cut)" } else { "" })
            }
            Record::Untracked { pid, reason, path } => {
                let text = UntrackedReason::from_number(*reason).map_or("unknown reason", UntrackedReason::text);
                write!(f, "untracked pid {pid} {}: {text} ({reason})", path.escape_ascii())
            }
            Record::Map { address, len, stack, kind } => {
                let kind = match kind {
                    MapKind::Memory => "",
                    MapKind::File => ", file",
                    MapKind::Reserved => ", reserved",
                    MapKind::Moved => ", moved",
                };
                write!(f, "map {address:#x} length {len} stack {stack}{kind}")
            }
            Record::Unmap { address, len, moves } => {
                write!(f, "unmap {address:#x} length {len}{}", if *moves { ", moves" } else { "" })
            }
            Record::ThreadName { tid, chosen, name } => {
                let how = if *chosen { "is now called" } else { "begins as" };
                write!(f, "thread {tid} {how} '{}'", name.escape_ascii())
            }
            Record::RegionBegin { id, scope, name, limits } => {
                let whose = match scope {
                    RegionScope::Thread => "its thread",
                    RegionScope::Process => "its process",
                };
                write!(f, "region {id} of {whose} begins: '{}'", name.escape_ascii())?;
                if limits.is_empty() { Ok(()) } else { write!(f, ", allowed '{}'", limits.escape_ascii()) }
            }
            Record::RegionEnd { id } => write!(f, "region {id} ends"),
            Record::Interpreter { state, version } => {
                let text = InterpreterState::from_number(*state).map_or("unknown state", InterpreterState::text);
                write!(f, "interpreter, version {version:#010x}: {text} ({state})")
            }
            Record::Code { number, kind, name, .. } if *kind == CodeKind::Task as u8 => {
                write!(f, "task {number} {}", name.escape_ascii())
            }
            Record::Code { number, kind, first_line, lines_len, file, name } => {
                write!(f, "code {number} {} in {}", name.escape_ascii(), file.escape_ascii())?;
                write!(f, " from line {first_line}, {lines_len} bytes of lines, kind {kind}")
            }
            Record::Lines { number, offset, bytes } => {
                write!(f, "lines of code {number} from {offset}:")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
            Record::PythonStacks { first, parent, frames } => {
                write!(f, "Python stacks from {first} below {parent}:")?;
                frames.iter().try_for_each(|frame| write!(f, " {}+{}", frame.code, frame.offset))
            }
            Record::Merge { id, native, python, places } => {
                write!(f, "stack {id} is {native} with {python}")?;
                places.iter().try_for_each(|place| {
                    write!(f, ", {} frames after {}, {} times", place.frames, place.skip, place.repeat)
                })
            }
            Record::Unknown { tag, payload } => {
                write!(f, "unknown record, tag {tag:#04x}, {} bytes", payload.len())
            }
        }
    }
}

/// A metadata frame, names as text.
#[derive(Debug)]
pub struct ShowMeta<'m>(pub &'m Meta);

impl fmt::Display for ShowMeta<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Meta::Session(s) => {
                write!(f, "session pid {} exe {} in {}", s.pid, s.exe.escape_ascii(), s.cwd.escape_ascii())?;
                s.command.iter().try_for_each(|argument| write!(f, " '{}'", argument.escape_ascii()))?;
                write!(f, ", host {:?}, kernel {:?}, memtrack {:?}", s.host, s.kernel, s.memtrack_version)?;
                write!(f, ", pages of {}, {} processors", s.page_size, s.cpus)?;
                write!(f, ", started {} ns after 1970", s.start_unix_ns)
            }
            Meta::ThreadName { image, tid, name } => {
                write!(f, "thread {tid} of image {image} is called '{}'", name.escape_ascii())
            }
            Meta::ModuleFile(m) => {
                write!(f, "module file {} of image {}: {}", m.number, m.image, m.path.escape_ascii())?;
                f.write_str(", build-id ")?;
                m.build_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, ", {} bytes, device {} inode {}, modified {}", m.len, m.device, m.inode, m.modified_ns)?;
                f.write_str(if m.embedded { ", embedded" } else { "" })
            }
            Meta::Untracked { pid, exe, reason } => {
                write!(f, "untracked pid {pid} {}: {}", exe.escape_ascii(), reason.escape_debug())
            }
            // Numbers, and texts that Debug escapes.
            meta => write!(f, "{meta:?}"),
        }
    }
}
