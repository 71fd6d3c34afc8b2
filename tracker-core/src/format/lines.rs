//! Lines of Python code. CPython's tables, of which there have been three kinds, tell columns and ends, too; what a capture
//! holds is lines alone, in one form. The kinds are described in CPython's `Objects/lnotab_notes.txt` (up to 3.10), PEP 626,
//! and `InternalDocs/code_objects.md` (since 3.11).

use core::iter::Copied;
use core::slice::Iter;

use super::varint::{unzigzag, zigzag};
use super::wire::{Reader, Writer};

/// How a code object of CPython tells its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTable {
    /// `co_lnotab`, up to 3.9.
    Lnotab,
    /// `co_linetable` of 3.10 (PEP 626).
    Ranges,
    /// `co_linetable` since 3.11 (PEP 657).
    Positions,
}

/// Instructions in a row that belong to one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Bytes of bytecode; 0: all that follow.
    len: u32,
    /// Counted from the first line; `None`: they belong to none.
    line: Option<i64>,
}

/// The lines of a code object, as a capture holds them.
#[derive(Debug, Clone)]
pub struct Lines<'t> {
    form: LineTable,
    table: Copied<Iter<'t, u8>>,
    /// Of the entry that was read last.
    line: i64,
    /// The last entry of all was read.
    ended: bool,
    /// Was read, but belongs to the next span.
    held: Option<Span>,
    /// Line of the last span that was written.
    written: i64,
}

impl<'t> Lines<'t> {
    /// Longest span, written.
    const LONGEST: usize = 20;

    /// Reads a table of CPython's.
    pub fn new(form: LineTable, table: &'t [u8]) -> Self {
        Self { form, table: table.iter().copied(), line: 0, ended: false, held: None, written: 0 }
    }

    /// Writes as many spans as there is room for. Answers how many bytes they take; 0 at the end.
    pub fn write(&mut self, buffer: &mut [u8]) -> usize {
        let room = buffer.len();
        let mut writer = Writer::new(buffer);
        while writer.written() + Self::LONGEST <= room
            && let Some(span) = self.span()
        {
            writer.varint(u64::from(span.len));
            match span.line {
                None => writer.varint(0),
                Some(line) => {
                    let step = line.wrapping_sub(self.written);
                    writer.varint(zigzag(step).wrapping_add(1));
                    self.written = line;
                }
            }
        }
        writer.written()
    }

    fn span(&mut self) -> Option<Span> {
        let mut span = self.held.take().or_else(|| self.entry())?;
        while let Some(next) = self.entry() {
            if next.line != span.line {
                self.held = Some(next);
                break;
            }
            span.len = if next.len == 0 { 0 } else { span.len.saturating_add(next.len) };
        }
        Some(span)
    }

    fn entry(&mut self) -> Option<Span> {
        match self.form {
            LineTable::Lnotab => self.lnotab(),
            LineTable::Ranges => self.range(),
            LineTable::Positions => self.position(),
        }
    }

    fn advance(&mut self, lines: i64) -> i64 {
        self.line = self.line.wrapping_add(lines);
        self.line
    }

    /// Pairs of steps: bytes, then lines (signed) behind them. The rest belongs to where the last one leads.
    fn lnotab(&mut self) -> Option<Span> {
        loop {
            let line = Some(self.line);
            match (self.table.next(), self.table.next()) {
                (Some(bytes), Some(lines)) => {
                    self.advance(i64::from(lines as i8));
                    if bytes != 0 {
                        return Some(Span { len: bytes.into(), line });
                    }
                }
                _ if self.ended => return None,
                _ => {
                    self.ended = true;
                    return Some(Span { len: 0, line });
                }
            }
        }
    }

    /// Pairs: length in bytes, step of the line (signed; -128: no line).
    fn range(&mut self) -> Option<Span> {
        loop {
            let (len, step) = (self.table.next()?, self.table.next()? as i8);
            let line = if step == i8::MIN { None } else { Some(self.advance(step.into())) };
            if len != 0 {
                return Some(Span { len: len.into(), line });
            }
        }
    }

    /// Entries: a head with kind and length in instructions of two bytes, then what the kind needs.
    fn position(&mut self) -> Option<Span> {
        let head = self.table.next()?;
        let len = 2 * (u32::from(head & 7) + 1);
        let (lines, others) = match head >> 3 & 15 {
            // No line.
            15 => return Some(Span { len, line: None }),
            // With end and columns, each of any size.
            14 => {
                let lines = self.signed()?;
                for _ in 0..3 {
                    self.number()?;
                }
                (lines, 0)
            }
            // Without columns.
            13 => (self.signed()?, 0),
            kind @ 10..=12 => (i64::from(kind) - 10, 2),
            _ => (0, 1),
        };
        for _ in 0..others {
            self.table.next()?;
        }
        Some(Span { len, line: Some(self.advance(lines)) })
    }

