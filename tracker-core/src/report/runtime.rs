//! Code that asks for memory in somebody else's name: allocators and their wrappers, C, C++ and Rust libraries. Nobody
//! wants to see it blamed.

/// The shared libraries every program brings along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runtime {
    Libc,
    Loader,
    Cpp,
}

/// How their file names start.
const MODULES: [(&str, Runtime); 13] = [
    ("libc.so", Runtime::Libc),
    ("libc-2.", Runtime::Libc),
    ("libm.so", Runtime::Libc),
    ("libpthread", Runtime::Libc),
    ("libdl.so", Runtime::Libc),
    ("libresolv.so", Runtime::Libc),
    ("libnss_", Runtime::Libc),
    ("ld-linux", Runtime::Loader),
    ("ld-2.", Runtime::Loader),
    ("ld.so", Runtime::Loader),
    ("libstdc++.so", Runtime::Cpp),
    ("libc++", Runtime::Cpp),
    ("libgcc_s.so", Runtime::Cpp),
];

/// Which of them `path` is.
pub(super) fn runtime_module(path: &str) -> Option<Runtime> {
    let name = super::name::base_name(path);
    MODULES.iter().find(|(start, _)| name.starts_with(start)).map(|&(_, runtime)| runtime)
}

/// How names of the standard libraries that are compiled into programs start, and those of allocators.
const STARTS: &[&str] = &[
    // C++
    "operator new",
    "std::",
    "__gnu_cxx::",
    // Rust
    "core::",
    "alloc::",
    "hashbrown::",
    "<core::",
    "<alloc::",
    "<std::",
    "<hashbrown::",
    "<T as alloc::",
    "<T as core::",
    "<&T as core::",
    "__rust_",
    "__rdl_",
    "__rg_",
    "__rustc",
    // C, when it is linked in statically
    "__libc_",
    // SQLite
    "sqlite3Malloc",
    "sqlite3Realloc",
    "sqlite3DbMalloc",
    "sqlite3DbRealloc",
    "sqlite3_malloc",
    "sqlite3_realloc",
    // GLib
    "g_malloc",
    "g_realloc",
    "g_slice_",
    // CPython
    "PyMem_",
    "_PyMem_",
    "PyObject_Malloc",
    "PyObject_Calloc",
    "PyObject_Realloc",
    "_PyObject_Malloc",
    "_PyObject_Calloc",
    "_PyObject_Realloc",
    "_PyObject_GC_",
    "_PyType_Alloc",
    "PyType_GenericAlloc",
    "pymalloc_",
    "arena_map_",
];

/// Whole names: the allocator itself, and wrappers that many programs have.
const NAMES: &str = " malloc calloc realloc reallocarray strdup strndup asprintf vasprintf \
    xmalloc xcalloc xrealloc xreallocarray xstrdup xstrndup xmemdup xmemdupz xmallocz xzalloc xnmalloc xnrealloc \
    x2realloc x2nrealloc do_xmalloc do_xmallocz zmalloc zcalloc zrealloc safemalloc Perl_safesysmalloc \
    Perl_safesyscalloc Perl_safesysrealloc g_try_malloc g_strdup g_memdup new_arena allocate_from_new_pool gc_alloc ";

/// Whether a function belongs to one of these. A template's return type, which C++ puts in front of its name, does not
/// matter.
pub(super) fn is_runtime_function(name: &str) -> bool {
    let starts = |name: &str| STARTS.iter().any(|start| name.starts_with(start));
    let head = name.find(['(', '<']).map_or(name, |end| name.get(..end).unwrap_or(name));
    let without_type = head.rfind(' ').and_then(|space| name.get(space + 1..));
    starts(name) || without_type.is_some_and(starts) || is_listed(name)
}

fn is_listed(name: &str) -> bool {
    !name.is_empty() && !name.contains(' ') && NAMES.contains(&format!(" {name} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions() {
        for name in [
            "malloc",
            "xmalloc",
            "operator new(unsigned long)",
            "operator new[](unsigned long)",
            "std::vector<int>::push_back(int&&)",
            "void std::vector<int>::_M_realloc_insert<int const&>(int const&)",
            "unsigned long* std::__relocate_a<Foo>(Foo*)",
            "<alloc::vec::Vec<T> as core::clone::Clone>::clone",
            "_PyObject_GC_NewVar",
        ] {
            assert!(is_runtime_function(name), "{name}");
        }
        for name in [
            "",
            "main",
            "my_malloc",
            "stdlib_load",
            "Foo operator+(std::string)",
            "int app::parse(std::string const&)",
            "app::Map<std::string>::insert",
            "<app::Tree as core::ops::Drop>::drop",
            "(anonymous namespace)::load(int)",
        ] {
            assert!(!is_runtime_function(name), "{name}");
        }
    }

    #[test]
    fn modules() {
        assert_eq!(runtime_module("/lib/x86_64-linux-gnu/libc.so.6"), Some(Runtime::Libc));
        assert_eq!(runtime_module("/lib64/ld-linux-x86-64.so.2"), Some(Runtime::Loader));
        assert_eq!(runtime_module("/usr/lib/libstdc++.so.6.0.30"), Some(Runtime::Cpp));
        assert_eq!(runtime_module("/usr/lib/libcurl.so.4"), None);
        assert_eq!(runtime_module("/usr/lib/libc.so.6/app"), None);
    }
}
