//! Where things are in an interpreter's objects, by version. From 3.13 on the interpreter describes itself, and what it
//! says outranks the table. Pure: unit tests call it.

/// How frames are linked to each other and to the C stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Up to 3.10: frame objects, each with an eval loop of its own.
    Objects,
    /// 3.11: the thread state names a record on the C stack that belongs to one eval loop and names its innermost frame;
    /// the outermost frame of each loop is marked.
    Entries,
    /// 3.12: as 3.11, but each loop's outermost frame is an empty one that lives on the C stack.
    ShimsByRecord,
    /// From 3.13: as 3.12, without the record.
    Shims,
}

/// Offsets in bytes, of the builds with a global lock on x86-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) family: Family,
    /// Thread state: innermost frame, or the record that names it.
    pub(super) thread_frame: u16,
    pub(super) thread_id: u16,
    /// Thread state: the asyncio task that it runs. 0: it does not say.
    pub(super) thread_task: u16,
    /// The record on the C stack: innermost frame, next outer record.
    pub(super) record_frame: u16,
    pub(super) record_previous: u16,
    pub(super) frame_previous: u16,
    pub(super) frame_code: u16,
    /// Place in the bytecode: a pointer, up to 3.10 a number of type int.
    pub(super) frame_instruction: u16,
    /// One byte: 3.11 whether the frame is its loop's outermost, later who owns it. 0: there is none.
    pub(super) frame_mark: u16,
    /// Bytecode inside the code object; 0 up to 3.10.
    pub(super) code_start: u16,
    pub(super) code_file: u16,
    pub(super) code_name: u16,
    pub(super) code_first_line: u16,
    pub(super) code_lines: u16,
    pub(super) text_len: u16,
    pub(super) text_state: u16,
    pub(super) text_ascii: u16,
    pub(super) text_compact: u16,
}

/// Of every object.
pub(super) const OBJECT_TYPE: usize = 8;
/// Of every type.
pub(super) const TYPE_NAME: usize = 24;
pub(super) const TYPE_DEALLOC: usize = 48;
/// Of bytes objects.
pub(super) const BYTES_LEN: usize = 16;
pub(super) const BYTES_DATA: usize = 32;
/// Of types; of asyncio's tasks.
pub(super) const TYPE_BASE: usize = 256;
pub(super) const TASK_NAME: usize = 136;
/// From this owner on, a frame is a shim.
pub(super) const SHIM_OWNER: u8 = 3;

const OBJECTS: Layout = Layout {
    family: Family::Objects,
    thread_frame: 24,
    thread_id: 176,
    thread_task: 0,
    record_frame: 0,
    record_previous: 0,
    frame_previous: 24,
    frame_code: 32,
    frame_instruction: 104,
    frame_mark: 0,
    code_start: 0,
    code_file: 104,
    code_name: 112,
    code_first_line: 40,
    code_lines: 120,
    text_len: 16,
    text_state: 32,
    text_ascii: 48,
    text_compact: 72,
};

const ENTRIES: Layout = Layout {
    family: Family::Entries,
    thread_frame: 56,
    thread_id: 152,
    record_frame: 8,
    record_previous: 16,
    frame_previous: 48,
    frame_instruction: 56,
    frame_mark: 68,
    code_start: 184,
    code_file: 112,
    code_name: 128,
    code_first_line: 72,
    code_lines: 136,
    ..OBJECTS
};

const SHIMS: Layout = Layout {
    family: Family::ShimsByRecord,
    thread_id: 136,
    record_frame: 0,
    record_previous: 8,
    frame_previous: 8,
    frame_code: 0,
    frame_mark: 70,
    code_start: 192,
    code_first_line: 68,
    text_ascii: 40,
    text_compact: 56,
    ..ENTRIES
};

const V3_13: Layout = Layout { family: Family::Shims, thread_frame: 72, thread_id: 152, code_start: 200, ..SHIMS };

const V3_14: Layout = Layout { thread_task: 872, frame_mark: 74, code_start: 208, ..V3_13 };

impl Layout {
    /// Layouts whose frames most interpreters have: of 3.11, of all later ones.
    pub(super) const ENTRIES: Self = ENTRIES;
    pub(super) const SHIMS: Self = SHIMS;

    /// The layout of the oldest version there is one of.
    pub(super) const OLDEST: Self = OBJECTS;