    /// Six bits a byte, low bits first, bit 6 set on all but the last.
    fn number(&mut self) -> Option<i64> {
        let mut value = 0;
        for shift in (0..36).step_by(6) {
            let byte = self.table.next()?;
            value |= i64::from(byte & 0x3f) << shift;
            if byte & 0x40 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The sign is in the lowest bit.
    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some(if value & 1 == 0 { value >> 1 } else { -(value >> 1) })
    }
}

/// The line of the instruction `offset` bytes into the bytecode of a code object that starts at `first_line`, from what
/// [`Lines::write`] wrote. `None`: the instruction has no line, or the spans do not reach it.
pub fn line_of(spans: &[u8], first_line: u32, offset: u32) -> Option<u32> {
    let mut reader = Reader::new(spans);
    let (mut at, mut line) = (0u64, i64::from(first_line));
    loop {
        let (len, mark) = (reader.varint()?, reader.varint()?);
        if let Some(step) = mark.checked_sub(1) {
            line = line.checked_add(unzigzag(step))?;
        }
        at = at.checked_add(len)?;
        if len == 0 || u64::from(offset) < at {
            return if mark == 0 { None } else { u32::try_from(line).ok() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LineTable, Lines, line_of};

    fn written(form: LineTable, table: &[u8], room: usize) -> Vec<u8> {
        let (mut lines, mut spans) = (Lines::new(form, table), Vec::new());
        loop {
            let mut buffer = vec![0; room];
            let len = lines.write(&mut buffer);
            if len == 0 {
                return spans;
            }
            spans.extend_from_slice(&buffer[..len]);
        }
    }

    /// Lines of the instructions at the offsets 0, 2, 4, …
    #[track_caller]
    fn check(form: LineTable, table: &[u8], lines: &[Option<u32>]) {
        let spans = written(form, table, 256);
        assert_eq!(written(form, table, Lines::LONGEST), spans, "in pieces");
        let found: Vec<_> = (0..).step_by(2).take(lines.len()).map(|at| line_of(&spans, 10, at)).collect();
        assert_eq!(found, lines);
        for cut in 0..spans.len() {
            line_of(&spans[..cut], 10, 100);
        }
    }

    #[test]
    fn lnotab_steps_forward_and_back() {
        check(LineTable::Lnotab, &[], &[Some(10), Some(10)]);
        check(LineTable::Lnotab, &[4, 2, 2, 255, 2, 1], &[10, 10, 12, 11, 12, 12].map(Some));
        // A step of more than 255 bytes, or of more than 127 lines, takes several pairs.
        check(LineTable::Lnotab, &[2, 127, 0, 3, 7], &[10, 140].map(Some));
    }

    #[test]
    fn ranges_may_have_no_line() {
        let table = [4, 0, 2, 2, 2, 128, 2, 253];
        check(LineTable::Ranges, &table, &[Some(10), Some(10), Some(12), None, Some(9), None]);
        // A step of more than 127 lines takes several pairs.
        check(LineTable::Ranges, &[2, 0, 0, 127, 2, 3], &[Some(10), Some(140), None]);
    }

    #[test]
    fn positions_of_every_kind() {
        let table = [
            0x80 | 1 << 3 | 1,
            0x55, // short: two instructions of the same line
            0x80 | 12 << 3,
            1,
            2, // two lines further
            0x80 | 14 << 3,
            0x46,
            1,
            1,
            1,
            1,              // 35 lines further, end line and columns
            0x80 | 15 << 3, // no line
            0x80 | 13 << 3,
            5, // two lines back
            0x80 | 10 << 3,
            1,
            2, // the same
        ];
        check(LineTable::Positions, &table, &[Some(10), Some(10), Some(12), Some(47), None, Some(45), Some(45), None]);
        for cut in 0..table.len() {
            written(LineTable::Positions, &table[..cut], 256);
        }
    }

    #[test]
    fn what_follows_in_a_line_is_one_span() {
        assert_eq!(written(LineTable::Positions, &[0x80, 1, 0x87, 1, 0x80 | 11 << 3, 1, 2], 256), [18, 1, 2, 3]);
        assert_eq!(written(LineTable::Lnotab, &[4, 0, 2, 1, 2, 0], 256), [6, 1, 0, 3]);
    }
}
