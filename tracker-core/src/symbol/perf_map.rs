//! Names of code made at run time, as `/tmp/perf-PID.map` lists them: `START SIZE name`, one per line, numbers in
//! hexadecimal. Written by node, the JVM, LuaJIT, .NET, wasmtime and others while the program runs.

use std::collections::BTreeMap;

use super::limits::cut_name;

/// A parsed map. Runtimes append when they compile and reuse addresses: later lines win.
#[derive(Debug, Clone, Default)]
pub struct PerfMap {
    /// Start → end and name; ranges do not overlap.
    ranges: BTreeMap<u64, (u64, usize)>,
    names: Vec<String>,
}

impl PerfMap {
    /// Reads a map's bytes. Lines of another form, a last line cut in the middle among them, are stepped over.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut map = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some((start, end, name)) = parse_line(line) {
                map.insert(start, end, cut_name(name));
            }
        }
        map
    }

    /// The name of the code at `address`.
    pub fn lookup(&self, address: u64) -> Option<&str> {
        let (_, (end, name)) = self.ranges.range(..=address).next_back()?;
        if address < *end { self.names.get(*name).map(String::as_str) } else { None }
    }

    /// Whether no line named anything.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    fn insert(&mut self, start: u64, end: u64, name: String) {
        // What an earlier range has left of `start` or right of `end` stays its own.
        if let Some((_, (earlier_end, earlier))) = self.ranges.range_mut(..start).next_back() {
            let (right_end, earlier) = (*earlier_end, *earlier);
            *earlier_end = right_end.min(start);
            if right_end > end {
                self.ranges.insert(end, (right_end, earlier));
            }
        }
        while let Some((&covered, &(covered_end, earlier))) = self.ranges.range(start..end).next() {
            self.ranges.remove(&covered);
            if covered_end > end {
                self.ranges.insert(end, (covered_end, earlier));
            }
        }
        self.ranges.insert(start, (end, self.names.len()));
        self.names.push(name);
    }
}

fn parse_line(line: &[u8]) -> Option<(u64, u64, String)> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut fields = line.splitn(3, |byte| *byte == b' ');
    let start = parse_hex(fields.next()?)?;
    let size = parse_hex(fields.next()?)?;
    let name = fields.next().filter(|name| !name.is_empty())?;
    let end = start.saturating_add(size);
    (start < end).then(|| (start, end, String::from_utf8_lossy(name).into_owned()))
}

fn parse_hex(digits: &[u8]) -> Option<u64> {
    let digits = digits.strip_prefix(b"0x").unwrap_or(digits);
    // `from_str_radix` takes a sign.
    let plain = digits.first()?.is_ascii_hexdigit();
    if plain { u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(u64, Option<&str>)]) {
        let map = PerfMap::parse(text.as_bytes());
        for (address, name) in expected {
            assert_eq!(map.lookup(*address), *name, "{address:#x} in {text:?}");
        }
    }

    #[test]
    fn names_cover_their_range() {
        let text = "1000 10 LazyCompile:~main /tmp/a b.js:1\n0x2000 0x8 java::run()\n";
        let main = Some("LazyCompile:~main /tmp/a b.js:1");
        check(text, &[(0xfff, None), (0x1000, main), (0x100f, main), (0x1010, None), (0x2007, Some("java::run()"))]);
    }

    #[test]
    fn later_lines_win() {
        let whole = "100 100 old\n140 10 new\n";
        check(whole, &[(0x13f, Some("old")), (0x140, Some("new")), (0x14f, Some("new")), (0x150, Some("old"))]);
        let cover = "100 10 a\n110 10 b\n120 10 c\n108 20 d\n";
        check(cover, &[(0x107, Some("a")), (0x108, Some("d")), (0x127, Some("d")), (0x128, Some("c"))]);
        check("100 10 a\n100 20 b\n", &[(0x100, Some("b")), (0x11f, Some("b"))]);
        check("100 20 a\n100 10 b\n", &[(0x100, Some("b")), (0x110, Some("a"))]);
        check("100 20 a\n100 20 b\n100 20 c", &[(0x100, Some("c")), (0x11f, Some("c")), (0x120, None)]);
    }

    #[test]
    fn other_lines_are_stepped_over() {
        let text =
            "\n1000\n1000 10\n1000 10 \nzz 10 a\n1000 zz a\n+1000 10 a\n1000 0 a\nffffffffffffffff 1 top\r\n20 10 ok";
        check(text, &[(0x1000, None), (0x25, Some("ok")), (u64::MAX, None)]);
        assert!(PerfMap::parse(&[0xff; 100]).is_empty());
        check("ffffffffffffff00 ffff wide\r\n", &[(u64::MAX - 1, Some("wide"))]);
    }

    #[test]
    fn names_are_bounded_and_never_invalid() {
        let mut text = b"1000 10 ".to_vec();
        text.extend(std::iter::repeat_n(0xff, 10_000));
        let name_len = PerfMap::parse(&text).lookup(0x1000).map(str::len);
        assert!(name_len.is_some_and(|len| len < 4200));
    }
}
