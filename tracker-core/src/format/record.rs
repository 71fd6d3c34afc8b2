//! Every record a stream can hold, its decoder, and the writers of the rare ones.
//!
//! Rare records are `tag, u16 length, payload`, so that a reader can step over one that it does not know.

use super::event::{self, Deltas, Event};
use super::python::{Places, PythonFrames};
use super::wire::{Reader, Writer};
use super::{MAX_DEFINE_PCS, MAX_RECORD_LEN};

/// Tags outside the hot ranges of [`super::event`].
pub mod tag {
    /// Nothing was committed from here on.
    pub const END: u8 = 0x00;
    /// The realloc whose intent came last failed; its block lives on. No payload.
    pub const REALLOC_FAILED: u8 = 0x18;
    /// The realloc whose intent came last freed its block and returned none. No payload.
    pub const REALLOC_FREED: u8 = 0x19;
    /// All stack ids of this stream are void; numbering starts anew. No payload.
    pub const FORGET_STACKS: u8 = 0x1a;
    /// First tag of the short form of a free.
    pub const FREE_SHORT: u8 = 0x40;
    /// First tag of the short form of an allocation.
    pub const ALLOC_SHORT: u8 = 0x80;
    /// First tag of the records that carry a `u16` length.
    pub const SIZED: u8 = 0x20;
    /// Allocation in the long form.
    pub const ALLOC: u8 = 0x20;
    /// Free in the long form.
    pub const FREE: u8 = 0x21;
    /// New stack ids.
    pub const DEFINE: u8 = 0x22;
    /// Events that could not be recorded.
    pub const GAP: u8 = 0x23;
    /// The code generation changed: a module was unloaded.
    pub const GENERATION: u8 = 0x24;
    /// A module met for the first time.
    pub const MODULE: u8 = 0x25;
    /// A process image starts.
    pub const IMAGE: u8 = 0x26;
    /// A program that could not be tracked.
    pub const UNTRACKED: u8 = 0x27;
    /// A mapping was made.
    pub const MAP: u8 = 0x28;
    /// A mapping was removed.
    pub const UNMAP: u8 = 0x29;
    /// What a thread is called.
    pub const THREAD_NAME: u8 = 0x30;
    /// A Python interpreter was met.
    pub const INTERPRETER: u8 = 0x2a;
    /// A Python code object met for the first time.
    pub const CODE: u8 = 0x2b;
    /// A piece of a code object's line table.
    pub const LINES: u8 = 0x2c;
    /// New ids of stacks of Python frames.
    pub const PYTHON_STACKS: u8 = 0x2d;
    /// A new id: a native stack with a Python stack in it.
    pub const MERGE: u8 = 0x2e;
    /// A region that the program marks begins.
    pub const REGION_BEGIN: u8 = 0x31;
    /// It ends.
    pub const REGION_END: u8 = 0x32;
}

/// The allocation function a program called. Stored as the innermost marker of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Function {
    Malloc = 0,
    Calloc = 1,
    Realloc = 2,
    Reallocarray = 3,
    AlignedAlloc = 4,
    Memalign = 5,
    PosixMemalign = 6,
    Valloc = 7,
    Pvalloc = 8,
    Mmap = 9,
    Mremap = 10,
    /// `mmap`, called by a Python interpreter for an arena of pymalloc.
    PythonArena = 11,
    PyMemMalloc = 12,
    PyMemCalloc = 13,
    PyMemRealloc = 14,
    PyObjectMalloc = 15,
    PyObjectCalloc = 16,
    PyObjectRealloc = 17,
}

impl Function {
    /// All of them, in numerical order.
    pub const ALL: [Self; 18] = [
        Self::Malloc,
        Self::Calloc,
        Self::Realloc,
        Self::Reallocarray,
        Self::AlignedAlloc,
        Self::Memalign,
        Self::PosixMemalign,
        Self::Valloc,
        Self::Pvalloc,
        Self::Mmap,
        Self::Mremap,
        Self::PythonArena,
        Self::PyMemMalloc,
        Self::PyMemCalloc,
        Self::PyMemRealloc,
        Self::PyObjectMalloc,
        Self::PyObjectCalloc,
        Self::PyObjectRealloc,
    ];

