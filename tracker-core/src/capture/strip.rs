//! Copies a capture with every text in it looked at, and changed or left out: for sharing, and for a list of what it says.
//!
//! What the copy has is what is understood here: files of modules, an index, and whatever a later version may have added stay
//! behind, because they may say anything. Damage stays visible as damage.

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use super::block::{BlockHeader, BlockKind, Codec};
use super::meta::{Meta, MetaRoom, Session};
use super::payload::Loader;
use super::scan::{Piece, Scan};
use super::source::Source;
use super::writer::{Events, Writer};
use crate::format::python::{CodeFields, CodeKind, write_code};
use crate::format::record::{self, ModuleFields, UntrackedReason};
use crate::format::{Deltas, MAX_RECORD_LEN, Record};

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextKind {
    /// The file of a program, or what it was called by.
    Program,
    /// An argument of a program.
    Argument,
    /// The working folder.
    Folder,
    /// The machine's name.
    Host,
    /// Versions of the kernel and of memtrack.
    System,
    /// A thread's name.
    Thread,
    /// The name of a region, which the program's author chose.
    Region,
    /// The file of a library or program.
    Module,
    /// The same, and the file's whole contents with its symbols and debug names are in the capture.
    EmbeddedModule,
    /// A sentence about the recording.
    Remark,
    /// The name of a function: in the index, or of Python code.
    Function,
    /// The path of a source file, likewise.
    Source,
}

impl TextKind {
    /// The kind in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Argument => "argument",
            Self::Folder => "folder",
            Self::Host => "host",
            Self::System => "system",
            Self::Thread => "thread",
            Self::Region => "region",
            Self::Module => "module",
            Self::EmbeddedModule => "embedded-module",
            Self::Remark => "remark",
            Self::Function => "function",
            Self::Source => "source",
        }
    }
}

/// Decides about texts. The working folder comes before all others.
pub trait Texts {
    /// What stands in the copy instead of `text`; `None` leaves it out.
    fn text(&mut self, kind: TextKind, text: &[u8]) -> Option<Vec<u8>>;
}

/// Where the copy goes.
pub trait Target {
    /// Records of one stream.
    ///
    /// # Errors
    /// Those of writing.
    fn events(&mut self, events: &Events, records: &[u8]) -> io::Result<()>;

    /// A frame of metadata.
    ///
    /// # Errors
    /// Those of writing.
    fn meta(&mut self, meta: &Meta) -> io::Result<()>;

    /// A place where the original is damaged.
    ///
    /// # Errors
    /// Those of writing.
    fn damage(&mut self) -> io::Result<()>;
}

impl<W: Write> Target for Writer<W> {
    fn events(&mut self, events: &Events, records: &[u8]) -> io::Result<()> {
        self.events(events, records, Codec::Columns)
    }

    fn meta(&mut self, meta: &Meta) -> io::Result<()> {
        self.meta(meta)
    }

    fn damage(&mut self) -> io::Result<()> {
        self.damage()
    }
}

/// No copy: for those who want the texts alone.
#[derive(Debug)]
pub struct Nowhere;

