//! Finds allocators that are linked into a program under names of their own: what they serve never passes malloc.

use tracker_core::format::wire::Reader;

use super::image::{Image, Source, strings};
use crate::sys::memory;

/// What they put before `_malloc`, and what to call them.
const ALLOCATORS: [(&str, &str); 4] =
    [("_rjem", "jemalloc"), ("je", "jemalloc"), ("mi", "mimalloc"), ("tc", "tcmalloc")];

/// What serves the program's allocations past malloc, in words; `None` when nothing is known to.
pub(super) fn linked_in<S: Source + ?Sized>(image: &Image<'_, S>, file: &S) -> Option<String> {
    if image.defines("malloc") {
        return Some("the program defines malloc itself: allocations that it serves may not be seen".to_owned());
    }
    let exported = ALLOCATORS.iter().find(|(prefix, _)| image.defines(&format!("{prefix}_malloc")));
    let name = exported.map(|found| found.1).or_else(|| in_symbol_table(file))?;
    Some(format!("{name} is linked into the program: allocations that go to it directly are not seen"))
}

/// Searches the names of the symbols that are not dynamic.
fn in_symbol_table(source: &(impl Source + ?Sized)) -> Option<&'static str> {
    let (start, len) = string_table(source)?;
    strings(source, start, len).find_map(|piece| search(&piece))
}

/// An allocator's name among zero-terminated strings.
fn search(strings: &[u8]) -> Option<&'static str> {
    const COMMON: &[u8] = b"_malloc\0";
    let mut rest = strings;
    while let Some(at) = memory::find(rest, COMMON) {
        let (before, after) = rest.split_at_checked(at)?;
        let prefix = before.rsplit(|byte| *byte == 0).next().unwrap_or_default();
        if let Some(found) = ALLOCATORS.iter().find(|(known, _)| known.as_bytes() == prefix) {
            return Some(found.1);
        }
        rest = after.get(COMMON.len()..)?;
    }
    None
}

/// Offset and length of the symbol table's string table.
fn string_table(source: &(impl Source + ?Sized)) -> Option<(u64, u64)> {
    const SYMBOL_TABLE: u32 = 2;
    let header = source.read(0, 64);
    let table = Reader::new(header.get(40..)?).u64()?;
    let mut r = Reader::new(header.get(58..)?);
    let (entry_len, count) = (usize::from(r.u16()?), usize::from(r.u16()?));
    let sections = source.read(table, entry_len.checked_mul(count)?);
    let section = |index: usize| sections.get(index.checked_mul(entry_len)?..)?.get(..64);
    let kind = |section: &&[u8]| section.get(4..).and_then(|rest| Reader::new(rest).u32());
    let symbols = (0..count).filter_map(section).find(|section| kind(section) == Some(SYMBOL_TABLE))?;
    let link = Reader::new(symbols.get(40..)?).u32()?;
    let mut r = Reader::new(section(link as usize)?.get(24..)?);
    Some((r.u64()?, r.u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_whole() {
        for (strings, expected) in [
            (&b"\0main\0_rjem_malloc\0x\0"[..], Some("jemalloc")),
            (b"\0mi_malloc\0", Some("mimalloc")),
            (b"\0tc_malloc_skip_new\0", None),
            (b"\0my_tc_malloc\0xmi_malloc\0_malloc\0", None),
            (b"\0g_malloc\0tc_malloc\0", Some("tcmalloc")),
            (b"mi_malloc", None),
            (b"", None),
        ] {
            assert_eq!(search(strings), expected, "{}", String::from_utf8_lossy(strings));
        }
    }

    #[test]
    fn the_string_table_is_found() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        let (start, len) = string_table(program.as_slice()).expect("test programs have symbols");
        let strings = &program[start as usize..(start + len) as usize];
        assert!(memory::find(strings, b"\0main\0").is_some());
        assert_eq!(in_symbol_table(program.as_slice()), None);
    }
}