    /// The C name, or what the call was for.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malloc => "malloc",
            Self::Calloc => "calloc",
            Self::Realloc => "realloc",
            Self::Reallocarray => "reallocarray",
            Self::AlignedAlloc => "aligned_alloc",
            Self::Memalign => "memalign",
            Self::PosixMemalign => "posix_memalign",
            Self::Valloc => "valloc",
            Self::Pvalloc => "pvalloc",
            Self::Mmap => "mmap",
            Self::Mremap => "mremap",
            Self::PythonArena => "pymalloc arena",
            Self::PyMemMalloc => "PyMem_Malloc",
            Self::PyMemCalloc => "PyMem_Calloc",
            Self::PyMemRealloc => "PyMem_Realloc",
            Self::PyObjectMalloc => "PyObject_Malloc",
            Self::PyObjectCalloc => "PyObject_Calloc",
            Self::PyObjectRealloc => "PyObject_Realloc",
        }
    }
}

/// How a block was asked for: the innermost entry of every stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Called {
    /// The function that was called.
    pub function: Function,
    /// The memory is recorded twice: as an arena of pymalloc, and as the objects in it. A reader counts the one or the other.
    pub twice: bool,
}

impl From<Function> for Called {
    #[inline(always)]
    fn from(function: Function) -> Self {
        Self { function, twice: false }
    }
}

impl Called {
    /// More than there are different ones.
    pub const COUNT: u32 = 2 * super::PC_TWICE as u32;

    /// The marker that ends a stack (see [`super::PC_FUNCTION`]).
    #[inline(always)]
    pub const fn marker(self) -> u64 {
        super::PC_FUNCTION + self.function as u64 + if self.twice { super::PC_TWICE } else { 0 }
    }

    /// Inverse of [`Self::marker`].
    pub fn from_marker(pc: u64) -> Option<Self> {
        let number = pc.checked_sub(super::PC_FUNCTION)?;
        let (twice, index) = (number / super::PC_TWICE, (number % super::PC_TWICE) as usize);
        Some(Self { function: Function::ALL.get(index).copied()?, twice: twice == 1 }).filter(|_| twice <= 1)
    }
}

/// How a process image came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ImageKind {
    /// The program that `memtrack run` started.
    First = 0,
    /// By exec, in the same process as its parent image or in a child of it.
    Exec = 1,
    /// By fork: it starts with its parent's blocks and modules.
    Fork = 2,
}

/// Why a program could not be tracked; numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum UntrackedReason {
    Static = 1,
    SetUid = 2,
    OtherClass = 3,
    NoLibc = 4,
    Musl = 5,
    Sanitizer = 6,
    Unreadable = 7,
    OtherMachine = 8,
    Sandbox = 9,
    OutOfReach = 10,
    Network = 11,
    OtherSession = 12,
    Silence = 13,
}

/// Whose allocations a region is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RegionScope {
    /// Those of the thread that began it.
    Thread = 0,
    /// Those of the whole process.
    Process = 1,
}

impl RegionScope {
    /// From its number; scopes of later versions count as the thread's.
    pub fn from_number(number: u8) -> Self {
        if number == 1 { Self::Process } else { Self::Thread }
    }
}

/// Longest name, and longest text of limits, of a region in bytes; what is longer is cut.
pub const MAX_REGION_TEXT: usize = 1024;

/// What a mapping is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum MapKind {
    /// Anonymous memory that can be used.
    Memory = 0,
    /// Of a file.
    File = 1,
    /// Anonymous, but not accessible: addresses that are reserved.
    Reserved = 2,
    /// The result of `mremap`, of the kind that the old mapping was.
    Moved = 3,
}

impl MapKind {
    /// From its number; kinds of later versions are none of these, and count like files.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Memory,
            2 => Self::Reserved,
            3 => Self::Moved,
            _ => Self::File,
        }
    }
}

impl UntrackedReason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Static,
        Self::SetUid,
        Self::OtherClass,
        Self::NoLibc,
        Self::Musl,
        Self::Sanitizer,
        Self::Unreadable,
        Self::OtherMachine,
        Self::Sandbox,
        Self::OutOfReach,
        Self::Network,
        Self::OtherSession,
        Self::Silence,
    ];

    /// From its number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| *reason as u8 == number)
    }

    /// The reason in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Static => "statically linked",
            Self::SetUid => "set-uid, set-gid or with file capabilities",
            Self::OtherClass => "built for 32 bit",
            Self::NoLibc => "has no dynamic loader that could load the library",
            Self::Musl => "linked against musl",
            Self::Sanitizer => "built with a sanitizer, whose runtime must come first",
            Self::Unreadable => "its file cannot be read as a program",
            Self::OtherMachine => "built for another machine",
            Self::Sandbox => "started inside a seccomp sandbox of the program's",
            Self::OutOfReach => "the recording library is out of its reach (another user, or another root folder)",
            Self::Network => "in another network namespace than memtrack",
            Self::OtherSession => "recorded by a memtrack of its own",
            Self::Silence => "started while memtrack did not answer (stopped, or without a processor)",
        }
    }
}

