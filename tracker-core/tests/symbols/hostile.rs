//! Files that lie, and files made to exhaust their reader: never a panic, never a crash, never endless.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use fuzz::Random;
use tracker_core::symbol::{ModuleSource, PerfMap, SymbolFrame, Symbolizer, build_id_of_bytes};

use crate::toolchain::{PLAIN_C, PLAIN_CPP, Workshop, module_of, options};

/// Everything a file can be asked.
fn ask(bytes: Vec<u8>, addresses: &[u64]) -> Vec<Vec<SymbolFrame>> {
    let _ = build_id_of_bytes(bytes.clone());
    let mut symbolizer = Symbolizer::new(options());
    let path = PathBuf::from("/nonexistent/program");
    let module = symbolizer.add_module(ModuleSource { path, embedded: Some(bytes), ..ModuleSource::default() });
    let frames = addresses.iter().map(|address| symbolizer.frames(module, *address)).collect();
    let _ = symbolizer.note(module);
    frames
}

/// Where the section headers and the sections that lookups read lie.
fn vital_parts(bytes: &[u8]) -> Vec<Range<usize>> {
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(bytes).expect("a file just made");
    let is_vital = |name: &str| name.contains("debug") || name.contains("tab") || name.contains("sym");
    let vital = file.sections().filter(|section| section.name().is_ok_and(is_vital));
    let mut parts: Vec<_> = vital
        .filter_map(|section| section.file_range())
        .map(|(start, size)| start as usize..(start + size) as usize)
        .collect();
    let table = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize;
    parts.extend([0..64, table..bytes.len(), table..bytes.len()]);
    parts
}

#[test]
fn damaged_files() {
    let forms: [(_, &[&str]); 4] = [
        (&PLAIN_C, &["-g", "-O2"]),
        (&PLAIN_C, &["-gdwarf-4", "-O2", "-gz"]),
        (&PLAIN_CPP, &["-g", "-O2"]),
        (&PLAIN_CPP, &["-gdwarf-4", "-O0", "-gz=zlib-gnu"]),
    ];
    let mut random = Random::new(1);
    for (program, flags) in forms {
        let workshop = Workshop::new();
        let path = workshop.build(program, flags);
        let whole = fs::read(&path).expect("a file just made");
        let parts = vital_parts(&whole);
        let addresses: Vec<u64> = crate::toolchain::marks(&workshop, &path).into_iter().map(|mark| mark.1).collect();
        assert!(ask(whole.clone(), &addresses).iter().all(|frames| !frames.is_empty()));
        for _ in 0..500 {
            let mut bytes = whole.clone();
            for _ in 0..1 << random.below(6) {
                let part = parts[random.index(parts.len())].clone();
                let at = part.start + random.index(part.len());
                bytes[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ 1 << random.below(8),
                    _ => random.next() as u8,
                };
            }
            if random.below(8) == 0 {
                bytes.truncate(random.index(bytes.len()));
            }
            ask(bytes, &addresses);
        }
    }
}

#[test]
fn files_cut_anywhere() {
    let workshop = Workshop::new();
    let whole = fs::read(workshop.build(&PLAIN_C, &["-g", "-O2"])).expect("a file just made");
    for len in (0..whole.len()).step_by(whole.len() / 200).chain(0..70) {
        ask(whole[..len].to_vec(), &[0, 0x1139, u64::MAX]);
    }
}

#[test]
fn addresses_anywhere() {
    let workshop = Workshop::new();
    for flags in [&["-g"][..], &["-g", "-s"]] {
        let path = workshop.build(&PLAIN_CPP, flags);
        let mut symbolizer = Symbolizer::new(options());
        let module = symbolizer.add_module(module_of(&path));
        for shift in 0..64 {
            for address in [1_u64 << shift, (1 << shift) - 1, u64::MAX << shift] {
                symbolizer.frames(module, address);
            }
        }
    }
}

/// Assembles a program around a hand-made debug section and asks for `main`'s address.
#[track_caller]
fn main_of(debug: &str) -> (Vec<SymbolFrame>, Option<String>) {
    let workshop = Workshop::new();
    let source = format!(
        ".globl main\nmain: ret\n.Lend: .size main, .-main; .type main, @function\n{debug}\n\
         .section .note.GNU-stack,\"\",@progbits\n"
    );
    fs::write(workshop.path("main.s"), source).expect("the tests' folder is writable");
    workshop.run("gcc", ["main.s", "-o", "program"]);
    let path = workshop.path("program");
    let symbols = workshop.run("nm", [&path]);
    let line = symbols.lines().find(|line| line.ends_with(" main")).expect("main is a symbol");
    let mut symbolizer = Symbolizer::new(options());
    let module = symbolizer.add_module(module_of(&path));
    let frames = symbolizer.frames(module, u64::from_str_radix(&line[..16], 16).expect("an address"));
    (frames, symbolizer.note(module).map(str::to_owned))
}

/// `.debug_abbrev`: 1 a unit with range and lines, 2 a named function with range, 3 an inlined one, 4 a function with
/// a list of ranges.
const ABBREVIATIONS: &str = "
    .section .debug_abbrev,\"\",@progbits
    .uleb128 1, 0x11; .byte 1; .uleb128 0x11, 1, 0x12, 1, 0x10, 0x17, 0x1b, 0xe; .byte 0, 0
    .uleb128 2, 0x2e; .byte 1; .uleb128 0x3, 0x8, 0x11, 1, 0x12, 1; .byte 0, 0
    .uleb128 3, 0x1d; .byte 1; .uleb128 0x11, 1, 0x12, 1; .byte 0, 0
    .uleb128 4, 0x2e; .byte 0; .uleb128 0x55, 0x17; .byte 0, 0
    .byte 0
    .section .debug_str,\"MS\",@progbits,1
    .Ldir: .rept 100000; .ascii \"/directory\"; .endr; .byte 0";

