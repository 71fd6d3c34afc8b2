//! Functions by address, from `.symtab` and `.dynsym`. Built once per module, then a binary search per address.

use std::cmp::Reverse;
use std::io;

use super::elf::{Elf, string_at, u16_at, u32_at, u64_at};
use super::limits::{MAX_MANGLED, MAX_SYMBOLS};

const SYMBOL_LEN: usize = 24;
const STT_NOTYPE: u8 = 0;
const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;
const SHN_UNDEF: u16 = 0;
const SHN_LORESERVE: u16 = 0xff00;
const SHN_XINDEX: u16 = 0xffff;
/// How much of a name is looked at to choose between aliases.
const RANKED_BYTES: usize = 256;

/// One function symbol. `size` 0: it reaches up to the next symbol, at most to `limit`, its section's end.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: u64,
    size: u64,
    limit: u64,
    name: NameAt,
    is_function: bool,
    is_local: bool,
}

/// A name's place: string table and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NameAt {
    table: u32,
    offset: u32,
}

/// A range of addresses and the one symbol that names it.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: u64,
    end: u64,
    name: NameAt,
}

/// The functions of one module.
#[derive(Debug, Default)]
pub(super) struct SymbolTable {
    strings: Vec<Vec<u8>>,
    symbols: Vec<Symbol>,
    /// Sorted, not overlapping.
    segments: Vec<Segment>,
}

impl SymbolTable {
    /// The functions of all symbol tables of `files`, which describe the same module.
    pub(super) fn read<'a>(files: impl IntoIterator<Item = &'a Elf>) -> Self {
        let mut table = Self::default();
        for elf in files {
            for name in [".symtab", ".dynsym"] {
                // A damaged table is as good as none: another one may serve.
                let _ = table.add(elf, name);
            }
        }
        table.segment();
        table
    }

    /// Where the function of this name, as linked, begins in `elf`.
    pub(super) fn address_of(elf: &Elf, function: &str) -> Option<u64> {
        [".symtab", ".dynsym"].into_iter().find_map(|section| {
            let mut table = Self::default();
            table.add(elf, section).ok()?;
            let named = |symbol: &&Symbol| table.name(symbol.name, MAX_MANGLED) == function.as_bytes();
            table.symbols.iter().find(named).map(|symbol| symbol.start)
        })
    }

    /// Ranges that have a name.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// The name, as linked, of the function that `address` is in.
    pub(super) fn lookup(&self, address: u64) -> Option<String> {
        let after = self.segments.partition_point(|segment| segment.start <= address);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let name = self.name(segment.name, MAX_MANGLED + 1);
        let is_named = address < segment.end && !name.is_empty();
        is_named.then(|| String::from_utf8_lossy(name).into_owned())
    }

    fn add(&mut self, elf: &Elf, name: &str) -> io::Result<()> {
        let Some(section) = elf.section(name) else { return Ok(()) };
        let bytes = elf.read(section)?;
        let Some(strings) = elf.sections.get(section.link as usize) else { return Ok(()) };
        let table = self.strings.len() as u32;
        self.strings.push(elf.read(strings)?);
        let room = MAX_SYMBOLS.saturating_sub(self.symbols.len());
        let symbols = bytes.chunks_exact(SYMBOL_LEN).take(room).filter_map(|entry| parse_symbol(entry, table, elf));
        self.symbols.extend(symbols);
        Ok(())
    }

    /// The first `max` bytes of a name, without a symbol version, which only `.symtab` glues on.
    fn name(&self, at: NameAt, max: usize) -> &[u8] {
        let strings = self.strings.get(at.table as usize).map_or(&[][..], Vec::as_slice);
        let name = string_at(strings, at.offset as usize, max);
        let is_version = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
        match name.iter().position(|byte| *byte == b'@') {
            Some(0) | None => name,
            Some(at) => match name.split_at(at) {
                (plain, [b'@', b'@', version @ ..] | [b'@', version @ ..])
                    if !version.is_empty() && version.iter().all(is_version) =>
                {
                    plain
                }
                _ => name,
            },
        }
    }

    /// Orders names of one place, the best first: functions before labels, exported before local ones, few leading
    /// underscores before many (`malloc`, not `__libc_malloc`), short before long, then by bytes.
    fn rank(&self, symbol: &Symbol) -> impl Ord + use<'_> {
        let name = self.name(symbol.name, RANKED_BYTES);
        let is_mangled = name.starts_with(b"_Z") || name.starts_with(b"_R");
        let underscores = name.iter().take_while(|byte| **byte == b'_').count() - usize::from(is_mangled);
        (!symbol.is_function, symbol.is_local, underscores, name.len(), name)
    }

    /// Cuts the address space into ranges with one name each. Where symbols overlap, the one that starts last wins.
    fn segment(&mut self) {
        let mut symbols = std::mem::take(&mut self.symbols);
        let ends = |symbol: &Symbol| symbol.start.saturating_add(symbol.size).min(symbol.limit);
        // The best alias of several that cover the same range comes last, on top of the others.
        symbols.sort_by(|a, b| {
            let place = |symbol: &Symbol| (symbol.start, Reverse(ends(symbol)));
            place(a).cmp(&place(b)).then_with(|| self.rank(b).cmp(&self.rank(a)))
        });
        let mut sweep = Sweep::default();
        for symbol in symbols.iter().filter(|symbol| symbol.size > 0) {
            sweep.open(symbol.start, ends(symbol), symbol.name);
        }
        sweep.close(u64::MAX);
        let sized = sweep.segments;

        // Symbols without a size name what no other symbol covers.
        let mut labels = Vec::new();
        for (index, symbol) in symbols.iter().enumerate().filter(|(_, symbol)| symbol.size == 0) {
            let at = sized.partition_point(|segment| segment.end <= symbol.start);
            let next_sized = sized.get(at).map_or(u64::MAX, |segment| segment.start);
            let following = symbols.get(index + 1).map_or(u64::MAX, |next| next.start);
            let end = following.min(next_sized).min(symbol.limit);
            if symbol.start < end {
                labels.push(Segment { start: symbol.start, end, name: symbol.name });
            }
        }
        self.segments = sized;
        self.segments.append(&mut labels);
        self.segments.sort_by_key(|segment| segment.start);
        self.segments.shrink_to_fit();
    }
}

