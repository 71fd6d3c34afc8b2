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
const MODULES: [(&str, Runtime); 18] = [
    ("libc.so", Runtime::Libc),
    ("libc.musl", Runtime::Libc),
    ("libc-2.", Runtime::Libc),
    ("libm.so", Runtime::Libc),
    ("libpthread", Runtime::Libc),
    ("libdl.so", Runtime::Libc),
    ("libresolv.so", Runtime::Libc),
    ("librt.so", Runtime::Libc),
    ("linux-vdso", Runtime::Libc),
    ("[vdso]", Runtime::Libc),
    ("libnss_", Runtime::Libc),
    ("ld-linux", Runtime::Loader),
    ("ld-musl", Runtime::Loader),
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

/// Whose work a frame does when it is nobody's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Hands out memory for others.
    Allocator,
    /// Start-up code, the C library, the loader.
    System,
    /// A language's standard library.
    Standard,
}

/// How the names of allocators start.
const ALLOCATORS: &[&str] = &[
    // C++
    "operator new",
    "std::allocator",
    "std::__new_allocator",
    "__gnu_cxx::new_allocator",
    // Rust
    "alloc::alloc::",
    "__rust_",
    "__rdl_",
    "__rg_",
    "__rustc",
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
    // OpenSSL
    "CRYPTO_malloc",
    "CRYPTO_zalloc",
    "CRYPTO_realloc",
    "CRYPTO_clear_realloc",
    "CRYPTO_strdup",
    "CRYPTO_strndup",
    "CRYPTO_memdup",
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
const ALLOCATOR_NAMES: &str = " malloc calloc realloc reallocarray strdup strndup asprintf vasprintf \
    xmalloc xcalloc xrealloc xreallocarray xstrdup xstrndup xmemdup xmemdupz xmallocz xzalloc xnmalloc xnrealloc \
    x2realloc x2nrealloc do_xmalloc do_xmallocz zmalloc zcalloc zrealloc safemalloc Perl_safesysmalloc \
    Perl_safesyscalloc Perl_safesysrealloc g_try_malloc g_strdup g_memdup new_arena allocate_from_new_pool gc_alloc ";

/// Whole names of start-up code, where it is linked in.
const START_UP: &str = " _start start_thread clone clone3 ";

/// How start-up code's names start: C's when it is linked in statically, Rust's.
const START_UP_STARTS: &[&str] = &["__libc_", "std::rt::", "std::sys::backtrace::__rust_begin_short_backtrace"];

/// How names of the standard libraries that are compiled into programs start, and those of OpenSSL's containers.
const STANDARD: &[&str] =
    &["std::", "core::", "alloc::", "hashbrown::", "__gnu_cxx::", "__cxxabiv1::", "OPENSSL_sk_", "OPENSSL_LH_"];

/// Where the sources of those libraries lay when they were compiled: a start of the path, or a part of it.
const STANDARD_SOURCES: (&str, [&str; 2]) = ("/rustc/", ["/lib/rustlib/src/rust/library/", "/include/c++/"]);

/// The role of a frame of this function, in this module and source file; `None` when it is its program's own work.
pub fn role(function: Option<&str>, module: Option<&str>, file: Option<&str>) -> Option<Role> {
    let of_name = function.and_then(role_of_name);
    if of_name == Some(Role::Allocator) {
        return of_name;
    }
    match module.and_then(runtime_module) {
        Some(Runtime::Libc | Runtime::Loader) => Some(Role::System),
        Some(Runtime::Cpp) => Some(Role::Standard),
        None if file.is_some_and(is_standard_source) || module.is_some_and(makes_arrays) => {
            of_name.or(Some(Role::Standard))
        }
        None => of_name,
    }
}

/// Whether this is the part of NumPy that makes all arrays: to Python programs what a container is to others.
fn makes_arrays(module: &str) -> bool {
    super::name::base_name(module).starts_with("_multiarray_umath.")
}

fn is_standard_source(file: &str) -> bool {
    let (start, parts) = STANDARD_SOURCES;
    file.starts_with(start) || parts.iter().any(|part| file.contains(part))
}

/// A template's return type, which C++ puts in front of its name, does not matter; `<Vec<T> as Trait>::f` is Vec's.
fn role_of_name(name: &str) -> Option<Role> {
    let head = name.find(['(', '<']).map_or(name, |end| name.get(..end).unwrap_or(name));
    let without_type = head.rfind(' ').and_then(|space| name.get(space + 1..));
    [Some(name), without_type].into_iter().flatten().find_map(|name| {
        let path = name.trim_start_matches(['<', '&', '(', '[']);
        let starts = |list: &[&str]| list.iter().any(|start| path.starts_with(start));
        if starts(ALLOCATORS) || is_listed(ALLOCATOR_NAMES, name) {
            Some(Role::Allocator)
        } else if starts(START_UP_STARTS) || is_listed(START_UP, name) {
            Some(Role::System)
        } else if starts(STANDARD) || is_foreign_implementation(name) {
            Some(Role::Standard)
        } else {
            None
        }
    })
}

/// Whether this is a standard trait of a type that Rust brings along, or of any type: `<u8 as core::fmt::Display>::fmt`,
/// `<T as alloc::string::ToString>::to_string`. A trait of a type with a path is that type's work.
fn is_foreign_implementation(name: &str) -> bool {
    let Some((own, of)) = name.strip_prefix('<').and_then(|name| name.split_once(" as ")) else { return false };
    let of_standard = ["std::", "core::", "alloc::"].iter().any(|start| of.starts_with(start));
    of_standard && !own.contains("::")
}

fn is_listed(list: &str, name: &str) -> bool {
    !name.is_empty() && !name.contains(' ') && list.contains(&format!(" {name} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions() {
        for (name, expected) in [
            ("malloc", Role::Allocator),
            ("xmalloc", Role::Allocator),
            ("CRYPTO_zalloc", Role::Allocator),
            ("operator new(unsigned long)", Role::Allocator),
            ("operator new[](unsigned long)", Role::Allocator),
            ("<alloc::alloc::Global>::alloc_impl", Role::Allocator),
            ("_PyObject_GC_NewVar", Role::Allocator),
            ("_start", Role::System),
            ("std::rt::lang_start", Role::System),
            ("std::vector<int>::push_back(int&&)", Role::Standard),
            ("OPENSSL_LH_insert", Role::Standard),
            ("void std::vector<int>::_M_realloc_insert<int const&>(int const&)", Role::Standard),
            ("unsigned long* std::__relocate_a<Foo>(Foo*)", Role::Standard),
            ("<alloc::vec::Vec<T> as core::clone::Clone>::clone", Role::Standard),
            ("<&T as core::fmt::Debug>::fmt", Role::Standard),
            ("<u8 as alloc::vec::spec_from_elem::SpecFromElem>::from_elem", Role::Standard),
            ("<str as alloc::string::ToString>::to_string", Role::Standard),
        ] {
            assert_eq!(role_of_name(name), Some(expected), "{name}");
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
            "<&app::Tree as core::fmt::Debug>::fmt",
            "<u8 as app::Pack>::pack",
            "(anonymous namespace)::load(int)",
        ] {
            assert_eq!(role_of_name(name), None, "{name}");
        }
    }

    #[test]
    fn modules_and_sources() {
        let libc = Some("/lib/x86_64-linux-gnu/libc.so.6");
        let app = Some("/usr/bin/app");
        for (function, module, file, expected) in [
            (Some("qsort"), libc, None, Some(Role::System)),
            (None, libc, None, Some(Role::System)),
            (Some("malloc"), libc, None, Some(Role::Allocator)),
            (Some("swap"), Some("/usr/lib/libstdc++.so.6"), None, Some(Role::Standard)),
            (Some("{closure#0}"), app, Some("/rustc/0123abcd/library/std/src/thread/mod.rs"), Some(Role::Standard)),
            (Some("grow"), app, Some("/usr/include/c++/12/bits/vector.tcc"), Some(Role::Standard)),
            (Some("main"), app, Some("/home/me/rustc/main.rs"), None),
            (Some("main"), app, None, None),
            (None, app, None, None),
            (Some("default_malloc"), Some("/v/_multiarray_umath.cpython-311.so"), None, Some(Role::Standard)),
        ] {
            assert_eq!(role(function, module, file), expected, "{function:?} {module:?} {file:?}");
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
