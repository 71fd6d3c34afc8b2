//! Looks at a program before it is started: can the library work inside it, and if not, why not. Reads a few pages,
//! never the whole file: this is on the way of every start.

mod allocator;
pub(crate) mod facts;
mod image;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tracker_core::format::record::UntrackedReason;

use self::image::{Foreign, Image, Source};
use crate::sys;

/// As many interpreters of interpreters as the kernel follows.
const MAX_SCRIPT_LEVELS: usize = 4;

/// What a program turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The file that the kernel will load: the program itself, or the interpreter of a script.
    pub(crate) file: PathBuf,
    /// It is the interpreter of the file that was named.
    pub(crate) script: bool,
    /// The dynamic loader it asks for.
    pub(crate) loader: Option<PathBuf>,
    /// Why the library cannot work in it.
    pub(crate) untracked: Option<UntrackedReason>,
}

/// What of a program's allocations will not be seen though it is recorded, in words.
pub(crate) fn unseen(program: &Path) -> Vec<String> {
    let Ok(file) = File::open(program) else { return Vec::new() };
    let Ok(image) = Image::parse(&file) else { return Vec::new() };
    allocator::linked_in(&image, &file).into_iter().chain(namespaces(&image)).collect()
}

/// A library in a namespace of its own has a C library of its own, which nothing is loaded in front of.
fn namespaces<S: image::Source + ?Sized>(image: &Image<'_, S>) -> Option<String> {
    image
        .names(c"dlmopen")
        .then(|| "the program calls dlmopen: allocations of what it loads by that are not seen".to_owned())
}

/// Inspects the program at `path`.
pub(crate) fn inspect(path: &Path) -> Program {
    let mut file = path.to_owned();
    let mut script = false;
    for _ in 0..MAX_SCRIPT_LEVELS {
        let Ok(opened) = File::open(&file) else { break };
        match interpreter(&opened) {
            Some(next) => file = next,
            None => return program(file, script, &opened),
        }
        script = true;
    }
    Program { file, script, loader: None, untracked: Some(UntrackedReason::Unreadable) }
}

/// The interpreter of a script: named in its first line, or the shell when it is no program at all.
fn interpreter(file: &File) -> Option<PathBuf> {
    if file.read(0, 4) == b"\x7fELF" {
        return None;
    }
    let Some(line) = first_line(file) else { return Some(PathBuf::from("/bin/sh")) };
    let path = line.trim_ascii_start().split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// What follows `#!` in a script's first line, as far as the kernel looks at it; `None`: it does not begin so.
pub(crate) fn first_line(file: &File) -> Option<Vec<u8>> {
    let start = file.read(0, 256);
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Some(line.to_vec())
}

fn program(path: PathBuf, script: bool, file: &File) -> Program {
    let image = Image::parse(file);
    let loader = image.as_ref().ok().and_then(Image::interpreter);
    let untracked = match &image {
        Err(foreign) => Some(reason(*foreign)),
        Ok(_) if gains_privileges(file) => Some(UntrackedReason::SetUid),
        Ok(image) => untracked(image, loader.as_deref()),
    };
    let loader = loader.map(|path| PathBuf::from(OsStr::from_bytes(&path)));
    Program { file: path, script, loader, untracked }
}

fn reason(foreign: Foreign) -> UntrackedReason {
    match foreign {
        Foreign::OtherClass => UntrackedReason::OtherClass,
        Foreign::OtherMachine => UntrackedReason::OtherMachine,
        Foreign::NotElf | Foreign::Damaged => UntrackedReason::Unreadable,
    }
}

fn untracked<S: Source + ?Sized>(image: &Image<'_, S>, loader: Option<&[u8]>) -> Option<UntrackedReason> {
    const SANITIZERS: [&str; 5] = ["libasan.", "libtsan.", "liblsan.", "libhwasan.", "libclang_rt."];
    const RUNTIMES: [&str; 5] = ["__asan_init", "__tsan_init", "__msan_init", "__hwasan_init", "__lsan_init"];
    let Some(loader) = loader else {
        // The loader itself can be started like a program, and then loads what it is told.
        let is_loader = image.soname().is_some_and(|name| name.starts_with(b"ld-linux"));
        return (!is_loader).then_some(UntrackedReason::Static);
    };
    let name = loader.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if name.starts_with(b"ld-musl") {
        return Some(UntrackedReason::Musl);
    }
    if !name.starts_with(b"ld-linux") && !name.starts_with(b"ld.so") && !name.starts_with(b"ld64.so") {
        return Some(UntrackedReason::NoLibc);
    }
    let linked = image.needed().any(|name| SANITIZERS.iter().any(|start| name.starts_with(start.as_bytes())));
    let sanitized = linked || RUNTIMES.iter().any(|symbol| image.defines(symbol));
    sanitized.then_some(UntrackedReason::Sanitizer)
}

/// Whether starting it changes user, group or capabilities, so that the loader ignores our variables.
fn gains_privileges(file: &File) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let (user, group) = sys::host::user();
    let mode = metadata.mode();
    let set_user = mode & libc::S_ISUID != 0 && metadata.uid() != user;
    // Without the group's execute bit, set-gid means something else (mandatory locking).
    let set_group_bits = libc::S_ISGID | libc::S_IXGRP;
    let set_group = mode & set_group_bits == set_group_bits && metadata.gid() != group;
    // Root has all capabilities, so a file gives it none.
    let capabilities = user != 0 && sys::file::has_attribute(file, OsStr::new("security.capability"));
    set_user || set_group || capabilities
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file(name: &str, bytes: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("memtrack-elf-{}-{name}", std::process::id()));
        File::create(&path).unwrap().write_all(bytes).unwrap();
        path
    }

    #[test]
    fn a_normal_program_can_be_tracked() {
        let found = inspect(Path::new("/proc/self/exe"));
        assert_eq!((found.untracked, found.script), (None, false));
        assert!(found.loader.is_some());
    }

    #[test]
    fn a_script_is_its_interpreter() {
        for (name, text, interpreter) in [
            ("plain", "#!/bin/sh -e\necho\n", "/bin/sh"),
            ("spaced", "#!  /usr/bin/env python3\n", "/usr/bin/env"),
            ("bare", "echo no first line\n", "/bin/sh"),
        ] {
            let path = file(name, text.as_bytes());
            let found = inspect(&path);
            std::fs::remove_file(&path).unwrap();
            assert_eq!((found.file.as_path(), found.script), (Path::new(interpreter), true), "{name}");
            assert_eq!(found.untracked, None, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_so() {
        assert_eq!(inspect(Path::new("/nonexistent")).untracked, Some(UntrackedReason::Unreadable));
        let path = file("loop", b"");
        std::fs::write(&path, format!("#!{}\n", path.display())).unwrap();
        assert_eq!(inspect(&path).untracked, Some(UntrackedReason::Unreadable));
        std::fs::remove_file(&path).unwrap();
    }
}