fn parse_symbol(entry: &[u8], table: u32, elf: &Elf) -> Option<Symbol> {
    let offset = u32_at(entry, 0)?;
    let info = *entry.get(4)?;
    let index = u16_at(entry, 6)?;
    let start = u64_at(entry, 8)?;
    let size = u64_at(entry, 16)?;
    let is_function = matches!(info & 15, STT_FUNC | STT_GNU_IFUNC);
    if offset == 0 || index == SHN_UNDEF || (index >= SHN_LORESERVE && index != SHN_XINDEX) {
        return None;
    }
    let section = elf.sections.get(usize::from(index)).filter(|_| index != SHN_XINDEX);
    let is_code = is_function || (info & 15 == STT_NOTYPE && section.is_some_and(|section| section.is_executable()));
    let limit = section.map_or(u64::MAX, |section| section.address.saturating_add(section.size));
    let symbol = Symbol { start, size, limit, name: NameAt { table, offset }, is_function, is_local: info >> 4 == 0 };
    (is_code && start < limit).then_some(symbol)
}

/// Walks ranges in order of their start and keeps, at every address, the one that was opened last.
#[derive(Default)]
struct Sweep {
    open: Vec<(u64, NameAt)>,
    at: u64,
    segments: Vec<Segment>,
}

impl Sweep {
    fn open(&mut self, start: u64, end: u64, name: NameAt) {
        self.close(start);
        self.open.push((end, name));
    }

    /// Names everything before `until`.
    fn close(&mut self, until: u64) {
        while let Some(&(end, name)) = self.open.last() {
            self.emit(end.min(until), name);
            if end > until {
                break;
            }
            self.open.pop();
        }
        self.at = until;
    }

