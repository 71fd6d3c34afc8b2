//! Blocks that the C library, the loader, the C++ library and CPython take once and keep.

use super::Decided;
use crate::report::profile::{Profile, Stack};
use crate::report::runtime::{Runtime, runtime_module};

const fn any_number(name: &str) -> Decided<'_> {
    Decided { name, most: u64::MAX }
}
/// stdin, stdout and stderr keep their buffers; more than three come from files that nobody closed.
const STDIO: Decided<'_> = Decided { name: "libc: stdio buffers", most: 3 };
const LOCALE: Decided<'_> = any_number("libc: locale");
const MESSAGES: Decided<'_> = any_number("libc: message catalogues");
const TIME_ZONE: Decided<'_> = any_number("libc: time zone");
const NAMES: Decided<'_> = any_number("libc: name service");
const CHARSETS: Decided<'_> = any_number("libc: character sets");
const EXIT: Decided<'_> = any_number("libc: exit handlers");
/// What a thread's stack brings along is kept for the next thread; thousands of them are threads that nobody joins.
const THREADS: Decided<'_> = Decided { name: "libc: thread stacks", most: 64 };
const LOADER: Decided<'_> = any_number("ld.so: loaded libraries");
const CPP: Decided<'_> = any_number("libstdc++: start-up");
const PYTHON: Decided<'_> = any_number("CPython: start-up");
const PYTHON_NAMES: Decided<'_> = any_number("CPython: interned names");

/// Functions of the C library, by how their names start, that keep a block once per process.
const LIBC_ONCE: [(&str, Decided<'_>); 22] = [
    ("_IO_file_doallocate", STDIO),
    ("_IO_wfile_doallocate", STDIO),
    ("setlocale", LOCALE),
    ("_nl_", LOCALE),
    ("bindtextdomain", MESSAGES),
    ("textdomain", MESSAGES),
    ("__dcigettext", MESSAGES),
    ("dcgettext", MESSAGES),
    ("gettext", MESSAGES),
    ("tzset", TIME_ZONE),
    ("__tz", TIME_ZONE),
    ("localtime", TIME_ZONE),
    ("mktime", TIME_ZONE),
    ("strftime", TIME_ZONE),
    ("__gconv", CHARSETS),
    ("__nss_", NAMES),
    ("getpw", NAMES),
    ("getgr", NAMES),
    ("__resolv_", NAMES),
    ("__cxa_atexit", EXIT),
    ("__new_exitfn", EXIT),
    ("atexit", EXIT),
];

/// Functions that take a block for each thread, inside the loader or not.
const PER_THREAD: [&str; 4] = ["pthread_create", "__pthread_create", "__tls_get_addr", "_dl_allocate_tls"];

/// Functions of CPython, by how their names start, that run once, before the program's first line; what they leave lives as
/// long as the interpreter does.
const PYTHON_START: [&str; 6] = [
    "Py_Initialize",
    "Py_PreInitialize",
    "_Py_PreInitialize",
    "_PyRuntime_Initialize",
    "pymain_init",
    "init_interp_main",
];

/// Functions of CPython that grow its table of names, one block however many there are.
const PYTHON_INTERN: [&str; 3] = ["PyUnicode_InternInPlace", "_PyUnicode_InternInPlace", "intern_common"];

/// The built-in rule for a stack.
pub(super) fn find(profile: &Profile, stack: &Stack) -> Option<Decided<'static>> {
    rule(profile, stack).or_else(|| python_rule(profile, stack))
}

fn python_rule(profile: &Profile, stack: &Stack) -> Option<Decided<'static>> {
    let mut interned = None;
    for &id in &stack.frames {
        let Some(frame) = profile.frame(id) else { break };
        if !profile.is_interpreter(frame) {
            continue;
        }
        let name = frame.function.as_deref().unwrap_or_default();
        if PYTHON_START.iter().any(|start| name.starts_with(start)) {
            return Some(PYTHON);
        }
        // The table itself, and no name in it.
        let grows = PYTHON_INTERN.iter().any(|start| name.starts_with(start)) && interned.is_none();
        interned = interned.or(grows.then_some(PYTHON_NAMES));
    }
    interned
}

/// Only the innermost run of frames inside the runtime libraries counts: what a callback or a constructor of the
/// program allocates is the program's.
fn rule(profile: &Profile, stack: &Stack) -> Option<Decided<'static>> {
    let mut once = None;
    let mut in_cpp = false;
    for &id in &stack.frames {
        let Some(frame) = profile.frame(id) else { break };
        let Some(runtime) = profile.module_path(frame).and_then(runtime_module) else { break };
        let name = frame.function.as_deref().unwrap_or_default();
        // What glibc calls its own functions inside.
        let name = name.strip_prefix("__GI_").unwrap_or(name);
        if PER_THREAD.iter().any(|start| name.starts_with(start)) {
            return Some(THREADS);
        }
        let found = match runtime {
            Runtime::Loader => Some(if in_cpp { CPP } else { LOADER }),
            Runtime::Libc => {
                let listed = LIBC_ONCE.iter().find(|(start, _)| name.starts_with(start));
                listed.map(|&(_, rule)| rule)
            }
            // Its constructors are called by the loader, which the next frames show.
            Runtime::Cpp => None,
        };
        in_cpp |= runtime == Runtime::Cpp;
        once = once.or(found);
    }
    once
}

#[cfg(test)]
mod tests {
    use super::super::tests::rule;
    use crate::report::suppress::Suppressions;

    #[track_caller]
    fn builtin(stack: &str, blocks: u64, expected: Option<&str>) {
        assert_eq!(rule(&Suppressions::builtin(), stack, blocks).as_deref(), expected, "{stack}");
    }

    #[test]
    fn what_the_libraries_take_once() {
        builtin("malloc: _IO_file_doallocate!libc printf!libc main", 1, Some("libc: stdio buffers"));
        builtin("malloc: _IO_file_doallocate!libc fgets!libc main", 4, None);
        builtin("malloc: strdup!libc setlocale!libc main", 9, Some("libc: locale"));
        builtin("malloc: ?!ld _dl_map_object!ld dlopen!libc main", 7, Some("ld.so: loaded libraries"));
        builtin("malloc: ?!c++ call_init!ld _dl_init!ld", 1, Some("libstdc++: start-up"));
        builtin("malloc: __GI__IO_file_doallocate!libc std::flush!c++ main", 1, Some("libc: stdio buffers"));
        builtin("calloc: ?!ld pthread_create!libc std::thread::thread!c++ main", 8, Some("libc: thread stacks"));
        builtin("calloc: ?!ld pthread_create!libc main", 5000, None);
    }

    #[test]
    fn what_the_program_allocates_stays() {
        builtin("malloc: strdup!libc main", 1, None);
        builtin("malloc: getline!libc main", 1, None);
        builtin("malloc: my_constructor call_init!ld _dl_init!ld", 1, None);
        builtin("malloc: operator_new!c++ my_constructor call_init!ld", 1, None);
        builtin("malloc: my_compare qsort!libc setlocale!libc main", 1, None);
        builtin("malloc:", 1, None);
    }

    #[test]
    fn what_cpython_takes_once() {
        builtin("malloc: dict_new!py pymain_init!py Py_BytesMain!py main", 40, Some("CPython: start-up"));
        builtin(
            "malloc: new_keys!py dictresize!py PyUnicode_InternInPlace!py call!py",
            1,
            Some("CPython: interned names"),
        );
        builtin("malloc: list_append!py py:load@app.py:3 pymain_run_python!py", 1, None);
        builtin("malloc: pymain_init main", 1, None);
    }
}
