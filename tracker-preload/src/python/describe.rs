//! What a code object says of itself, written into the stream when it is met for the first time. Everything is checked
//! before it is believed: this is where a layout that is wrong shows.

use core::sync::atomic::{AtomicU32, Ordering};

use tracker_core::format::lines::{LineTable, Lines};
use tracker_core::format::python::{
    CodeFields, CodeKind, InterpreterState, MAX_LINES, MAX_NAME, write_code, write_interpreter, write_lines,
};

use super::Note;
use super::codes::{self, HIDDEN};
use super::interpreter::Interpreter;
use super::layout::{BYTES_DATA, BYTES_LEN, Family, OBJECT_TYPE};
use super::memory::Pages;
use crate::lanes::Lanes;

/// Longest line table that is believed.
const LONGEST_LINES: usize = 8 << 20;

/// Code objects that made sense, and what was to be one and did not.
static GOOD: AtomicU32 = AtomicU32::new(0);
static BAD: AtomicU32 = AtomicU32::new(0);
/// So many that make no sense, before so many that do, and the layout is wrong.
const TOO_BAD: u32 = 8;
const PROVEN: u32 = 8;

/// Room for two names in UTF-8.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Texts {
    file: [u8; MAX_NAME],
    pub(super) name: [u8; MAX_NAME],
}

/// Describes the code object at `code` and answers its number. `None`: it makes no sense, or there is no room now.
#[cold]
#[inline(never)]
pub(super) fn describe(
    interpreter: &Interpreter,
    code: usize,
    (pages, texts): (&mut Pages, &mut Texts),
    note: Note<'_>,
) -> Option<u32> {
    match read(interpreter, code, pages, texts) {
        Read::Shown(code_read) => {
            GOOD.fetch_add(1, Ordering::Relaxed);
            let number = write(&code_read, note)?;
            codes::remember(code, number);
            Some(number)
        }
        Read::Hidden => {
            codes::remember(code, HIDDEN);
            Some(HIDDEN)
        }
        Read::Nonsense => {
            doubt(interpreter, note);
            None
        }
    }
}

/// Describes an asyncio task of this name as [`describe`] does code.
#[cold]
pub(super) fn describe_task(name: &[u8], note: Note<'_>) -> Option<u32> {
    let number = next_number()?;
    let fields = CodeFields { number, kind: CodeKind::Task, first_line: 0, lines_len: 0, file: &[], name };
    note(&mut |buffer| write_code(buffer, &fields)).then_some(number)
}

/// Whether so many code objects made sense that the layout must be right.
pub(super) fn is_proven() -> bool {
    GOOD.load(Ordering::Relaxed) >= PROVEN
}

/// Something was not where the layout has it. Too often, before anything else has proven right: the interpreter is not
/// what its version promises, and its frames are left alone from now on.
#[cold]
pub(super) fn doubt(interpreter: &Interpreter, note: Note<'_>) {
    let bad = BAD.fetch_add(1, Ordering::Relaxed) + 1;
    if bad == TOO_BAD && !is_proven() {
        interpreter.distrust();
        note(&mut |buffer| write_interpreter(buffer, interpreter.version, InterpreterState::SelfCheckFailed));
    }
}

struct Code<'t> {
    form: LineTable,
    first_line: u32,
    lines: &'static [u8],
    file: &'t [u8],
    name: &'t [u8],
}

enum Read<'t> {
    Shown(Code<'t>),
    /// Made by the interpreter for itself.
    Hidden,
    Nonsense,
}

