//! Leaks that nobody wants to hear about: suppression files in LeakSanitizer's format, and the blocks that the C
//! library, the loader and the C++ library take once and keep.

use std::fmt;

use super::pattern::Pattern;
use super::profile::{Frame, Profile, Row, Stack};
use super::runtime::{Runtime, runtime_module};

/// Which leaks are set apart.
#[derive(Debug, Clone, Default)]
pub struct Suppressions {
    patterns: Vec<Pattern>,
    builtin: bool,
}

/// A line of a suppression file that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionError {
    /// Line number, from 1.
    pub line: usize,
    text: String,
}

impl fmt::Display for SuppressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected `leak:PATTERN`, found {:?}", self.line, self.text)
    }
}

impl std::error::Error for SuppressionError {}

impl Suppressions {
    /// No suppressions at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The built-in list.
    pub fn builtin() -> Self {
        Self { builtin: true, ..Self::default() }
    }

    /// Adds the `leak:PATTERN` lines of a suppression file; empty lines and lines that start with `#` mean nothing.
    ///
    /// # Errors
    /// The first line that is anything else.
    pub fn add_file(&mut self, text: &str) -> Result<(), SuppressionError> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match line.strip_prefix("leak:").filter(|pattern| !pattern.is_empty()) {
                Some(pattern) => self.patterns.push(Pattern::new(pattern)),
                None => return Err(SuppressionError { line: number + 1, text: line.to_owned() }),
            }
        }
        Ok(())
    }

    /// Decides for every stack of `profile`.
    pub fn apply<'s>(&'s self, profile: &Profile) -> Applied<'s> {
        let by_frame: Vec<Option<&Pattern>> = if self.patterns.is_empty() {
            Vec::new()
        } else {
            profile.frames.iter().map(|frame| self.pattern_for(profile, frame)).collect()
        };
        let rule = |stack: &Stack| {
            let listed = stack.frames.iter().find_map(|id| *by_frame.get(id.0 as usize)?);
            let listed = listed.map(|pattern| Rule { name: pattern.as_str(), most: u64::MAX });
            listed.or_else(|| if self.builtin { builtin_rule(profile, stack) } else { None })
        };
        Applied(profile.stacks.iter().map(rule).collect())
    }

    fn pattern_for(&self, profile: &Profile, frame: &Frame) -> Option<&Pattern> {
        let names = [frame.function.as_deref(), frame.file.as_deref(), profile.module_path(frame)];
        let names = || names.into_iter().flatten();
        self.patterns.iter().find(|pattern| names().any(|name| pattern.matches(name)))
    }
}

/// Suppressions, decided for one profile.
#[derive(Debug, Clone)]
pub struct Applied<'s>(Vec<Option<Rule<'s>>>);

impl<'s> Applied<'s> {
    /// The rule that sets a row's leak apart.
    pub fn rule(&self, row: &Row) -> Option<&'s str> {
        let rule = (*self.0.get(row.stack.0 as usize)?)?;
        (row.metrics.leaked_blocks <= rule.most).then_some(rule.name)
    }
}

#[derive(Debug, Clone, Copy)]
struct Rule<'s> {
    name: &'s str,
    /// Most leaked blocks of a row that it explains.
    most: u64,
}

const fn any_number(name: &str) -> Rule<'_> {
    Rule { name, most: u64::MAX }
}

/// stdin, stdout and stderr keep their buffers; more than three come from files that nobody closed.
const STDIO: Rule<'_> = Rule { name: "libc: stdio buffers", most: 3 };
const LOCALE: Rule<'_> = any_number("libc: locale");
const MESSAGES: Rule<'_> = any_number("libc: message catalogues");
const TIME_ZONE: Rule<'_> = any_number("libc: time zone");
const NAMES: Rule<'_> = any_number("libc: name service");
const CHARSETS: Rule<'_> = any_number("libc: character sets");
const EXIT: Rule<'_> = any_number("libc: exit handlers");
/// What a thread's stack brings along is kept for the next thread; thousands of them are threads that nobody joins.
const THREADS: Rule<'_> = Rule { name: "libc: thread stacks", most: 64 };
const LOADER: Rule<'_> = any_number("ld.so: loaded libraries");
const CPP: Rule<'_> = any_number("libstdc++: start-up");

/// Functions of the C library, by how their names start, that keep a block once per process.
const LIBC_ONCE: [(&str, Rule<'_>); 22] = [
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

/// Only the innermost run of frames inside the runtime libraries counts: what a callback or a constructor of the
/// program allocates is the program's.
fn builtin_rule(profile: &Profile, stack: &Stack) -> Option<Rule<'static>> {
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
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    const LIBC: &str = "!/lib/x86_64-linux-gnu/libc.so.6";
    const LOADER: &str = "!/lib64/ld-linux-x86-64.so.2";
    const CPP: &str = "!/lib/x86_64-linux-gnu/libstdc++.so.6";

    /// Which rule, if any, suppresses a stack with so many leaked blocks.
    fn rule(suppressions: &Suppressions, stack: &str, blocks: u64) -> Option<String> {
        let stack = stack.replace("!libc", LIBC).replace("!ld", LOADER).replace("!c++", CPP);
        let numbers = Numbers { leaked: (blocks, blocks), ..Numbers::default() };
        let profile = Sketch::new("./app").row(&stack, numbers).build();
        suppressions.apply(&profile).rule(&profile.rows[0]).map(str::to_owned)
    }

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
    fn files_match_functions_files_and_modules() {
        let mut listed = Suppressions::none();
        listed.add_file("# known\n\n leak:^cache_*_new$\nleak:vendor/\nleak:libold.so\n").unwrap();
        for (stack, expected) in [
            ("malloc: cache_page_new main", Some("^cache_*_new$")),
            ("malloc: my_cache_page_new main", None),
            ("malloc: parse@vendor/json.c:3 main", Some("vendor/")),
            ("malloc: ?!/opt/libold.so.1 main", Some("libold.so")),
            ("malloc: _IO_file_doallocate!libc main", None),
        ] {
            assert_eq!(rule(&listed, stack, 1).as_deref(), expected, "{stack}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, message) in [
            ("leak:a\nrace:b", "line 2: expected `leak:PATTERN`, found \"race:b\""),
            ("leak:", "line 1: expected `leak:PATTERN`, found \"leak:\""),
        ] {
            assert_eq!(Suppressions::none().add_file(text).unwrap_err().to_string(), message);
        }
    }
}
