//! What a frame's name and module say about it: its colour, and whether its bytes count for its caller.
//!
//! Pure text rules, no debug data. Called once per distinct function.

use serde::{Serialize, Serializer};
use tracker_core::report::profile::FrameKind;

/// What the page colours by. The numbers are part of the page's data; new kinds are added at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Native = 0,
    Inlined = 1,
    Python = 2,
    /// Start-up code, the C library, the kernel's page.
    Runtime = 3,
    /// Hands out memory for others.
    Allocator = 4,
    /// No name, or a marker for frames that are not there.
    Unknown = 5,
    Jit = 6,
    /// Not a frame: the root of one process.
    Process = 7,
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// The kind of a function, and whether it is a library's plumbing: an allocator or a standard library, whose bytes
/// say more when they count for the caller.
pub fn classify(kind: FrameKind, function: Option<&str>, module: Option<&str>) -> (Kind, bool) {
    let Some(function) = function else { return (Kind::Unknown, false) };
    match kind {
        FrameKind::Python => return (Kind::Python, false),
        FrameKind::Jit => return (Kind::Jit, false),
        FrameKind::Marker => return (Kind::Unknown, false),
        FrameKind::Native | FrameKind::Inlined => {}
    }
    if is_allocator(function) {
        return (Kind::Allocator, true);
    }
    let c_library = module.is_some_and(|path| is_c_library(base_name(path)));
    if c_library || is_start_up(function) {
        return (Kind::Runtime, true);
    }
    let library = is_standard(function) || module.is_some_and(|path| is_standard_library(base_name(path)));
    (if kind == FrameKind::Inlined { Kind::Inlined } else { Kind::Native }, library)
}

/// The last component of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

fn is_allocator(function: &str) -> bool {
    const EXACT: [&str; 17] = [
        "__rust_alloc",
        "__rust_alloc_zeroed",
        "__rust_realloc",
        "__rdl_alloc",
        "__rdl_alloc_zeroed",
        "__rdl_realloc",
        "_PyObject_Malloc",
        "_PyMem_RawMalloc",
        "_PyMem_Malloc",
        "PyObject_Malloc",
        "PyMem_Malloc",
        "PyMem_RawMalloc",
        "xmalloc",
        "xcalloc",
        "xrealloc",
        "g_malloc",
        "g_malloc0",
    ];
    const PREFIX: [&str; 6] = [
        "operator new",
        "alloc::alloc::",
        "<alloc::alloc::Global",
        "__gnu_cxx::new_allocator",
        "std::allocator",
        "std::__new_allocator",
    ];
    EXACT.contains(&function) || PREFIX.iter().any(|prefix| function.starts_with(prefix))
}

fn is_start_up(function: &str) -> bool {
    const EXACT: [&str; 6] =
        ["_start", "start_thread", "clone", "clone3", "__libc_start_main", "__libc_start_call_main"];
    const PREFIX: [&str; 3] = ["std::rt::", "std::sys::", "std::panicking::"];
    EXACT.contains(&function) || PREFIX.iter().any(|prefix| function.starts_with(prefix))
}

/// C++ and Rust standard libraries, by the path the name starts with (`<Vec<T> as Trait>::f` is Vec's).
fn is_standard(function: &str) -> bool {
    const PATHS: [&str; 6] = ["std::", "core::", "alloc::", "hashbrown::", "__gnu_cxx::", "__cxxabiv1::"];
    let path = function.trim_start_matches(['<', '&', '(', '[']);
    PATHS.iter().any(|prefix| path.starts_with(prefix))
}

fn is_c_library(file: &str) -> bool {
    const STEMS: [&str; 7] = ["libc", "ld-linux", "ld-musl", "libpthread", "libdl", "librt", "linux-vdso"];
    stem_matches(file, &STEMS) || file == "[vdso]"
}

fn is_standard_library(file: &str) -> bool {
    stem_matches(file, &["libstdc++", "libc++", "libgcc_s", "libm"])
}

/// Whether `file` is `STEM` followed by a version or an ending, not by more of a name.
fn stem_matches(file: &str, stems: &[&str]) -> bool {
    stems.iter().any(|stem| file.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-'])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_modules_decide() {
        let cases = [
            ("parse", "/usr/bin/app", Kind::Native, false),
            ("operator new(unsigned long)", "/lib/libstdc++.so.6", Kind::Allocator, true),
            ("std::vector<int>::push_back(int const&)", "/usr/bin/app", Kind::Native, true),
            ("<alloc::vec::Vec<u8> as core::clone::Clone>::clone", "/usr/bin/app", Kind::Native, true),
            ("<app::Thing as core::fmt::Display>::fmt", "/usr/bin/app", Kind::Native, false),
            ("alloc::alloc::Global::alloc_impl", "/usr/bin/app", Kind::Allocator, true),
            ("main", "/usr/bin/app", Kind::Native, false),
            ("qsort", "/lib/x86_64-linux-gnu/libc.so.6", Kind::Runtime, true),
            ("__libc_start_main", "/lib/libc-2.31.so", Kind::Runtime, true),
            ("_dl_init", "/lib64/ld-linux-x86-64.so.2", Kind::Runtime, true),
            ("curl_easy_init", "/lib/libcurl.so.4", Kind::Native, false),
            ("std::rt::lang_start", "/usr/bin/app", Kind::Runtime, true),
            ("standard::thing", "/usr/bin/app", Kind::Native, false),
        ];
        for (function, module, kind, library) in cases {
            assert_eq!(classify(FrameKind::Native, Some(function), Some(module)), (kind, library), "{function}");
        }
        assert_eq!(classify(FrameKind::Inlined, Some("f"), None), (Kind::Inlined, false));
        assert_eq!(classify(FrameKind::Native, None, Some("/lib/libc.so.6")), (Kind::Unknown, false));
        assert_eq!(classify(FrameKind::Python, Some("std::f"), None), (Kind::Python, false));
    }

    #[test]
    fn base_name_of_odd_paths() {
        assert_eq!(base_name("/usr/bin/env"), "env");
        assert_eq!(base_name("env"), "env");
        assert_eq!(base_name("/tmp/x/"), "x");
        assert_eq!(base_name("/"), "/");
        assert_eq!(base_name(""), "");
    }
}