fn read<'t>(interpreter: &Interpreter, code: usize, pages: &mut Pages, texts: &'t mut Texts) -> Read<'t> {
    let layout = &interpreter.layout;
    let of_type = |pages: &mut Pages, object: usize, kind: usize| pages.word(object + OBJECT_TYPE) == Some(kind);
    if code == 0 || !of_type(pages, code, interpreter.code_type) {
        return Read::Nonsense;
    }
    let field = |pages: &mut Pages, offset: u16| pages.word(code + usize::from(offset));
    let (Some(file), Some(name), Some(lines)) =
        (field(pages, layout.code_file), field(pages, layout.code_name), field(pages, layout.code_lines))
    else {
        return Read::Nonsense;
    };
    // The trampoline under an inlined `__init__` of 3.12 has no names at all.
    if file == 0 {
        return Read::Hidden;
    }
    let typed = of_type(pages, file, interpreter.text_type)
        && of_type(pages, name, interpreter.text_type)
        && of_type(pages, lines, interpreter.bytes_type);
    let first_line = pages.half(code + usize::from(layout.code_first_line));
    let lines_len = pages.word(lines + BYTES_LEN).filter(|len| *len <= LONGEST_LINES);
    let (Some(first_line), Some(lines_len), true) = (first_line, lines_len, typed) else { return Read::Nonsense };
    let Some(lines) = pages.bytes(lines + BYTES_DATA, lines_len) else { return Read::Nonsense };
    let Texts { file: file_room, name: name_room } = texts;
    let (Some(file), Some(name)) =
        (text(interpreter, file, pages, file_room), text(interpreter, name, pages, name_room))
    else {
        return Read::Nonsense;
    };
    // Since 3.13 that trampoline is called after its file.
    if layout.family == Family::Shims && file == b"__init__" {
        return Read::Hidden;
    }
    let form = match layout.family {
        Family::Objects if layout.frame_instruction == 96 => LineTable::Ranges,
        Family::Objects => LineTable::Lnotab,
        _ => LineTable::Positions,
    };
    Read::Shown(Code { form, first_line, lines, file, name })
}

/// Where a string object has its characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Characters {
    pub(super) data: usize,
    pub(super) len: usize,
    /// Bytes of each: 1, 2, or 4.
    pub(super) width: usize,
}

/// The characters of a string object.
#[inline]
pub(super) fn characters(interpreter: &Interpreter, object: usize, pages: &mut Pages) -> Option<Characters> {
    let layout = &interpreter.layout;
    let len = pages.word(object + usize::from(layout.text_len))?;
    let state = pages.half(object + usize::from(layout.text_state))?;
    let (width, is_compact, is_ascii) = ((state >> 2 & 7) as usize, state >> 5 & 1 != 0, state >> 6 & 1 != 0);
    let data = object + usize::from(if is_ascii { layout.text_ascii } else { layout.text_compact });
    (matches!(width, 1 | 2 | 4) && is_compact).then_some(Characters { data, len, width })
}

/// The text of a string object in UTF-8, cut where there is no room.
pub(super) fn text<'t>(
    interpreter: &Interpreter,
    object: usize,
    pages: &mut Pages,
    room: &'t mut [u8],
) -> Option<&'t [u8]> {
    let Characters { data, len, width } = characters(interpreter, object, pages)?;
    let units = pages.bytes(data, len.min(room.len()) * width)?;
    let mut used = 0;
    for unit in units.chunks_exact(width) {
        let value = unit.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
        let tail = |shift: u32| 0x80 | (value >> shift & 0x3f) as u8;
        let (bytes, count): ([u8; 4], usize) = match value {
            0..0x80 => ([value as u8, 0, 0, 0], 1),
            0x80..0x800 => ([0xc0 | (value >> 6) as u8, tail(0), 0, 0], 2),
            0x800..0x1_0000 => ([0xe0 | (value >> 12) as u8, tail(6), tail(0), 0], 3),
            _ => ([0xf0 | (value >> 18) as u8 & 7, tail(12), tail(6), tail(0)], 4),
        };
        let Some(place) = room.get_mut(used..used + count) else { break };
        for (to, from) in place.iter_mut().zip(bytes) {
            *to = from;
        }
        used += count;
    }
    room.get(..used)
}

/// Numbers are the session's.
fn next_number() -> Option<u32> {
    Some(Lanes::get()?.control().numbers.0.next_code.fetch_add(1, Ordering::Relaxed))
}

/// Writes a description under a new number.
fn write(code: &Code<'_>, note: Note<'_>) -> Option<u32> {
    let number = next_number()?;
    let &Code { form, first_line, lines, file, name } = code;
    let mut piece = [0; MAX_LINES];
    let (mut all, mut lines_len) = (Lines::new(form, lines), 0);
    loop {
        match all.write(&mut piece) {
            0 => break,
            len => lines_len += len as u32,
        }
    }
    let fields = CodeFields { number, kind: CodeKind::Code, first_line, lines_len, file, name };
    if !note(&mut |buffer| write_code(buffer, &fields)) {
        return None;
    }
    let (mut rest, mut offset) = (Lines::new(form, lines), 0);
    while offset < lines_len {
        let len = rest.write(&mut piece);
        let bytes = piece.get(..len).unwrap_or(&[]);
        if len == 0 || !note(&mut |buffer| write_lines(buffer, number, offset, bytes)) {
            return None;
        }
        offset += len as u32;
    }
    Some(number)
}
