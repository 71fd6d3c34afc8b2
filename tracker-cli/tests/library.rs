//! The shipped library, as the loader sees it: what it needs, what it takes, what it offers.

mod common;

use std::process::Command;

use common::{MEMTRACK, run, scratch};
use object::elf::{DF_1_INITFIRST, DF_1_NODELETE, DF_STATIC_TLS, DT_FLAGS, DT_FLAGS_1, DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _};
use object::{Endianness, Object as _, ObjectSymbol as _};

/// The library's bytes, as `memtrack run` puts them into the cache.
fn library() -> Vec<u8> {
    let cache = scratch("library");
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "-f", "-o"]).arg(cache.join("true.mtk")).args(["--", "true"]);
    let ended = run(command.env("XDG_CACHE_HOME", &cache));
    assert_eq!(ended.status, "exit status: 0", "{ended:?}");
    let folders = std::fs::read_dir(cache.join("memtrack")).expect("the cache folder");
    let folder = folders.map(|folder| folder.expect("readable").path()).next().expect("one library");
    std::fs::read(folder.join("libmemtrack_preload.so")).expect("the library")
}

/// Everything it asks of the program's C library. A new name here is a promise in `docs/inside-the-target.md`.
const TAKEN: &str = "\
bcmp
memcpy
memmove
memset
strlen
weak __errno_location
weak __libc_stack_end
weak _dl_find_object
weak _r_debug
weak clock_gettime
weak dlsym
weak environ
";

const OFFERED: &str = "\
aligned_alloc
calloc
cfree
dlclose
execl
execle
execlp
execv
execve
execveat
execvp
execvpe
fexecve
free
free_aligned_sized
free_sized
malloc
memalign
mmap
mmap64
mremap
munmap
pclose
popen
posix_memalign
posix_spawn
posix_spawnp
pvalloc
realloc
reallocarray
system
valloc
";

#[test]
fn symbols_are_those_that_were_agreed_on() {
    let bytes = library();
    let file = ElfFile64::<Endianness>::parse(&*bytes).expect("an ELF file");
    let list = |undefined: bool| {
        let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_undefined() == undefined);
        let mut lines: Vec<String> = symbols
            .map(|symbol| format!("{}{}", if undefined && symbol.is_weak() { "weak " } else { "" }, symbol.name().expect("text")))
            .filter(|line| !line.is_empty())
            .collect();
        lines.sort();
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(list(true), TAKEN, "undefined symbols");
    assert_eq!(list(false), OFFERED, "exported symbols");
}

#[test]
fn it_needs_no_library_and_no_version() {
    let bytes = library();
    let header = FileHeader64::<Endianness>::parse(&*bytes).expect("an ELF header");
    let endian = header.endian().expect("little-endian");
    let sections = header.sections(endian, &*bytes).expect("sections");
    let (dynamic, _) = sections.dynamic(endian, &*bytes).expect("readable").expect("a dynamic section");
    let values = |tag: u32| -> Vec<u64> {
        dynamic.iter().filter(|entry| entry.tag32(endian) == Some(tag)).map(|entry| entry.d_val(endian)).collect()
    };
    assert_eq!(values(DT_NEEDED), [0u64; 0]);
    let versions = sections.gnu_verneed(endian, &*bytes).expect("readable");
    assert!(versions.is_none(), "a symbol version would keep it from loading on older systems");
    let flags = u64::from(DF_1_INITFIRST) | u64::from(DF_1_NODELETE);
    assert_eq!(values(DT_FLAGS_1).iter().fold(0, |all, value| all | value) & flags, flags);
    assert_ne!(values(DT_FLAGS).iter().fold(0, |all, value| all | value) & u64::from(DF_STATIC_TLS), 0);
}