/// One record of a stream, decoded. Times in nanoseconds since the session's start, sizes and addresses in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Record<'a> {
    /// A call returned a block. `realloc`: it ends the realloc whose intent is the stream's last `Free`.
    Alloc { address: u64, size: u64, stack: u32, realloc: bool },
    /// A block is about to be freed. `realloc`: by a realloc that may still fail.
    Free { address: u64, realloc: bool },
    /// The pending realloc (or `mremap`) failed, the block lives.
    ReallocFailed,
    /// The pending realloc returned no block and freed the old one.
    ReallocFreed,
    /// The epoch that the following events belong to.
    Epoch(u64),
    /// The time as of the following events.
    Clock(u64),
    /// Stack ids `first`, `first + 1`, …: each `pcs` entry is one frame further in than the one before, the first one
    /// below `parent` ([`super::ROOT_STACK`] or an id defined earlier).
    Define { first: u32, parent: u32, pcs: Pcs<'a> },
    /// Every stack id of this stream is void.
    ForgetStacks,
    /// `lost` events are missing here.
    Gap { lost: u64 },
    /// Code addresses defined from here on belong to this generation of the image's modules.
    Generation(u32),
    /// A module met in generation `generation`: code from `start` to `end`, linked addresses + `bias` = addresses.
    Module { generation: u32, start: u64, end: u64, bias: u64, build_id: &'a [u8], path: &'a [u8] },
    /// The image of this stream starts. `parent`: the image it came from, `u32::MAX` for the first.
    Image { kind: ImageKind, pid: u32, parent: u32, generation: u32, exe: &'a [u8], arguments: Arguments<'a> },
    /// An exec of `path` in process `pid` that the library could not follow; `reason` as in [`UntrackedReason`].
    Untracked { pid: u32, reason: u8, path: &'a [u8] },
    /// `mmap` or `mremap` returned `address`.
    Map { address: u64, len: u64, stack: u32, kind: MapKind },
    /// `munmap` is about to remove this range; or `mremap` (`moves`) to resize or move it, which the next record but
    /// epoch and clock completes: `Map`, or `ReallocFailed`.
    Unmap { address: u64, len: u64, moves: bool },
    /// Thread `tid` of this stream's image is called `name`. `chosen`: the program has just named it so, else it is the
    /// name that the thread began with.
    ThreadName { tid: u32, chosen: bool, name: &'a [u8] },
    /// The program begins a region; `id` is its own in this image. `limits`: what the program allows in it, as
    /// `KEY=VALUE` with commas between; may be empty.
    RegionBegin { id: u64, scope: RegionScope, name: &'a [u8], limits: &'a [u8] },
    /// The region `id` of this image ends.
    RegionEnd { id: u64 },
    /// A Python interpreter of version `version` (`PY_VERSION_HEX`); `state` as in [`super::python::InterpreterState`].
    Interpreter { state: u8, version: u32 },
    /// Code object `number` of any interpreter of the session; `kind` as in [`super::python::CodeKind`].
    Code { number: u32, kind: u8, first_line: u32, lines_len: u32, file: &'a [u8], name: &'a [u8] },
    /// A piece of a code object's lines, from `offset` on.
    Lines { number: u32, offset: u32, bytes: &'a [u8] },
    /// As `Define`, of Python frames.
    PythonStacks { first: u32, parent: u32, frames: PythonFrames<'a> },
    /// `id` is the native stack `native` with the Python stack `python` in it.
    Merge { id: u32, native: u32, python: u32, places: Places<'a> },
    /// A record of a later version.
    Unknown { tag: u8, payload: &'a [u8] },
}

/// The return addresses of a [`Record::Define`], outermost first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pcs<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl Pcs<'_> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The addresses, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let mut reader = Reader::new(self.bytes);
        let mut pc = 0u64;
        (0..self.count).map_while(move |_| {
            pc = pc.wrapping_add(reader.signed()? as u64);
            Some(pc)
        })
    }
}

/// The command line of a [`Record::Image`]; `cut` when it was too long to be kept whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arguments<'a> {
    /// Some arguments are missing at the end.
    pub cut: bool,
    bytes: &'a [u8],
}

impl<'a> Arguments<'a> {
    /// The arguments in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || reader.text())
    }
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The record is longer than the bytes there are.
    Cut,
    /// No record starts with this tag.
    BadTag(u8),
    /// The payload of a known record makes no sense.
    BadPayload(u8),
}

/// Length in bytes of the record at the front of `bytes`, tag included, without decoding it; 0 at [`tag::END`] or at
/// the end of `bytes`.
#[inline]
pub fn record_len(bytes: &[u8]) -> Result<usize, DecodeError> {
    let Some(&first) = bytes.first() else { return Ok(0) };
    let len = match first {
        tag::END => return Ok(0),
        tag::REALLOC_FAILED | tag::REALLOC_FREED | tag::FORGET_STACKS => 1,
        0x20..0x40 => match *bytes {
            [_, low, high, ..] => 3 + usize::from(u16::from_le_bytes([low, high])),
            _ => return Err(DecodeError::Cut),
        },
        _ => 1 + event::payload_len(first).ok_or(DecodeError::BadTag(first))?,
    };
    if len > bytes.len() { Err(DecodeError::Cut) } else { Ok(len) }
}

/// Decodes the record at the front of `bytes` and steps `deltas`. Answers the record and its length; `None` at
/// [`tag::END`] or at the end of `bytes`.
#[inline]
pub fn decode<'a>(deltas: &mut Deltas, bytes: &'a [u8]) -> Result<Option<(Record<'a>, usize)>, DecodeError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first == tag::END {
        return Ok(None);
    }
    if let Some(len) = event::payload_len(first) {
        let payload = match bytes.get(1..17).and_then(|b| <[u8; 16]>::try_from(b).ok()) {
            Some(whole) => u128::from_le_bytes(whole),
            None => {
                let rest = bytes.get(1..1 + len).ok_or(DecodeError::Cut)?;
                let mut whole = [0u8; 16];
                for (to, from) in whole.iter_mut().zip(rest) {
                    *to = *from;
                }
                u128::from_le_bytes(whole)
            }
        };
        let record = match deltas.decode(first, payload) {
            Event::Alloc { address, size, stack, realloc } => Record::Alloc { address, size, stack, realloc },
            Event::Free { address, realloc } => Record::Free { address, realloc },
            Event::Epoch(epoch) => Record::Epoch(epoch),
            Event::Clock(time) => Record::Clock(time),
        };
        return Ok(Some((record, 1 + len)));
    }
    let len = record_len(bytes)?;
    let record = match first {
        tag::REALLOC_FAILED => Record::ReallocFailed,
        tag::REALLOC_FREED => Record::ReallocFreed,
        tag::FORGET_STACKS => Record::ForgetStacks,
        _ => {
            let payload = bytes.get(3..len).ok_or(DecodeError::Cut)?;
            decode_sized(deltas, first, payload).ok_or(DecodeError::BadPayload(first))?
        }
    };
    Ok(Some((record, len)))
}

