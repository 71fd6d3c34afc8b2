//! The same questions to binutils' `addr2line`, about a program with much of Rust's standard library in it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSection as _};
use tracker_core::symbol::{SymbolFrame, Symbolizer};

use crate::toolchain::{BUSY_RS, Workshop, module_of, options};

/// Addresses asked for, spread over all code.
const ADDRESSES: u64 = 4000;

/// Function, file and line, as `addr2line` prints them.
type Answer = Vec<(String, String, String)>;

#[test]
fn binutils_agrees() {
    let workshop = Workshop::new();
    // Of line tables alone, binutils gives the outer function's name to the innermost inlined frame.
    let path = workshop.build(&BUSY_RS, &["--edition=2024", "-g"]);
    let bytes = fs::read(&path).expect("the test program can be read");
    let file = object::File::parse(&bytes[..]).expect("an ELF file");
    let text = file.section_by_name(".text").expect("code");
    let step = text.size() / ADDRESSES;
    let addresses: Vec<u64> = (0..ADDRESSES).map(|index| text.address() + index * step).collect();

    let mut symbolizer = Symbolizer::new(options());
    let module = symbolizer.add_module(module_of(&path));
    let theirs = ask_binutils(&workshop, &path, &addresses);
    assert_eq!(theirs.len(), addresses.len());
    let mut compared = 0;
    for (address, theirs) in addresses.into_iter().zip(theirs) {
        let ours = symbolizer.frames(module, address);
        // Between functions, binutils names the one before.
        if ours.last().is_none_or(|frame| frame.function.is_none()) {
            continue;
        }
        let ours: Answer = ours.into_iter().map(as_printed).map(without_guesses).collect();
        let theirs: Answer = theirs.into_iter().map(without_guesses).collect();
        assert_eq!(ours, theirs, "at {address:#x}");
        compared += 1;
    }
    assert!(compared > ADDRESSES * 9 / 10, "only {compared} addresses are inside functions");
    assert_eq!(symbolizer.note(module), None);
}

fn ask_binutils(workshop: &Workshop, path: &Path, addresses: &[u64]) -> Vec<Answer> {
    let list: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
    fs::write(workshop.path("addresses"), list).expect("the tests' folder is writable");
    let asked =
        [OsStr::new("-c"), OsStr::new("addr2line -afiC -e \"$1\" < addresses"), OsStr::new("sh"), path.as_os_str()];
    let printed = workshop.run("sh", asked);
    let mut answers: Vec<Answer> = Vec::new();
    let mut lines = printed.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("0x") {
            answers.push(Vec::new());
            continue;
        }
        let place = lines.next().expect("a line `FILE:LINE`").split(" (discriminator").next().unwrap_or_default();
        let (file, number) = place.rsplit_once(':').expect("`FILE:LINE`");
        let answer = answers.last_mut().expect("`-a` prints the address first");
        answer.push((line.to_owned(), file.to_owned(), number.to_owned()));
    }
    answers
}

fn as_printed(frame: SymbolFrame) -> (String, String, String) {
    let unknown = || "??".to_owned();
    let line = frame.line.map_or("?".to_owned(), |line| line.to_string());
    (frame.function.unwrap_or_else(unknown), frame.file.unwrap_or_else(unknown), line)
}

/// Without a line, binutils names the unit's file.
fn without_guesses(answer: (String, String, String)) -> (String, String, String) {
    let (function, file, line) = answer;
    if line == "?" || line == "0" {
        return (function, "??".to_owned(), "?".to_owned());
    }
    (function, file, line)
}
