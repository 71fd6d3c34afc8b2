//! What the capture says about Python: the interpreters that were met, and the code objects that frames refer to by
//! number. Numbers are the session's, so a code object may be described by another process than the one it runs in.

use rustc_hash::FxHashMap;

use crate::format::lines::line_of;
use crate::format::python::CodeKind;

/// A code object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub file: Vec<u8>,
    /// Qualified where the version has such names, else the plain one.
    pub name: Vec<u8>,
    kind: Option<CodeKind>,
    first_line: u32,
    lines_len: u32,
    lines: Vec<u8>,
}

impl Code {
    /// A code object whose lines are still to come.
    pub fn new(kind: u8, first_line: u32, lines_len: u32, (file, name): (&[u8], &[u8])) -> Self {
        let kind = CodeKind::from_number(kind);
        Self { file: file.to_vec(), name: name.to_vec(), kind, first_line, lines_len, lines: Vec::new() }
    }

    /// Whether it is no code, but an asyncio task.
    pub fn is_task(&self) -> bool {
        self.kind == Some(CodeKind::Task)
    }

    /// The line that the instruction at `offset` bytes belongs to. Before the first instruction it is the first line; an
    /// instruction may have none.
    pub fn line(&self, offset: i32) -> Option<u32> {
        let Ok(offset) = u32::try_from(offset) else { return Some(self.first_line) };
        if self.kind != Some(CodeKind::Code) || self.lines.len() != self.lines_len as usize {
            return None;
        }
        line_of(&self.lines, self.first_line, offset)
    }
}

/// Everything about Python.
#[derive(Debug, Default)]
pub struct Python {
    codes: FxHashMap<u32, Code>,
    /// State and version of each kind of interpreter that was met, in the order of the first meeting.
    pub interpreters: Vec<(u8, u32)>,
}

impl Python {
    /// The code object with this number, if its description was not lost.
    pub fn code(&self, number: u32) -> Option<&Code> {
        self.codes.get(&number)
    }

    pub(super) fn meet(&mut self, state: u8, version: u32) {
        if !self.interpreters.contains(&(state, version)) && self.interpreters.len() < usize::from(u8::MAX) {
            self.interpreters.push((state, version));
        }
    }

    /// Takes a description. The first one of a number counts.
    pub(super) fn describe(&mut self, number: u32, code: Code) {
        self.codes.entry(number).or_insert(code);
    }

    /// Takes a piece of a code object's lines; pieces come in order.
    pub(super) fn add_lines(&mut self, number: u32, offset: u32, bytes: &[u8]) {
        if let Some(code) = self.codes.get_mut(&number).filter(|code| code.lines.len() == offset as usize) {
            let room = (code.lines_len as usize).saturating_sub(code.lines.len());
            code.lines.extend(bytes.iter().take(room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Python};

    #[test]
    fn lines_with_a_piece_missing_name_none() {
        let mut python = Python::default();
        python.describe(1, Code::new(1, 10, 4, (b"a.py", b"f")));
        python.add_lines(1, 0, &[4, 1]);
        assert_eq!(python.code(1).map(|code| (code.line(6), code.line(-2))), Some((None, Some(10))));
        python.add_lines(1, 3, &[9]);
        python.add_lines(1, 2, &[0, 3, 7, 7]);
        python.describe(1, Code::new(1, 99, 0, (b"b.py", b"g")));
        let code = python.code(1).expect("described");
        assert_eq!([0, 3, 4, 8].map(|offset| code.line(offset)), [Some(10), Some(10), Some(11), Some(11)]);
        assert_eq!((python.code(2), code.file.as_slice()), (None, b"a.py".as_slice()));
    }

    #[test]
    fn each_kind_of_interpreter_is_named_once() {
        let mut python = Python::default();
        for (state, version) in [(0, 0x030b_02f0), (0, 0x030b_02f0), (1, 0x0310_0000)] {
            python.meet(state, version);
        }
        assert_eq!(python.interpreters, [(0, 0x030b_02f0), (1, 0x0310_0000)]);
    }
}