    fn emit(&mut self, end: u64, name: NameAt) {
        if end <= self.at {
            return;
        }
        match self.segments.last_mut() {
            Some(last) if last.end == self.at && last.name == name => last.end = end,
            _ => self.segments.push(Segment { start: self.at, end, name }),
        }
        self.at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUNCTION: (bool, bool) = (true, false);
    const LOCAL: (bool, bool) = (true, true);
    const LABEL: (bool, bool) = (false, false);
    /// Where the section of all symbols ends.
    const LIMIT: u64 = 1000;

    /// Builds a table of `(name, start, size, (is function, is local))` and checks which name each address has.
    #[track_caller]
    fn check(symbols: &[(&str, u64, u64, (bool, bool))], expected: &[(u64, Option<&str>)]) {
        let mut reversed = symbols.to_vec();
        reversed.reverse();
        // The order in the file means nothing.
        for symbols in [symbols, &reversed] {
            let mut strings = vec![0];
            let mut table = SymbolTable::default();
            for (name, start, size, (is_function, is_local)) in symbols.iter().copied() {
                let name_at = NameAt { table: 0, offset: strings.len() as u32 };
                strings.extend_from_slice(name.as_bytes());
                strings.push(0);
                table.symbols.push(Symbol { start, size, limit: LIMIT, name: name_at, is_function, is_local });
            }
            table.strings.push(strings);
            table.segment();
            for (address, name) in expected {
                assert_eq!(table.lookup(*address).as_deref(), *name, "at {address} of {symbols:?}");
            }
        }
    }

    #[test]
    fn a_symbol_covers_its_size_only() {
        let symbols = [("a", 100, 10, FUNCTION), ("b", 120, 10, FUNCTION)];
        check(&symbols, &[(99, None), (100, Some("a")), (109, Some("a")), (110, None), (129, Some("b")), (130, None)]);
    }

    #[test]
    fn a_symbol_without_size_reaches_to_the_next() {
        let symbols = [("start", 100, 0, FUNCTION), ("sized", 120, 10, FUNCTION), ("end", 140, 0, LABEL)];
        check(&symbols, &[(119, Some("start")), (120, Some("sized")), (130, None), (140, Some("end"))]);
        check(&symbols, &[(999, Some("end")), (1000, None)]);
        check(&[("f", 100, 50, FUNCTION), ("inside", 120, 0, LABEL)], &[(119, Some("f")), (121, Some("f"))]);
    }

    #[test]
    fn the_innermost_of_overlapping_symbols_wins() {
        let nested = [("outer", 100, 100, FUNCTION), ("inner", 120, 10, FUNCTION)];
        check(&nested, &[(119, Some("outer")), (125, Some("inner")), (130, Some("outer")), (200, None)]);
        let crossed = [("a", 100, 50, FUNCTION), ("b", 120, 80, FUNCTION), ("c", 160, 10, LOCAL)];
        check(&crossed, &[(119, Some("a")), (149, Some("b")), (165, Some("c")), (175, Some("b")), (200, None)]);
        let same_start = [("short", 100, 10, FUNCTION), ("long", 100, 50, FUNCTION)];
        check(&same_start, &[(105, Some("short")), (115, Some("long"))]);
        check(&[("endless", 100, u64::MAX, FUNCTION)], &[(999, Some("endless")), (1000, None)]);
    }

    #[test]
    fn the_best_alias_wins() {
        let at = |name, kind| (name, 100, 10, kind);
        let best = |symbols: &[_], name| check(symbols, &[(105, Some(name))]);
        best(&[at("__libc_malloc", FUNCTION), at("malloc", FUNCTION), at("__malloc", FUNCTION)], "malloc");
        best(&[at("cfree", FUNCTION), at("free", FUNCTION), at("__free", FUNCTION)], "free");
        best(&[at("exported_name", FUNCTION), at("local", LOCAL)], "exported_name");
        best(&[at("a", LABEL), at("function", FUNCTION)], "function");
        best(&[at("b", FUNCTION), at("a", FUNCTION)], "a");
        best(&[at("_ZN1aC2Ev", FUNCTION), at("_ZN1aC1Ev", FUNCTION), at("_alias", FUNCTION)], "_ZN1aC1Ev");
    }

    #[test]
    fn versions_are_no_part_of_a_name() {
        let names = [("memcpy@@GLIBC_2.14", "memcpy"), ("f@V1", "f"), ("a@b/c", "a@b/c"), ("@x", "@x"), ("x@", "x@")];
        for (linked, name) in names {
            check(&[(linked, 100, 10, FUNCTION)], &[(105, Some(name))]);
        }
    }
}
