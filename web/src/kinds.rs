//! What a frame's name and module say about it: its colour, and whether its bytes count for its caller.
//!
//! Pure text rules, no debug data. Called once per distinct function.

use serde::{Serialize, Serializer};
use tracker_core::report::profile::{ARENA, FrameKind};
use tracker_core::report::runtime::{Role, role};

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
    /// Not a frame either: a task of asyncio, outermost in its stacks.
    Task = 8,
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

/// The kind of a frame, and whether it is a library's plumbing, whose bytes say more when they count for the caller:
/// the rule by which reports name the function to blame.
pub fn classify(kind: FrameKind, function: Option<&str>, module: Option<&str>, file: Option<&str>) -> (Kind, bool) {
    let own = match kind {
        FrameKind::Python => return (Kind::Python, false),
        FrameKind::Task => return (Kind::Task, true),
        // Whoever asked for an arena is not who fills it.
        FrameKind::Marker => return (Kind::Unknown, function != Some(ARENA)),
        FrameKind::Jit => Kind::Jit,
        FrameKind::Native => Kind::Native,
        FrameKind::Inlined => Kind::Inlined,
    };
    let role = if kind == FrameKind::Jit { None } else { role(function, module, file) };
    let kind = match role {
        _ if function.is_none() => Kind::Unknown,
        Some(Role::Allocator) => Kind::Allocator,
        Some(Role::System) => Kind::Runtime,
        Some(Role::Standard) | None => own,
    };
    (kind, role.is_some())
}

/// Whether a file, by its name, is a Python interpreter or the library that is one.
pub fn is_interpreter(file: &str) -> bool {
    let version = |rest: &str| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    ["libpython", "python"].iter().any(|stem| file.strip_prefix(stem).is_some_and(version))
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
            let found = classify(FrameKind::Native, Some(function), Some(module), None);
            assert_eq!(found, (kind, library), "{function}");
        }
        assert_eq!(classify(FrameKind::Inlined, Some("f"), None, None), (Kind::Inlined, false));
        assert_eq!(classify(FrameKind::Native, None, Some("/lib/libc.so.6"), None), (Kind::Unknown, true));
        assert_eq!(classify(FrameKind::Native, None, Some("/bin/app"), None), (Kind::Unknown, false));
        assert_eq!(classify(FrameKind::Python, Some("std::f"), None, None), (Kind::Python, false));
        assert_eq!(classify(FrameKind::Marker, Some("[truncated]"), None, None), (Kind::Unknown, true));
        assert_eq!(classify(FrameKind::Task, Some("[task a]"), None, None), (Kind::Task, true));
        assert_eq!(classify(FrameKind::Marker, Some(ARENA), None, None), (Kind::Unknown, false));
    }

    #[test]
    fn interpreters_by_file() {
        for file in ["python3", "python3.11", "python", "libpython3.12.so.1.0"] {
            assert!(is_interpreter(file), "{file}");
        }
        for file in ["pythonic", "libpythonia.so", "_json.cpython-311-x86_64-linux-gnu.so", ""] {
            assert!(!is_interpreter(file), "{file}");
        }
    }
}