fn decode_sized<'a>(deltas: &mut Deltas, tag: u8, payload: &'a [u8]) -> Option<Record<'a>> {
    let mut r = Reader::new(payload);
    Some(match tag {
        tag::ALLOC => {
            let (flags, address, size, stack) = (r.u8()?, r.u64()?, r.u64()?, r.u32()?);
            deltas.address = address >> 4;
            deltas.stack = stack;
            Record::Alloc { address, size, stack, realloc: flags & 1 != 0 }
        }
        tag::FREE => {
            let (flags, address) = (r.u8()?, r.u64()?);
            deltas.address = address >> 4;
            Record::Free { address, realloc: flags & 1 != 0 }
        }
        tag::DEFINE => {
            let (first, parent, count) = (r.u32()?, r.u32()?, r.u16()?);
            let pcs = Pcs { count, bytes: r.rest() };
            if first == 0 || parent >= first || usize::from(count) > MAX_DEFINE_PCS || pcs.iter().count() != pcs.len() {
                return None;
            }
            Record::Define { first, parent, pcs }
        }
        tag::GAP => Record::Gap { lost: r.u64()? },
        tag::GENERATION => Record::Generation(r.u32()?),
        tag::MODULE => Record::Module {
            generation: r.u32()?,
            start: r.u64()?,
            end: r.u64()?,
            bias: r.u64()?,
            build_id: r.text()?,
            path: r.text()?,
        },
        tag::IMAGE => {
            let kind = match r.u8()? {
                0 => ImageKind::First,
                1 => ImageKind::Exec,
                2 => ImageKind::Fork,
                _ => return None,
            };
            let (pid, parent, generation, cut) = (r.u32()?, r.u32()?, r.u32()?, r.u8()? != 0);
            let exe = r.text()?;
            Record::Image { kind, pid, parent, generation, exe, arguments: Arguments { cut, bytes: r.rest() } }
        }
        tag::UNTRACKED => Record::Untracked { pid: r.u32()?, reason: r.u8()?, path: r.text()? },
        tag::MAP => {
            let kind = MapKind::from_number(r.u8()?);
            Record::Map { kind, address: r.u64()?, len: r.u64()?, stack: r.u32()? }
        }
        tag::UNMAP => Record::Unmap { moves: r.u8()? != 0, address: r.u64()?, len: r.u64()? },
        tag::THREAD_NAME => Record::ThreadName { tid: r.u32()?, chosen: r.u8()? != 0, name: r.text()? },
        tag::REGION_BEGIN => Record::RegionBegin {
            id: r.u64()?,
            scope: RegionScope::from_number(r.u8()?),
            name: r.text()?,
            limits: r.text()?,
        },
        tag::REGION_END => Record::RegionEnd { id: r.u64()? },
        tag::INTERPRETER => Record::Interpreter { state: r.u8()?, version: r.u32()? },
        tag::CODE => Record::Code {
            number: r.u32()?,
            kind: r.u8()?,
            first_line: r.u32()?,
            lines_len: r.u32()?,
            file: r.text()?,
            name: r.text()?,
        },
        tag::LINES => Record::Lines { number: r.u32()?, offset: r.u32()?, bytes: r.rest() },
        tag::PYTHON_STACKS => {
            let (first, parent, count) = (r.u32()?, r.u32()?, r.u16()?);
            let frames = PythonFrames::new(count, r.rest())?;
            if first == 0 || parent >= first {
                return None;
            }
            Record::PythonStacks { first, parent, frames }
        }
        tag::MERGE => {
            let (id, native, python) = (r.u32()?, r.u32()?, r.u32()?);
            if native >= id || python >= id {
                return None;
            }
            Record::Merge { id, native, python, places: Places::new(r.rest())? }
        }
        _ => Record::Unknown { tag, payload },
    })
}