/// One unit with a line table and the given entries.
fn unit(entries: &str) -> String {
    format!(
        "{ABBREVIATIONS}
        .section .debug_info,\"\",@progbits
        .long .Linfo_end - .Linfo
        .Linfo: .short 4; .long .debug_abbrev; .byte 8
        .uleb128 1; .quad main, .Lend; .long .debug_line; .long .Ldir
        {entries}
        .byte 0
        .Linfo_end:"
    )
}

/// A line table with `files` file names and one row for `main`.
fn lines(files: u32) -> String {
    format!(
        "
        .section .debug_line,\"\",@progbits
        .long .Lline_end - .Lline
        .Lline: .short 4; .long .Lprogram - .Lheader
        .Lheader: .byte 1, 1, 1, -5, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1
        .byte 0
        .rept {files}; .asciz \"f\"; .byte 0, 0, 0; .endr
        .byte 0
        .Lprogram: .byte 0, 9, 2; .quad main
        .byte 1, 2, 1, 0, 1, 1
        .Lline_end:"
    )
}

#[test]
fn hand_made_debug_data_is_understood() {
    let (frames, note) = main_of(&(unit(".uleb128 2; .asciz \"handmade\"; .quad main, .Lend; .byte 0") + &lines(1)));
    let [frame] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!((frame.function.as_deref(), frame.line, note), (Some("handmade"), Some(1), None));
    assert!(frame.file.as_ref().is_some_and(|file| file.starts_with("/directory/directory") && file.len() < 4200));
}

#[test]
fn nesting_without_end() {
    for (depth, is_whole) in [(100, true), (1_000_000, false)] {
        let inlined = format!(".rept {depth}; .uleb128 3; .quad main, .Lend; .endr; .rept {depth}; .byte 0; .endr");
        let entries = format!(".uleb128 2; .asciz \"handmade\"; .quad main, .Lend; {inlined}; .byte 0");
        let (frames, note) = main_of(&(unit(&entries) + &lines(1)));
        assert_eq!(note.is_none(), is_whole, "{note:?}");
        let outermost = frames.last().and_then(|frame| frame.function.as_deref());
        assert_eq!(
            (frames.len() == depth + 1, outermost),
            (is_whole, Some(if is_whole { "handmade" } else { "main" }))
        );
    }
}

#[test]
fn work_without_end() {
    let told = |note: Option<String>| {
        let text = "takes more work than honest debug data does: names or lines are missing";
        assert!(note.as_ref().is_some_and(|note| note.ends_with(text)), "{note:?}");
    };
    let handmade = ".uleb128 2; .asciz \"handmade\"; .quad main, .Lend; .byte 0";
    // A hundred thousand file names in a folder whose name has a million bytes.
    let (frames, note) = main_of(&(unit(handmade) + &lines(100_000)));
    assert_eq!(frames.last().and_then(|frame| frame.function.as_deref()), Some("main"));
    told(note);

    // A hundred thousand functions that share a list of a hundred thousand ranges.
    let ranges = ".section .debug_ranges,\"\",@progbits; .rept 100000; .quad 1, 2; .endr; .quad 0, 0";
    let entries = ".rept 100000; .uleb128 4; .long .debug_ranges; .endr";
    let (frames, note) = main_of(&(unit(entries) + &lines(1) + "\n" + ranges));
    assert_eq!(frames.last().and_then(|frame| frame.function.as_deref()), Some("main"));
    told(note);
}

#[test]
fn names_without_end() {
    use object::{Object as _, ObjectSection as _};
    let workshop = Workshop::new();
    let source = ".globl main\nmain: ret\n.size main, .-main\n.type main, @function\n\
                  .altmacro\n.macro alias number\n.set alias_\\number, main\n.type alias_\\number, @function\n.endm\n\
                  .set count, 0\n.rept 10000\nalias %count\n.set count, count + 1\n.endr\n\
                  .section .note.GNU-stack,\"\",@progbits\n";
    fs::write(workshop.path("main.s"), source).expect("the tests' folder is writable");
    workshop.run("gcc", ["main.s", "-o", "program"]);
    let mut bytes = fs::read(workshop.path("program")).expect("a file just made");
    let file = object::File::parse(&bytes[..]).expect("an ELF file");
    let strings = file.section_by_name(".strtab").and_then(|section| section.file_range()).expect("a string table");
    let main = file.symbols().find(|symbol| object::ObjectSymbol::name(symbol) == Ok("main")).expect("main");
    let address = object::ObjectSymbol::address(&main);
    // One string for all: each name is the rest of the table.
    for byte in &mut bytes[strings.0 as usize..(strings.0 + strings.1) as usize] {
        if *byte == 0 {
            *byte = b'x';
        }
    }
    let frames = ask(bytes, &[address]);
    let name = frames[0][0].function.as_deref().expect("one of them");
    assert!(name.len() < 4200, "{name}");
}

#[test]
fn perf_maps_of_any_bytes() {
    let text = b"7f0010 20 LazyCompile:~a b.js:1\n7f0020 40 Builtin:X\n7f0000 100 late\n";
    let mut random = Random::new(7);
    for _ in 0..2000 {
        let mut bytes = text.to_vec();
        for _ in 0..=random.below(8) {
            let at = random.index(bytes.len());
            bytes[at] = random.next() as u8;
        }
        let map = PerfMap::parse(&bytes);
        for address in [0, 0x7f0010, 0x7f0030, u64::MAX] {
            let _ = map.lookup(address);
        }
    }
}
