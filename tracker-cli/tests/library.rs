//! The shipped library, as the loader sees it: what it needs, what it takes, what it offers.

mod common;

use std::process::Command;
use std::sync::OnceLock;

use common::{MEMTRACK, compile, read, record, run, scratch, victims};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

// System V ABI, dynamic section, and its GNU extensions.
const DT_NEEDED: u64 = 1;
const DT_FLAGS: u64 = 30;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_STATIC_TLS: u64 = 0x10;
const DF_1_NODELETE: u64 = 0x8;
const DF_1_INITFIRST: u64 = 0x20;

/// The library's bytes, as `memtrack run` puts them into the cache.
fn library() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(extract)
}

fn extract() -> Vec<u8> {
    let cache = scratch("library");
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "-f", "-o"]).arg(cache.join("true.mtk")).args(["--", "true"]);
    let ended = run(command.env("XDG_CACHE_HOME", &cache));
    assert_eq!(ended.status, "exit status: 0", "{ended:?}");
    let folders = std::fs::read_dir(cache.join("memtrack")).expect("the cache folder");
    let folder = folders.map(|folder| folder.expect("readable").path()).next().expect("one library");
    std::fs::read(folder.join("libmemtrack_preload.so")).expect("the library")
}

/// It is in the program's namespace and in no other one, which reports and `doctor` say.
#[test]
fn namespaces_without_it_are_told_of() {
    const TOLD: &str = "the program calls dlmopen: allocations of what it loads by that are not seen";
    let program = scratch("namespace").join("namespace");
    compile("gcc", "namespace.c", &["-ldl"], &program);
    let (program, plug) = (program.to_str().expect("plain path"), victims().join("libplug_a.so"));
    let capture = record("namespace-run", &[program, plug.to_str().expect("plain path")]);
    assert_eq!(capture.under("plug_a", "allocations"), 0);
    let remarks = capture.summary["warnings"].to_string();
    assert!(remarks.contains(TOLD), "{remarks}");
    assert!(read(&["doctor", program]).contains(TOLD));
    assert!(!read(&["doctor", victims().join("known").to_str().expect("plain path")]).contains("dlmopen"));
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
weak _pthread_cleanup_pop
weak _pthread_cleanup_push
weak _r_debug
weak clock_gettime
weak dlsym
weak environ
weak gnu_get_libc_version
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
fclose
fexecve
free
free_aligned_sized
free_sized
malloc
memalign
memtrack_region_begin
memtrack_region_end
mmap
mmap64
mremap
munmap
pclose
popen
posix_memalign
posix_spawn
posix_spawnp
prctl
pthread_setname_np
pvalloc
realloc
reallocarray
syscall
system
valloc
";

#[test]
fn symbols_are_those_that_were_agreed_on() {
    let file = object::File::parse(library()).expect("an ELF file");
    let list = |undefined: bool| {
        let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_undefined() == undefined);
        let mut lines: Vec<String> = symbols
            .map(|symbol| {
                format!("{}{}", if undefined && symbol.is_weak() { "weak " } else { "" }, symbol.name().expect("text"))
            })
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
    let file = object::File::parse(library()).expect("an ELF file");
    let dynamic = file.section_by_name(".dynamic").expect("a dynamic section").data().expect("readable").to_vec();
    let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let entries: Vec<(u64, u64)> = dynamic.chunks_exact(16).map(|e| (word(&e[..8]), word(&e[8..]))).collect();
    let flags = |wanted: u64| entries.iter().filter(|(tag, _)| *tag == wanted).fold(0, |all, (_, flags)| all | flags);
    assert!(!entries.iter().any(|(tag, _)| *tag == DT_NEEDED), "{entries:x?}");
    assert!(
        file.section_by_name(".gnu.version_r").is_none(),
        "a symbol version keeps it from loading on older systems"
    );
    assert_eq!(flags(DT_FLAGS_1) & (DF_1_INITFIRST | DF_1_NODELETE), DF_1_INITFIRST | DF_1_NODELETE);
    assert_eq!(flags(DT_FLAGS) & DF_STATIC_TLS, DF_STATIC_TLS);
}