/// Writes `tag, length, payload` into `buffer`; answers the record's whole length. `None` when it does not fit.
pub(super) fn sized(buffer: &mut [u8], tag: u8, payload: impl FnOnce(&mut Writer<'_>)) -> Option<usize> {
    let (head, body) = buffer.get_mut(..)?.split_at_mut_checked(3)?;
    let mut writer = Writer::new(body);
    payload(&mut writer);
    let len = writer.finish()?;
    let [low, high] = u16::try_from(len).ok()?.to_le_bytes();
    for (to, from) in head.iter_mut().zip([tag, low, high]) {
        *to = from;
    }
    Some(3 + len)
}

/// Long form of an allocation. Steps `deltas` as the decoder will.
pub fn write_alloc(
    buffer: &mut [u8],
    deltas: &mut Deltas,
    (address, size): (u64, u64),
    stack: u32,
    realloc: bool,
) -> Option<usize> {
    deltas.address = address >> 4;
    deltas.stack = stack;
    sized(buffer, tag::ALLOC, |w| {
        w.u8(u8::from(realloc));
        w.u64(address);
        w.u64(size);
        w.u32(stack);
    })
}

/// Long form of a free. Steps `deltas` as the decoder will.
pub fn write_free(buffer: &mut [u8], deltas: &mut Deltas, address: u64, realloc: bool) -> Option<usize> {
    deltas.address = address >> 4;
    sized(buffer, tag::FREE, |w| {
        w.u8(u8::from(realloc));
        w.u64(address);
    })
}

/// Defines the ids `first…` for at most [`MAX_DEFINE_PCS`] frames below `parent`, outermost first. `first > parent`.
pub fn write_define(
    buffer: &mut [u8],
    first: u32,
    parent: u32,
    pcs: impl ExactSizeIterator<Item = u64>,
) -> Option<usize> {
    sized(buffer, tag::DEFINE, |w| {
        w.u32(first);
        w.u32(parent);
        w.u16(pcs.len() as u16);
        let mut last = 0u64;
        for pc in pcs {
            w.signed(pc.wrapping_sub(last) as i64);
            last = pc;
        }
    })
}

/// Records that `lost` events are missing.
pub fn write_gap(buffer: &mut [u8], lost: u64) -> Option<usize> {
    sized(buffer, tag::GAP, |w| w.u64(lost))
}

/// Records the code generation in force.
pub fn write_generation(buffer: &mut [u8], generation: u32) -> Option<usize> {
    sized(buffer, tag::GENERATION, |w| w.u32(generation))
}

/// What [`write_module`] records.
#[derive(Debug, Clone, Copy)]
pub struct ModuleFields<'a> {
    pub generation: u32,
    pub start: u64,
    pub end: u64,
    pub bias: u64,
    pub build_id: &'a [u8],
    pub path: &'a [u8],
}