impl Target for Nowhere {
    fn events(&mut self, _: &Events, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn meta(&mut self, _: &Meta) -> io::Result<()> {
        Ok(())
    }

    fn damage(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends the blocks of `source` to `target`, with the texts that `texts` wants. `extra` follows the session's frame.
///
/// # Errors
/// Those of reading and writing.
pub fn strip(
    source: &impl Source,
    target: &mut impl Target,
    texts: &mut dyn Texts,
    mut extra: Option<Meta>,
) -> io::Result<()> {
    let mut loader = Loader::new()?;
    let size = source.size()?;
    let (mut scan, mut meta_room) = (Scan::new(source, size), MetaRoom::new(size));
    let mut payload = Vec::new();
    let mut streams = Streams::default();
    while let Some(piece) = scan.next_piece()? {
        let Piece::Block(found) = piece else {
            target.damage()?;
            continue;
        };
        let header = found.header;
        let is = |kind: BlockKind| header.kind == kind as u8;
        if !is(BlockKind::Events) && !is(BlockKind::Meta) {
            continue;
        }
        let has_room = is(BlockKind::Events) || meta_room.take(header.raw_len);
        if !has_room || !loader.load(source, &header, found.payload_at(), &mut payload)? {
            target.damage()?;
        } else if is(BlockKind::Events) {
            let (offset, count, records) = streams.block(&header, &payload, texts);
            target.events(&events(&header, offset, count), &records)?;
        } else if let Some(meta) = Meta::decode(&payload) {
            let is_session = matches!(meta, Meta::Session(_));
            target.meta(&frame(meta, texts))?;
            if let Some(extra) = extra.take_if(|_| is_session) {
                target.meta(&extra)?;
            }
        }
    }
    extra.map_or(Ok(()), |extra| target.meta(&extra))
}

fn events(header: &BlockHeader, offset: u32, count: u32) -> Events {
    Events {
        stream: header.stream,
        image: header.image,
        tid: header.tid,
        sequence: header.sequence,
        offset,
        count,
        first_epoch: header.first_epoch,
        last_epoch: header.last_epoch,
        first_time: header.first_time,
        last_time: header.last_time,
    }
}

fn frame(meta: Meta, texts: &mut dyn Texts) -> Meta {
    let mut bytes = |kind, text: Vec<u8>| texts.text(kind, &text).unwrap_or_default();
    match meta {
        Meta::Session(session) => Meta::Session(self::session(session, texts)),
        Meta::ThreadName { image, tid, name } => Meta::ThreadName { image, tid, name: bytes(TextKind::Thread, name) },
        Meta::ModuleFile(mut file) => {
            let kind = if file.embedded { TextKind::EmbeddedModule } else { TextKind::Module };
            file.path = bytes(kind, file.path);
            // Its contents are not copied; where it lay concerns one machine.
            (file.embedded, file.device, file.inode) = (false, 0, 0);
            Meta::ModuleFile(file)
        }
        Meta::Untracked { pid, exe, reason } => Meta::Untracked {
            pid,
            exe: bytes(TextKind::Program, exe),
            reason: string(bytes(TextKind::Remark, reason.into_bytes())),
        },
        Meta::Warning { text } => Meta::Warning { text: string(bytes(TextKind::Remark, text.into_bytes())) },
        Meta::Stopped { time, reason, lost_bytes } => {
            Meta::Stopped { time, reason: string(bytes(TextKind::Remark, reason.into_bytes())), lost_bytes }
        }
        numbers @ (Meta::Rss { .. }
        | Meta::ImageEnd { .. }
        | Meta::RootExit { .. }
        | Meta::End { .. }
        | Meta::Redacted) => numbers,
    }
}

/// What was recorded, with the texts that `texts` wants.
pub fn session(mut session: Session, texts: &mut dyn Texts) -> Session {
    let mut bytes = |kind, text: Vec<u8>| texts.text(kind, &text).unwrap_or_default();
    session.cwd = bytes(TextKind::Folder, session.cwd);
    session.exe = bytes(TextKind::Program, session.exe);
    session.host = string(bytes(TextKind::Host, session.host.into_bytes()));
    session.kernel = string(bytes(TextKind::System, session.kernel.into_bytes()));
    session.memtrack_version = string(bytes(TextKind::System, session.memtrack_version.into_bytes()));
    session.command = command(session.command.iter().map(Vec::as_slice), texts);
    session
}

fn string(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command line: what the program was called by, then its arguments.
fn command<'a>(words: impl Iterator<Item = &'a [u8]>, texts: &mut dyn Texts) -> Vec<Vec<u8>> {
    let kinds = std::iter::once(TextKind::Program).chain(std::iter::repeat(TextKind::Argument));
    words.zip(kinds).filter_map(|(word, kind)| texts.text(kind, word)).collect()
}

/// Where parts of chunks that were copied end, in the source and in the copy: texts change the length of records.
#[derive(Debug, Default)]
struct Streams(FxHashMap<u32, (u32, u32, u32)>);

impl Streams {
    /// Offset, number of records and records of the copy of one part.
    fn block(&mut self, header: &BlockHeader, payload: &[u8], texts: &mut dyn Texts) -> (u32, u32, Vec<u8>) {
        let (mut out, mut count, mut rest) = (Vec::with_capacity(payload.len()), 0, payload);
        while let Ok(len @ 1..) = record::record_len(rest) {
            let (bytes, behind) = rest.split_at(len.min(rest.len()));
            count += u32::from(push(bytes, texts, &mut out));
            rest = behind;
        }
        if !rest.is_empty() {
            // No record, and none here either.
            out.push(NO_RECORD);
        }
        let (from, to) = match self.0.get(&header.stream) {
            Some(&(sequence, from, to)) if sequence == header.sequence => (from, to),
            _ => (0, 0),
        };
        // A part whose predecessor is missing must not seem to follow another one.
        let offset = if header.offset == from { to } else { u32::MAX };
        let end = header.offset.saturating_add(header.raw_len);
        self.0.insert(header.stream, (header.sequence, end, offset.saturating_add(out.len() as u32)));
        (offset, count, out)
    }
}

/// A tag that no record has.
const NO_RECORD: u8 = 0x1f;

/// Appends one record; false when it is left out.
fn push(bytes: &[u8], texts: &mut dyn Texts, out: &mut Vec<u8>) -> bool {
    // Records with texts stand outside the delta coding, so that what the others mean does not depend on them.
    let Ok(Some((record, _))) = record::decode(&mut Deltas::default(), bytes) else { return false };
    let mut buffer = [0; MAX_RECORD_LEN];
    let written = match record {
        Record::Alloc { .. }
        | Record::Free { .. }
        | Record::ReallocFailed
        | Record::ReallocFreed
        | Record::Epoch(_)
        | Record::Clock(_)
        | Record::Define { .. }
        | Record::ForgetStacks
        | Record::Gap { .. }
        | Record::Generation(_)
        | Record::Map { .. }
        | Record::Unmap { .. }
        | Record::Interpreter { .. }
        | Record::Lines { .. }
        | Record::PythonStacks { .. }
        | Record::RegionEnd { .. }
        | Record::Merge { .. } => {
            out.extend_from_slice(bytes);
            return true;
        }
        Record::Image { kind, pid, parent, generation, exe, arguments } => {
            let exe = texts.text(TextKind::Program, exe).unwrap_or_default();
            let words = command(arguments.iter(), texts);
            let words = words.iter().map(Vec::as_slice);
            record::write_image(&mut buffer, kind, (pid, parent, generation), &exe, words)
        }
        Record::Module { generation, start, end, bias, build_id, path } => {
            let path = &texts.text(TextKind::Module, path).unwrap_or_default();
            record::write_module(&mut buffer, &ModuleFields { generation, start, end, bias, build_id, path })
        }
        Record::Untracked { pid, reason, path } => {
            let path = texts.text(TextKind::Program, path).unwrap_or_default();
            let reason = UntrackedReason::from_number(reason);
            reason.and_then(|reason| record::write_untracked(&mut buffer, pid, reason, &path))
        }
        Record::ThreadName { tid, chosen, name } => {
            let name = texts.text(TextKind::Thread, name).unwrap_or_default();
            record::write_thread_name(&mut buffer, tid, chosen, &name)
        }
        Record::RegionBegin { id, scope, name, limits } => {
            let name = texts.text(TextKind::Region, name).unwrap_or_default();
            record::write_region_begin(&mut buffer, id, scope, &name, limits)
        }
        Record::Code { number, kind, first_line, lines_len, file, name } => {
            let file = &texts.text(TextKind::Source, file).unwrap_or_default();
            let name = &texts.text(TextKind::Function, name).unwrap_or_default();
            let kind = CodeKind::from_number(kind);
            kind.and_then(|kind| {
                write_code(&mut buffer, &CodeFields { number, kind, first_line, lines_len, file, name })
            })
        }
        Record::Unknown { .. } => None,
    };
    let written = written.and_then(|len| buffer.get(..len));
    out.extend_from_slice(written.unwrap_or_default());
    written.is_some()
}
