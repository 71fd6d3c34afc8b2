//! From a place in a code object's bytecode to its line, in the three forms that CPython has had. The forms are described
//! in CPython's `Objects/lnotab_notes.txt` (up to 3.10), PEP 626, and `InternalDocs/code_objects.md` (since 3.11).

use crate::format::python::LineTable;

/// The line of the instruction `offset` bytes into the bytecode of a code object that starts at `first_line`. `None`: the
/// instruction has no line, or the table does not reach it.
pub(super) fn line_of(form: LineTable, table: &[u8], first_line: u32, offset: u32) -> Option<u32> {
    let (first, offset) = (i64::from(first_line), i64::from(offset));
    let line = match form {
        LineTable::Lnotab => Some(lnotab(table, first, offset)),
        LineTable::Ranges => ranges(table, first, offset),
        LineTable::Positions => positions(table, first, offset),
        LineTable::Task => None,
    };
    line.and_then(|line| u32::try_from(line).ok())
}

/// Pairs of steps: bytes, lines (signed). The last pair that starts at or before the offset decides.
fn lnotab(table: &[u8], first: i64, offset: i64) -> i64 {
    let (mut at, mut line) = (0, first);
    for pair in table.chunks_exact(2) {
        let &[bytes, lines] = pair else { break };
        at += i64::from(bytes);
        if at > offset {
            break;
        }
        line += i64::from(lines as i8);
    }
    line
}

/// Pairs: length in bytes, step of the line (signed; -128: no line).
fn ranges(table: &[u8], first: i64, offset: i64) -> Option<i64> {
    let (mut at, mut line) = (0, first);
    for pair in table.chunks_exact(2) {
        let &[len, step] = pair else { break };
        let step = i64::from(step as i8);
        if step != -128 {
            line += step;
        }
        at += i64::from(len);
        if offset < at {
            return (step != -128).then_some(line);
        }
    }
    None
}

/// Entries: a head with kind and length in instructions of two bytes, then what the kind needs.
fn positions(table: &[u8], first: i64, offset: i64) -> Option<i64> {
    const NO_COLUMNS: u8 = 13;
    const LONG: u8 = 14;
    const NONE: u8 = 15;
    let mut bytes = table.iter().copied();
    let (mut at, mut line) = (0, first);
    while let Some(head) = bytes.next() {
        let kind = head >> 3 & 15;
        match kind {
            NONE => {}
            LONG => {
                line += signed(&mut bytes)?;
                for _ in 0..3 {
                    number(&mut bytes)?;
                }
            }
            NO_COLUMNS => line += signed(&mut bytes)?,
            10..=12 => {
                line += i64::from(kind) - 10;
                bytes.nth(1)?;
            }
            _ => {
                bytes.next()?;
            }
        }
        at += 2 * (i64::from(head & 7) + 1);
        if offset < at {
            return (kind != NONE).then_some(line);
        }
    }
    None
}

/// Six bits a byte, low bits first, bit 6 set on all but the last.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let mut value = 0;
    for shift in (0..36).step_by(6) {
        let byte = bytes.next()?;
        value |= i64::from(byte & 0x3f) << shift;
        if byte & 0x40 == 0 {
            return Some(value);
        }
    }
    None
}

/// The sign is in the lowest bit.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = number(bytes)?;
    Some(if value & 1 == 0 { value >> 1 } else { -(value >> 1) })
}

#[cfg(test)]
mod tests {
    use super::line_of;
    use crate::format::python::LineTable;

    /// Lines of the instructions at the offsets 0, 2, 4, …
    #[track_caller]
    fn check(form: LineTable, table: &[u8], lines: &[Option<u32>]) {
        let found: Vec<_> = (0..).step_by(2).take(lines.len()).map(|at| line_of(form, table, 10, at)).collect();
        assert_eq!(found, lines);
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
    }

    #[test]
    fn positions_of_every_kind() {
        let table = [
            0x80 | 1 << 3 | 1,
            0x55, // short: two instructions of the same line
            0x80 | 12 << 3,
            1,
            2, // one line further
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
            line_of(LineTable::Positions, &table[..cut], 10, 100);
        }
    }
}
