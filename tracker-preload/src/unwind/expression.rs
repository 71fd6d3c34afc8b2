//! The few DWARF operations that unwind tables of x86-64 code use (PLT entries, signal frames, hand-written assembly).
//! DWARF 5, section 2.5. Anything else ends the evaluation.

use tracker_core::format::varint::read_varint;

use super::load;

/// The registers an expression may name, and the end of the memory it may read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Registers {
    pub(super) sp: usize,
    pub(super) rbp: usize,
    pub(super) pc: usize,
    /// Reads must stay below.
    pub(super) end: usize,
}

impl Registers {
    /// Whether a word at `address` lies in the part of the stack in use.
    pub(super) fn readable(&self, address: usize) -> bool {
        // 128 bytes below the stack pointer are in use too (the red zone).
        address >= self.sp.saturating_sub(128) && address.saturating_add(8) <= self.end && address & 7 == 0
    }
}

const DEPTH: usize = 8;

struct Stack {
    values: [usize; DEPTH],
    len: usize,
}

impl Stack {
    fn push(&mut self, value: usize) -> Option<()> {
        *self.values.get_mut(self.len)? = value;
        self.len += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<usize> {
        self.len = self.len.checked_sub(1)?;
        self.values.get(self.len).copied()
    }

    fn binary(&mut self, f: impl FnOnce(usize, usize) -> usize) -> Option<()> {
        let right = self.pop()?;
        let left = self.pop()?;
        self.push(f(left, right))
    }
}

/// The value of `code`, `initial` (if any) on the stack at its start.
pub(super) fn evaluate(code: &[u8], registers: &Registers, initial: Option<usize>) -> Option<usize> {
    let mut stack = Stack { values: [0; DEPTH], len: 0 };
    if let Some(value) = initial {
        stack.push(value)?;
    }
    let mut rest = code;
    while let Some((&operation, after)) = rest.split_first() {
        rest = after;
        match operation {
            0x06 => {
                let address = stack.pop()?;
                if !registers.readable(address) {
                    return None;
                }
                // SAFETY: the address was just found to be in the part of the stack in use.
                stack.push(unsafe { load(address) })?;
            }
            0x08 => stack.push(usize::from(take::<1>(&mut rest)?[0]))?,
            0x09 => stack.push(i8::from_le_bytes(take(&mut rest)?) as usize)?,
            0x0a => stack.push(usize::from(u16::from_le_bytes(take(&mut rest)?)))?,
            0x0b => stack.push(i16::from_le_bytes(take(&mut rest)?) as usize)?,
            0x0c => stack.push(u32::from_le_bytes(take(&mut rest)?) as usize)?,
            0x0d => stack.push(i32::from_le_bytes(take(&mut rest)?) as usize)?,
            0x10 => stack.push(unsigned(&mut rest)? as usize)?,
            0x11 => stack.push(signed(&mut rest)? as usize)?,
            0x1a => stack.binary(|a, b| a & b)?,
            0x1c => stack.binary(usize::wrapping_sub)?,
            0x21 => stack.binary(|a, b| a | b)?,
            0x22 => stack.binary(usize::wrapping_add)?,
            0x23 => {
                let value = stack.pop()?.wrapping_add(unsigned(&mut rest)? as usize);
                stack.push(value)?;
            }
            0x24 => stack.binary(|a, b| a.checked_shl(b as u32).unwrap_or(0))?,
            0x2a => stack.binary(|a, b| usize::from(a as isize >= b as isize))?,
            0x30..=0x4f => stack.push(usize::from(operation - 0x30))?,
            0x70..=0x8f => {
                let register = match operation - 0x70 {
                    6 => registers.rbp,
                    7 => registers.sp,
                    16 => registers.pc,
                    _ => return None,
                };
                stack.push(register.wrapping_add(signed(&mut rest)? as usize))?;
            }
            _ => return None,
        }
    }
    stack.pop()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (&front, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(front)
}

fn unsigned(rest: &mut &[u8]) -> Option<u64> {
    let (value, len) = read_varint(rest)?;
    *rest = rest.get(len..)?;
    Some(value)
}

/// Signed LEB128: sign-extended from its last group, unlike the zigzag of our own records.
fn signed(rest: &mut &[u8]) -> Option<i64> {
    let (value, len) = read_varint(rest)?;
    *rest = rest.get(len..)?;
    let bits = 7 * len as u32;
    Some(if bits < 64 { ((value << (64 - bits)) as i64) >> (64 - bits) } else { value as i64 })
}

#[cfg(test)]
mod tests {
    use super::{Registers, evaluate};

    fn check(code: &[u8], expect: Option<usize>) {
        let memory = [11usize, 22, 33, 44];
        let sp = memory.as_ptr() as usize;
        let registers = Registers { sp, rbp: sp + 8, pc: 0x1007, end: sp + 32 };
        assert_eq!(evaluate(code, &registers, None), expect, "{code:02x?}");
    }

    /// Codes as readelf shows them in real unwind tables, and ones that must be refused.
    #[test]
    fn operations() {
        check(&[0x76, 0, 0x06], Some(22));
        check(&[0x77, 0x10, 0x06], Some(33));
        check(&[0x08, 200, 0x09, 0xff, 0x22], Some(199));
        check(&[0x11, 0x7f], Some(usize::MAX));
        // The PLT's: rsp + 8 + ((rip & 15) >= 11) << 3, less rsp.
        check(
            &[0x77, 0, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22, 0x1c],
            Some(8usize.wrapping_neg()),
        );
        check(&[0x77, 0x20, 0x06], None);
        check(&[0x77, 0x01, 0x06], None);
        check(&[0x30; 9], None);
        check(&[0x22], None);
        check(&[0x75, 0], None);
        check(&[0xff], None);
        check(&[0x0a, 1], None);
    }
}