/// Records a module; a path is cut at 2 KiB.
pub fn write_module(buffer: &mut [u8], module: &ModuleFields<'_>) -> Option<usize> {
    sized(buffer, tag::MODULE, |w| {
        w.u32(module.generation);
        w.u64(module.start);
        w.u64(module.end);
        w.u64(module.bias);
        w.text(module.build_id, 64);
        w.text(module.path, 2048);
    })
}

/// Records the start of an image. Arguments that do not fit in [`MAX_RECORD_LEN`] are left out, and it says so.
pub fn write_image<'s>(
    buffer: &mut [u8],
    kind: ImageKind,
    (pid, parent, generation): (u32, u32, u32),
    exe: &[u8],
    arguments: impl Iterator<Item = &'s [u8]> + Clone,
) -> Option<usize> {
    let room = MAX_RECORD_LEN.saturating_sub(3 + 14 + 2 + exe.len().min(1024));
    let mut used = 0usize;
    let mut kept = 0usize;
    for argument in arguments.clone() {
        used = used.saturating_add(2).saturating_add(argument.len());
        if used > room {
            break;
        }
        kept += 1;
    }
    let cut = arguments.clone().nth(kept).is_some();
    sized(buffer, tag::IMAGE, |w| {
        w.u8(kind as u8);
        w.u32(pid);
        w.u32(parent);
        w.u32(generation);
        w.u8(u8::from(cut));
        w.text(exe, 1024);
        for argument in arguments.take(kept) {
            w.text(argument, room);
        }
    })
}

/// Records a program that is executed but cannot be tracked.
pub fn write_untracked(buffer: &mut [u8], pid: u32, reason: UntrackedReason, path: &[u8]) -> Option<usize> {
    sized(buffer, tag::UNTRACKED, |w| {
        w.u32(pid);
        w.u8(reason as u8);
        w.text(path, 2048);
    })
}

/// Records a mapping.
pub fn write_map(buffer: &mut [u8], (address, len): (u64, u64), stack: u32, kind: MapKind) -> Option<usize> {
    sized(buffer, tag::MAP, |w| {
        w.u8(kind as u8);
        w.u64(address);
        w.u64(len);
        w.u32(stack);
    })
}

/// Records the end of a mapping. `moves`: it is the intent of an `mremap`.
pub fn write_unmap(buffer: &mut [u8], (address, len): (u64, u64), moves: bool) -> Option<usize> {
    sized(buffer, tag::UNMAP, |w| {
        w.u8(u8::from(moves));
        w.u64(address);
        w.u64(len);
    })
}

/// Records a thread's name, cut at 64 bytes; the kernel keeps 15.
pub fn write_thread_name(buffer: &mut [u8], tid: u32, chosen: bool, name: &[u8]) -> Option<usize> {
    sized(buffer, tag::THREAD_NAME, |w| {
        w.u32(tid);
        w.u8(u8::from(chosen));
        w.text(name, 64);
    })
}

/// Records that a region begins.
pub fn write_region_begin(buffer: &mut [u8], id: u64, scope: RegionScope, name: &[u8], limits: &[u8]) -> Option<usize> {
    sized(buffer, tag::REGION_BEGIN, |w| {
        w.u64(id);
        w.u8(scope as u8);
        w.text(name, MAX_REGION_TEXT);
        w.text(limits, MAX_REGION_TEXT);
    })
}

/// Records that a region ends.
pub fn write_region_end(buffer: &mut [u8], id: u64) -> Option<usize> {
    sized(buffer, tag::REGION_END, |w| w.u64(id))
}
