//! Builds small programs with the machine's compilers and checks what the symbolizer says about addresses that the
//! programs themselves report.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tracker_core::symbol::{ModuleSource, SymbolFrame, SymbolOptions, Symbolizer, build_id_of};

/// A folder of its own, removed at the end.
pub(crate) struct Workshop {
    pub(crate) dir: PathBuf,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("symbols-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("the tests' folder is writable");
        fs::write(dir.join("mark.h"), include_str!("programs/mark.h")).expect("the tests' folder is writable");
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs a tool of the machine in the folder and returns what it printed.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(&self, tool: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> String {
        let tool = tool.as_ref();
        let output = Command::new(tool).args(args).current_dir(&self.dir).output();
        let output = output.unwrap_or_else(|error| panic!("these tests need `{}`: {error}", tool.display()));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{}` failed: {}\n{errors}", tool.display(), output.status);
        String::from_utf8(output.stdout).expect("tools print UTF-8")
    }

    /// Compiles a program and returns its path.
    #[track_caller]
    pub(crate) fn build(&self, program: &Program<'_>, flags: &[&str]) -> PathBuf {
        fs::write(self.path(program.name), program.source).expect("the tests' folder is writable");
        let output = self.path("program");
        let tool = match Path::new(program.name).extension().and_then(OsStr::to_str) {
            Some("cpp") => "g++",
            Some("rs") => "rustc",
            _ => "gcc",
        };
        let to = ["-o", "program", program.name];
        self.run(tool, flags.iter().chain(&to));
        output
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A program that prints the addresses of its marks, and in `// expect` lines says what is there.
pub(crate) struct Program<'a> {
    pub(crate) name: &'a str,
    pub(crate) source: &'a str,
}

pub(crate) const PLAIN_C: Program<'_> = Program { name: "plain.c", source: include_str!("programs/plain.c") };
pub(crate) const NAMES_C: Program<'_> = Program { name: "names.c", source: include_str!("programs/names.c") };
pub(crate) const PLAIN_CPP: Program<'_> = Program { name: "plain.cpp", source: include_str!("programs/plain.cpp") };
pub(crate) const CLOSURES_CPP: Program<'_> =
    Program { name: "closures.cpp", source: include_str!("programs/closures.cpp") };
pub(crate) const PLAIN_RS: Program<'_> = Program { name: "plain.rs", source: include_str!("programs/plain.rs") };

pub(crate) const BUSY_RS: Program<'_> = Program { name: "busy.rs", source: include_str!("programs/busy.rs") };

/// A mark, and the frames that must be there: function and line, innermost first.
struct Expected<'a> {
    label: &'a str,
    frames: Vec<(&'a str, u32)>,
}

impl<'a> Program<'a> {
    fn expected(&self) -> Vec<Expected<'a>> {
        let line_of = |marker: &str| {
            let text = format!("/*@{marker}*/");
            let at = self.source.lines().position(|line| line.contains(&text));
            at.unwrap_or_else(|| panic!("{}: no line is marked {text}", self.name)) as u32 + 1
        };
        let lines = self.source.lines().filter_map(|line| line.strip_prefix("// expect "));
        let parse = |line: &'a str| {
            let (label, frames) = line.split_once(": ").expect("`// expect LABEL: FRAMES`");
            let frames = frames.split(" <- ").map(|frame| {
                let (function, marker) = frame.rsplit_once(" @").expect("`FUNCTION @MARKER`");
                (function, line_of(marker))
            });
            Expected { label, frames: frames.collect() }
        };
        lines.map(parse).collect()
    }
}

/// Runs the program and returns the linked addresses of its marks' calls.
#[track_caller]
pub(crate) fn marks(workshop: &Workshop, program: &Path) -> Vec<(String, u64)> {
    let parse = |line: &str| {
        let (label, address) = line.split_once(' ').expect("`LABEL ADDRESS`");
        (label.to_owned(), u64::from_str_radix(address, 16).expect("an address") - 1)
    };
    workshop.run(program, [""; 0]).lines().map(parse).collect()
}

/// A symbolizer with one module, taken as recorded now.
pub(crate) fn module_of(path: &Path) -> ModuleSource {
    let build_id = build_id_of(path).expect("an ELF file");
    ModuleSource { path: path.to_owned(), build_id, ..ModuleSource::default() }
}

/// Options that find nothing the test did not make.
pub(crate) fn options() -> SymbolOptions {
    SymbolOptions { debug_dirs: Vec::new(), sysroot: None }
}

/// Checks every mark: functions, files, lines and which frames are inlined.
#[track_caller]
pub(crate) fn check(program: &Program<'_>, marks: &[(String, u64)], module: ModuleSource, options: SymbolOptions) {
    let mut symbolizer = Symbolizer::new(options);
    let module = symbolizer.add_module(module);
    for Expected { label, frames } in program.expected() {
        let address = address_of(marks, label);
        let found = symbolizer.frames(module, address);
        let seen: Vec<_> = found.iter().map(|frame| (frame.function.as_deref(), frame.line, frame.inlined)).collect();
        let last = frames.len() - 1;
        let expected: Vec<_> =
            frames.iter().enumerate().map(|(at, (function, line))| (Some(*function), Some(*line), at < last)).collect();
        let note = symbolizer.note(module);
        assert_eq!(seen, expected, "{} at {label}, {address:#x} ({note:?})", program.name);
        for SymbolFrame { file, .. } in found {
            assert!(file.as_ref().is_some_and(|file| file.ends_with(program.name)), "{label}: {file:?}");
        }
        assert_eq!(note, None);
    }
}

/// Checks the outermost function at every mark, and that nothing more is claimed.
#[track_caller]
pub(crate) fn check_functions(program: &Program<'_>, marks: &[(String, u64)], module: ModuleSource) -> Option<String> {
    let mut symbolizer = Symbolizer::new(options());
    let module = symbolizer.add_module(module);
    for Expected { label, frames } in program.expected() {
        let function = frames.last().map(|(function, _)| (*function).to_owned());
        let expected = SymbolFrame { function, ..SymbolFrame::default() };
        assert_eq!(symbolizer.frames(module, address_of(marks, label)), [expected], "{} at {label}", program.name);
    }
    symbolizer.note(module).map(str::to_owned)
}

#[track_caller]
fn address_of(marks: &[(String, u64)], label: &str) -> u64 {
    let mark = marks.iter().find(|(name, _)| name == label);
    mark.unwrap_or_else(|| panic!("the program did not reach its mark {label}")).1
}
