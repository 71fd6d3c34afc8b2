//! Debug data that was split off, files that changed, files that are gone.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use tracker_core::symbol::{FileIdentity, ModuleSource, SymbolOptions, Symbolizer, build_id_of, describe};

use crate::toolchain::{PLAIN_C, PLAIN_CPP, Workshop, check, marks, module_of, options};

/// A program whose debug data is in `program.debug` beside it.
struct Stripped {
    workshop: Workshop,
    path: PathBuf,
    marks: Vec<(String, u64)>,
}

impl Stripped {
    fn new(flags: &[&str]) -> Self {
        let workshop = Workshop::new();
        let path = workshop.build(&PLAIN_C, &[&["-g", "-O2"], flags].concat());
        let marks = marks(&workshop, &path);
        workshop.run("objcopy", ["--only-keep-debug", "program", "program.debug"]);
        workshop.run("strip", ["program"]);
        Self { workshop, path, marks }
    }

    fn link(self) -> Self {
        self.workshop.run("objcopy", ["--add-gnu-debuglink=program.debug", "program"]);
        self
    }

    /// Moves the debug data to `to` in the folder.
    fn move_debug(&self, to: &str) -> PathBuf {
        let to = self.workshop.path(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("the tests' folder is writable");
        fs::rename(self.workshop.path("program.debug"), &to).expect("a file just made");
        to
    }

    #[track_caller]
    fn check(&self, debug_dirs: Vec<PathBuf>) {
        check(&PLAIN_C, &self.marks, module_of(&self.path), SymbolOptions { debug_dirs, sysroot: None });
    }

    /// What the user is told, when nothing but `main`'s function may be known.
    #[track_caller]
    fn note(&self, module: ModuleSource, options: SymbolOptions) -> String {
        let mut symbolizer = Symbolizer::new(options);
        let module = symbolizer.add_module(module);
        assert_eq!(symbolizer.note(module), None, "no file was opened yet");
        for (label, address) in &self.marks {
            let frames = symbolizer.frames(module, *address);
            assert!(frames.iter().all(|frame| frame.line.is_none()), "{label}: {frames:?}");
        }
        symbolizer.note(module).expect("a note").to_owned()
    }
}

fn build_id_path(build_id: &[u8]) -> String {
    let hex: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(".build-id/{}/{}.debug", &hex[..2], &hex[2..])
}

#[test]
fn by_debug_link() {
    // Without a build-id the check sum alone proves the file.
    for flags in [&[][..], &["-Wl,--build-id=none"], &["-gz"]] {
        let beside = Stripped::new(flags).link();
        beside.check(Vec::new());
        let hidden = Stripped::new(flags).link();
        hidden.move_debug(".debug/program.debug");
        hidden.check(Vec::new());
        let central = Stripped::new(flags).link();
        let dir = central.workshop.path("central");
        let below = central.workshop.dir.strip_prefix("/").expect("an absolute path");
        central.move_debug(dir.join(below).join("program.debug").to_str().expect("UTF-8"));
        central.check(vec![dir]);
    }
}

#[test]
fn by_debug_link_only_if_it_is_the_right_file() {
    let stripped = Stripped::new(&["-Wl,--build-id=none"]).link();
    let debug = stripped.workshop.path("program.debug");
    let mut bytes = fs::read(&debug).expect("a file just made");
    bytes.push(0);
    fs::write(&debug, bytes).expect("the tests' folder is writable");
    let module = ModuleSource { path: stripped.path.clone(), ..ModuleSource::default() };
    let note = stripped.note(module, options());
    assert!(note.ends_with("program: no debug data: no names"), "{note}");
}

#[test]
fn files_are_described() {
    let workshop = Workshop::new();
    let path = workshop.build(&PLAIN_C, &["-g"]);
    let description = describe(&path, &options()).expect("an ELF file");
    assert_eq!(description.build_id, build_id_of(&path).expect("an ELF file"));
    assert_eq!((description.debug_file, description.note), (Some(path.clone()), None));
    workshop.run("strip", ["program"]);
    let description = describe(&path, &options()).expect("an ELF file");
    assert_eq!((description.functions, description.debug_file), (0, None));
    assert!(description.note.is_some_and(|note| note.ends_with("program: no debug data: no names")));
    let error = describe(&workshop.path("nothing"), &options()).expect_err("no such file");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn by_build_id() {
    let stripped = Stripped::new(&[]);
    let build_id = build_id_of(&stripped.path).expect("an ELF file");
    let debug = stripped.move_debug(&build_id_path(&build_id));
    stripped.check(vec![stripped.workshop.dir.clone()]);

    let options = SymbolOptions { debug_dirs: vec![stripped.workshop.dir.clone()], sysroot: None };
    let description = describe(&stripped.path, &options).expect("an ELF file");
    assert_eq!(description.debug_file, Some(debug));
    assert_eq!((description.build_id, description.note), (build_id.clone(), None));

    // The debug file alone is enough.
    let module = module_of(&stripped.path);
    fs::remove_file(&stripped.path).expect("a file just made");
    check(&PLAIN_C, &stripped.marks, module, options);

    // The name is a claim; what is inside decides.
    let other = Stripped::new(&["-O1"]);
    let own_id = build_id_of(&other.path).expect("an ELF file");
    let wrong = stripped.workshop.path(&build_id_path(&build_id));
    let claimed = other.workshop.path(&build_id_path(&own_id));
    fs::create_dir_all(claimed.parent().expect("a folder")).expect("the tests' folder is writable");
    fs::copy(wrong, claimed).expect("a file just made");
    let options = SymbolOptions { debug_dirs: vec![other.workshop.dir.clone()], sysroot: None };
    let note = other.note(module_of(&other.path), options);
    assert!(note.contains("no debug data"), "{note}");
}

#[test]
fn the_wrong_file_gives_no_names() {
    let stripped = Stripped::new(&[]);
    let recorded = module_of(&stripped.path);
    stripped.workshop.build(&PLAIN_C, &["-g", "-O1"]);
    let note = stripped.note(recorded.clone(), options());
    assert!(note.contains("its build-id differs: the file has "), "{note}");
    assert!(note.ends_with(": no names"), "{note}");

    let bytes = fs::read(&stripped.path).expect("a file just made");
    let embedded = ModuleSource { embedded: Some(bytes), ..recorded.clone() };
    assert!(stripped.note(embedded, options()).contains("its build-id differs"));

    stripped.workshop.build(&PLAIN_C, &["-g", "-O1", "-Wl,--build-id=none"]);
    assert!(stripped.note(recorded.clone(), options()).contains("the file has no build-id"));

    fs::write(&stripped.path, "#!/bin/sh\n").expect("the tests' folder is writable");
    assert!(stripped.note(recorded.clone(), options()).contains("not an ELF file"));

    fs::remove_file(&stripped.path).expect("a file just made");
    let note = stripped.note(recorded.clone(), options());
    assert_eq!(note, format!("{}: the file is gone: no names", stripped.path.display()));

    stripped.workshop.run("mkfifo", ["program"]);
    assert!(stripped.note(recorded, options()).contains("not a regular file"));
}

#[test]
fn without_a_build_id_length_and_time_decide() {
    let workshop = Workshop::new();
    let path = workshop.build(&PLAIN_C, &["-g", "-Wl,--build-id=none"]);
    let marks = marks(&workshop, &path);
    let modified = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let file = fs::File::options().write(true).open(&path).expect("a file just made");
    file.set_modified(modified).expect("a file just made");
    let len = file.metadata().expect("a file just made").len();
    let identity = FileIdentity { len, modified_ns: 1_700_000_000_123_456_789 };
    let module = |expected| ModuleSource { path: path.clone(), expected, ..ModuleSource::default() };
    check(&PLAIN_C, &marks, module(None), options());
    check(&PLAIN_C, &marks, module(Some(identity)), options());
    let changed = [FileIdentity { len: len + 1, ..identity }, FileIdentity { modified_ns: 1, ..identity }];
    for identity in changed {
        let mut symbolizer = Symbolizer::new(options());
        let handle = symbolizer.add_module(module(Some(identity)));
        assert!(symbolizer.frames(handle, marks[0].1).is_empty());
        let note = symbolizer.note(handle).expect("a note");
        assert!(note.ends_with("program: the file has changed since it was recorded: no names"), "{note}");
    }
}

#[test]
fn from_the_capture_itself() {
    let workshop = Workshop::new();
    let path = workshop.build(&PLAIN_CPP, &["-g", "-O2"]);
    let marks = marks(&workshop, &path);
    let bytes = fs::read(&path).expect("a file just made");
    let module = ModuleSource { embedded: Some(bytes), ..module_of(&path) };
    fs::remove_file(&path).expect("a file just made");
    check(&PLAIN_CPP, &marks, module, options());
}

#[test]
fn below_a_sysroot() {
    let stripped = Stripped::new(&[]).link();
    let root = stripped.workshop.path("root");
    fs::create_dir_all(root.join("opt/.debug")).expect("the tests' folder is writable");
    stripped.move_debug("root/opt/.debug/program.debug");
    let module = ModuleSource { path: PathBuf::from("/opt/program"), ..module_of(&stripped.path) };
    fs::rename(&stripped.path, root.join("opt/program")).expect("a file just made");
    check(&PLAIN_C, &stripped.marks, module, SymbolOptions { sysroot: Some(root), ..options() });
}

#[test]
fn split_dwarf() {
    // GNU's packer loses DWARF 5.
    for (flags, packer) in [(&["-gdwarf-4"][..], Some("dwp")), (&["-gdwarf-5"], Some("llvm-dwp")), (&["-gz"], None)] {
        let workshop = Workshop::new();
        let path = workshop.build(&PLAIN_CPP, &[&["-g", "-O2", "-gsplit-dwarf"], flags].concat());
        let marks = marks(&workshop, &path);
        check(&PLAIN_CPP, &marks, module_of(&path), options());

        // Moved elsewhere, together.
        let elsewhere = Workshop::new();
        let is_dwo = |path: &PathBuf| path.extension() == Some(OsStr::new("dwo"));
        let entries =
            fs::read_dir(&workshop.dir).expect("the tests' folder").map(|entry| entry.expect("an entry").path());
        let dwo = entries.into_iter().find(is_dwo).expect("gcc wrote a .dwo file");
        let moved = elsewhere.path("program");
        fs::rename(&path, &moved).expect("a file just made");
        let beside = elsewhere.path(dwo.file_name().and_then(OsStr::to_str).expect("UTF-8"));
        fs::rename(&dwo, &beside).expect("a file just made");
        check(&PLAIN_CPP, &marks, module_of(&moved), options());

        // Without it the skeleton still has lines, and the symbol table the functions.
        let contents = fs::read(&beside).expect("a file just made");
        fs::remove_file(&beside).expect("a file just made");
        let mut symbolizer = Symbolizer::new(options());
        let module = symbolizer.add_module(module_of(&moved));
        let frames = symbolizer.frames(module, marks.iter().find(|(label, _)| label == "member").expect("a mark").1);
        let seen: Vec<_> = frames.iter().map(|frame| (frame.function.as_deref(), frame.line.is_some())).collect();
        assert_eq!(seen, [(Some("outer::inner::Widget::size() const"), true)]);

        // Packed. Not every machine has a packer.
        let Some(packer) = packer else { continue };
        fs::write(&beside, contents).expect("the tests' folder is writable");
        if Command::new(packer).arg("--version").output().is_err() {
            eprintln!("no `{packer}` here: its packages are not tested");
            continue;
        }
        elsewhere.run(packer, [beside.as_os_str(), OsStr::new("-o"), OsStr::new("program.dwp")]);
        fs::remove_file(&beside).expect("a file just made");
        check(&PLAIN_CPP, &marks, module_of(&moved), options());
    }
}

#[test]
fn parts_that_several_debug_files_share() {
    let workshop = Workshop::new();
    let main = "
        .globl main
        main: ret
        .Lend: .size main, .-main
        .section .debug_abbrev,\"\",@progbits
        .uleb128 1, 0x11; .byte 1; .uleb128 0x11, 1, 0x12, 1; .byte 0, 0
        .uleb128 2, 0x2e; .byte 0; .uleb128 0x3, 0x1f21, 0x11, 1, 0x12, 1; .byte 0, 0
        .byte 0
        .section .debug_info,\"\",@progbits
        .long .Linfo_end - .Linfo
        .Linfo: .short 4; .long .debug_abbrev; .byte 8
        .uleb128 1; .quad main, .Lend
        .uleb128 2; .long 6; .quad main, .Lend
        .byte 0
        .Linfo_end:
        .section .gnu_debugaltlink,\"\",@progbits
        .asciz \"shared.debug\"
        .byte 1, 2, 3, 4
        .section .note.GNU-stack,\"\",@progbits";
    let shared = "
        .section .debug_str,\"MS\",@progbits,1
        .asciz \"other\"
        .asciz \"shared_name\"
        .section .note.gnu.build-id,\"\",@note
        .long 4, 4, 3
        .asciz \"GNU\"
        .byte 1, 2, 3, 4";
    fs::write(workshop.path("main.s"), format!("{main}\n")).expect("the tests' folder is writable");
    fs::write(workshop.path("shared.s"), format!("{shared}\n")).expect("the tests' folder is writable");
    workshop.run("gcc", ["main.s", "-o", "program"]);
    workshop.run("gcc", ["-c", "shared.s", "-o", "shared.debug"]);

    let functions = |path: &Path| {
        let symbols = workshop.run("nm", [path]);
        let line = symbols.lines().find(|line| line.ends_with(" main")).expect("main is a symbol");
        let address = u64::from_str_radix(&line[..16], 16).expect("an address");
        let mut symbolizer = Symbolizer::new(options());
        let module = symbolizer.add_module(module_of(path));
        let frames = symbolizer.frames(module, address);
        frames.into_iter().filter_map(|frame| frame.function).collect::<Vec<_>>()
    };
    let path = workshop.path("program");
    assert_eq!(functions(&path), ["shared_name"]);
    // Another build-id: not the right part. The symbol table is left.
    fs::write(workshop.path("shared.s"), shared.replace("1, 2, 3, 4", "4, 3, 2, 1") + "\n").expect("writable");
    workshop.run("gcc", ["-c", "shared.s", "-o", "shared.debug"]);
    assert_eq!(functions(&path), ["main"]);
}
