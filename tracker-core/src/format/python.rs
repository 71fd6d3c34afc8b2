//! The records about Python: the interpreter, its code objects, stacks of Python frames, and how such a stack and a
//! native one become one stack. Part of `docs/format.md`, section 5.

use super::MAX_DEFINE_PCS;
use super::record::{sized, tag};
use super::wire::Reader;

/// Code number of a frame whose code object is not known, or that stands for frames that were cut out.
pub const NO_CODE: u32 = 0;

/// Most bytes of lines in one [`write_lines`].
pub const MAX_LINES: usize = 256;

/// Longest file name and longest function name that are kept, in bytes of UTF-8.
pub const MAX_NAME: usize = 1024;

/// What became of an interpreter that was met; numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum InterpreterState {
    /// Its frames are recorded.
    Recorded = 0,
    /// Its version is not one whose frames can be read.
    UnknownVersion = 1,
    /// What was found in memory is not what its version promises.
    SelfCheckFailed = 2,
    /// It is built without a global lock.
    FreeThreaded = 3,
}

impl InterpreterState {
    /// From its number.
    pub fn from_number(number: u8) -> Option<Self> {
        let all = [Self::Recorded, Self::UnknownVersion, Self::SelfCheckFailed, Self::FreeThreaded];
        all.into_iter().find(|state| *state as u8 == number)
    }

    /// Why its frames are not recorded, in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Recorded => "its frames are recorded",
            Self::UnknownVersion => "the version is not supported",
            Self::SelfCheckFailed => "its memory is not laid out as its version promises",
            Self::FreeThreaded => "free-threaded builds are not supported",
        }
    }
}

/// What a code record describes; numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CodeKind {
    /// A code object.
    Code = 1,
    /// No code, but an asyncio task, with its name alone. Without one: the named tasks of a thread that were too many.
    Task = 2,
}

impl CodeKind {
    /// From its number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Code, Self::Task].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A Python frame: the number of its code object, and how many bytes into its bytecode it is. Negative before the first
/// instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PythonFrame {
    pub code: u32,
    pub offset: i32,
}

/// The frames of a [`super::Record::PythonStacks`], outermost first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PythonFrames<'a> {
    count: u16,
    bytes: &'a [u8],
}

impl<'a> PythonFrames<'a> {
    pub(super) fn new(count: u16, bytes: &'a [u8]) -> Option<Self> {
        let frames = Self { count, bytes };
        (usize::from(count) <= MAX_DEFINE_PCS && frames.iter().count() == usize::from(count)).then_some(frames)
    }

    /// The frames, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = PythonFrame> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        let mut code = 0u32;
        (0..self.count).map_while(move |_| {
            code = code.wrapping_add(reader.signed()? as u32);
            Some(PythonFrame { code, offset: i32::try_from(reader.signed()?).ok()? })
        })
    }
}

/// Where Python frames stand in a native stack, from the leaf outwards: step over `skip` native entries, then the
/// innermost `frames` Python frames that are left stand at the next entry, which is their eval loop's. `repeat` times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub skip: u32,
    pub frames: u32,
    pub repeat: u32,
}

/// The places of a [`super::Record::Merge`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Places<'a> {
    bytes: &'a [u8],
}

impl<'a> Places<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let places = Self { bytes };
        let mut reader = Reader::new(bytes);
        while !reader.rest().is_empty() {
            place(&mut reader)?;
        }
        Some(places)
    }

    /// The places, innermost first.
    pub fn iter(&self) -> impl Iterator<Item = Place> + use<'a> {
        let mut reader = Reader::new(self.bytes);
        core::iter::from_fn(move || place(&mut reader))
    }
}

fn place(reader: &mut Reader<'_>) -> Option<Place> {
    let mut number = || u32::try_from(reader.varint()?).ok();
    Some(Place { skip: number()?, frames: number()?, repeat: number()? })
}

/// Records what became of an interpreter; `version` is its `PY_VERSION_HEX`, unknown parts zero.
pub fn write_interpreter(buffer: &mut [u8], version: u32, state: InterpreterState) -> Option<usize> {
    sized(buffer, tag::INTERPRETER, |w| {
        w.u8(state as u8);
        w.u32(version);
    })
}

/// What [`write_code`] records. Names are UTF-8, where the interpreter's are.
#[derive(Debug, Clone, Copy)]
pub struct CodeFields<'a> {
    pub number: u32,
    pub kind: CodeKind,
    pub first_line: u32,
    /// Bytes of all its lines, which [`write_lines`] records.
    pub lines_len: u32,
    pub file: &'a [u8],
    pub name: &'a [u8],
}

/// Describes a code object; names are cut at [`MAX_NAME`].
pub fn write_code(buffer: &mut [u8], code: &CodeFields<'_>) -> Option<usize> {
    sized(buffer, tag::CODE, |w| {
        w.u32(code.number);
        w.u8(code.kind as u8);
        w.u32(code.first_line);
        w.u32(code.lines_len);
        w.text(code.file, MAX_NAME);
        w.text(code.name, MAX_NAME);
    })
}

/// Records a piece, at most [`MAX_LINES`] long, of the lines of code object `number`, as [`super::lines::Lines`] writes them.
pub fn write_lines(buffer: &mut [u8], number: u32, offset: u32, bytes: &[u8]) -> Option<usize> {
    sized(buffer, tag::LINES, |w| {
        w.u32(number);
        w.u32(offset);
        w.bytes(bytes);
    })
}

/// Defines the ids `first…` for at most [`MAX_DEFINE_PCS`] Python frames below `parent`, outermost first.
/// `first > parent`.
pub fn write_python_stacks(
    buffer: &mut [u8],
    first: u32,
    parent: u32,
    frames: impl ExactSizeIterator<Item = PythonFrame>,
) -> Option<usize> {
    sized(buffer, tag::PYTHON_STACKS, |w| {
        w.u32(first);
        w.u32(parent);
        w.u16(frames.len() as u16);
        let mut last = 0u32;
        for frame in frames {
            w.signed(i64::from(frame.code.wrapping_sub(last) as i32));
            w.signed(i64::from(frame.offset));
            last = frame.code;
        }
    })
}

/// Defines `id` as the native stack `native` with the Python stack `python` in it. Places that do not fit into `buffer`
/// are left out: they are the outermost.
pub fn write_merge(
    buffer: &mut [u8],
    id: u32,
    (native, python): (u32, u32),
    places: impl Iterator<Item = Place>,
) -> Option<usize> {
    /// Bytes of the longest place.
    const LONGEST: usize = 15;
    let room = buffer.len().saturating_sub(3);
    sized(buffer, tag::MERGE, |w| {
        w.u32(id);
        w.u32(native);
        w.u32(python);
        for place in places {
            if w.written() + LONGEST > room {
                break;
            }
            for number in [place.skip, place.frames, place.repeat] {
                w.varint(u64::from(number));
            }
        }
    })
}