    /// The layout of version 3.`minor`; `None`: not known.
    pub(super) const fn of(minor: u8) -> Option<Self> {
        Some(match minor {
            8 | 9 => OBJECTS,
            10 => Layout { frame_instruction: 96, ..OBJECTS },
            11 => ENTRIES,
            12 => SHIMS,
            13 => V3_13,
            14 => V3_14,
            15 => Layout { thread_id: 176, thread_task: 1032, ..V3_14 },
            _ => return None,
        })
    }
}

/// What the interpreter says of itself at the front of its runtime state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Described {
    /// Nothing: there is no cookie, or it speaks of another version, or what it says makes no sense.
    No,
    FreeThreaded,
    Yes(Layout),
}

/// Takes the layout that an interpreter of version 3.`minor`, 13 or later, describes.
pub(super) fn describe(minor: u8, table: Layout, word: impl Fn(usize) -> Option<u64>) -> Described {
    /// Places in the description: frame of the thread state; previous, code, instruction; owner; file, name, qualified
    /// name, lines, first line; bytecode; type of an object; state, length, end of the head of texts.
    const PLACES: [[usize; 7]; 3] =
        [[184, 232, 264, 280, 344, 360, 544], [208, 256, 288, 320, 384, 408, 624], [208, 320, 352, 384, 448, 472, 720]];
    let read = || {
        let version = word(8)?;
        if word(0)? != u64::from_le_bytes(*b"xdebugpy") || version >> 16 != 0x0300 | u64::from(minor) {
            return None;
        }
        if word(16)? != 0 {
            return Some(Described::FreeThreaded);
        }
        let [thread, frame, owner, code, start, kind, text] = *PLACES.get(usize::from(minor).checked_sub(13)?)?;
        let offset = |at: usize| word(at).filter(|offset| *offset < 4096).map(|offset| offset as u16);
        if usize::from(offset(kind)?) != OBJECT_TYPE {
            return None;
        }
        Some(Described::Yes(Layout {
            thread_frame: offset(thread)?,
            frame_previous: offset(frame)?,
            frame_code: offset(frame + 8)?,
            frame_instruction: offset(frame + 16)?,
            frame_mark: offset(owner)?,
            code_file: offset(code)?,
            code_name: offset(code + 16)?,
            code_lines: offset(code + 24)?,
            code_first_line: offset(code + 32)?,
            code_start: offset(start)?,
            text_state: offset(text)?,
            text_len: offset(text + 8)?,
            text_ascii: offset(text + 16)?,
            ..table
        }))
    };
    read().unwrap_or(Described::No)
}

#[cfg(test)]
mod tests {
    use super::{Described, Layout, describe};

    /// A description of 3.13 with the table's own numbers.
    fn description(change: &[(usize, u64)]) -> impl Fn(usize) -> Option<u64> {
        let mut words = vec![0u64; 100];
        let l = Layout::of(13).expect("known");
        let fields = [
            (0, u64::from_le_bytes(*b"xdebugpy")),
            (8, 0x030d_00f0),
            (184, l.thread_frame.into()),
            (232, l.frame_previous.into()),
            (240, l.frame_code.into()),
            (248, l.frame_instruction.into()),
            (264, l.frame_mark.into()),
            (280, l.code_file.into()),
            (288, 120),
            (296, l.code_name.into()),
            (304, l.code_lines.into()),
            (312, l.code_first_line.into()),
            (344, l.code_start.into()),
            (360, 8),
            (544, l.text_state.into()),
            (552, l.text_len.into()),
            (560, l.text_ascii.into()),
        ];
        for &(at, value) in fields.iter().chain(change) {
            words[at / 8] = value;
        }
        move |at| words.get(at / 8).copied()
    }

    #[test]
    fn interpreters_describe_themselves() {
        let table = Layout::of(13).expect("known");
        let says = |change: &[(usize, u64)]| describe(13, table, description(change));
        assert_eq!(says(&[]), Described::Yes(table));
        assert_eq!(says(&[(344, 216)]), Described::Yes(Layout { code_start: 216, ..table }), "it outranks the table");
        assert_eq!(says(&[(16, 1)]), Described::FreeThreaded);
        for change in [(0, 1), (8, 0x030e_00f0), (344, 5000), (360, 24)] {
            assert_eq!(says(&[change]), Described::No, "{change:?}");
        }
        assert_eq!(describe(14, table, description(&[])), Described::No, "another version");
    }

    #[test]
    fn only_known_versions_have_a_layout() {
        let known: Vec<u8> = (0..=u8::MAX).filter(|minor| Layout::of(*minor).is_some()).collect();
        assert_eq!(known, (8..=15).collect::<Vec<_>>());
    }
}
