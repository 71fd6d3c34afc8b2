//! The suppressions that a program carries for LeakSanitizer: the text that its `__lsan_default_suppressions` answers.
//!
//! The function is not called. Compilers make it return the address of a constant, and that is what is recognised here;
//! one that computes its answer has none.

use std::path::Path;

use super::elf::Elf;
use super::source::Source;
use super::symtab::SymbolTable;

const NAME: &str = "__lsan_default_suppressions";

/// Longest text that is believed, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// Bytes of the function that are looked at.
const MAX_CODE: u64 = 32;

/// The text in the program at `path`, if it has one and this build-id: another build's suppressions are not this one's.
pub fn default_suppressions(path: &Path, build_id: &[u8]) -> Option<String> {
    let elf = Elf::parse(Source::open(path).ok()?).ok()?;
    if !elf.is_x86_64() || elf.build_id != build_id {
        return None;
    }
    let function = SymbolTable::address_of(&elf, NAME)?;
    let text = elf.bytes_at(answer(&elf.bytes_at(function, MAX_CODE)?, function)?, MAX_TEXT)?;
    let end = text.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(text.get(..end)?).into_owned())
}

/// The constant address that the function at `start` returns.
fn answer(code: &[u8], start: u64) -> Option<u64> {
    const BRANCH_TARGET: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
    const FRAME: &[u8] = &[0x55, 0x48, 0x89, 0xe5];
    let skip = |code: &mut &[u8], bytes: &[u8]| *code = code.strip_prefix(bytes).unwrap_or(code);
    let mut rest = code;
    skip(&mut rest, BRANCH_TARGET);
    skip(&mut rest, FRAME);
    // lea rax, [rip + offset], or mov eax, address
    let (address, mut rest) = if let Some(rest) = rest.strip_prefix(&[0x48, 0x8d, 0x05]) {
        let (offset, rest) = rest.split_first_chunk::<4>()?;
        let next = start.checked_add((code.len() - rest.len()) as u64)?;
        (next.checked_add_signed(i64::from(i32::from_le_bytes(*offset)))?, rest)
    } else {
        let (address, rest) = rest.strip_prefix(&[0xb8])?.split_first_chunk::<4>()?;
        (u64::from(u32::from_le_bytes(*address)), rest)
    };
    skip(&mut rest, &[0x5d]);
    (rest.first() == Some(&0xc3)).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compilers_make_of_it() {
        for (code, expected) in [
            (&b"\x48\x8d\x05\x10\x00\x00\x00\xc3"[..], Some(0x1017)),
            (b"\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x48\x8d\x05\xf0\xff\xff\xff\x5d\xc3", Some(0xfff)),
            (b"\xb8\x04\x20\x40\x00\xc3", Some(0x40_2004)),
            (b"\x48\x8d\x05\x10\x00\x00\x00\xe8", None),
            (b"\x48\x8b\x05\x10\x00\x00\x00\xc3", None),
            (b"\x48\x8d\x05\x10", None),
            (b"", None),
        ] {
            assert_eq!(answer(code, 0x1000), expected, "{code:x?}");
        }
    }
}
