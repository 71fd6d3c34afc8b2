//! What real programs do and tracers break on. Every case runs plain and recorded, in all places that make sense: output,
//! status and files must be the same, and what the capture says must be what the victims counted themselves.
//!
//! All cases are one process tree under one shell script, recorded into one capture: following is part of the test, and
//! the capture has to be read only once. As root, some more ways to hide are tried.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{MEMTRACK, compile, run};
use tracker_core::report::open::{OpenOptions, open};
use tracker_core::report::profile::{Profile, State};

const EVERYWHERE: &[&str] = &["main", "thread", "child", "constructor"];
const IN_PROCESSES: &[&str] = &["main", "child"];

/// Cases of `hazards.c`, and where each of them runs.
const INSIDE: &[(&str, &[&str])] = &[
    ("realloc_race", EVERYWHERE),
    ("tls_growth", EVERYWHERE),
    ("thread_storm", &["main"]),
    ("thread_crowd", EVERYWHERE),
    ("cancel_deferred", EVERYWHERE),
    ("cancel_system", EVERYWHERE),
    ("timer_storm", EVERYWHERE),
    ("long_jumps", EVERYWHERE),
    ("handler_jumps", EVERYWHERE),
    ("deep_recursion", EVERYWHERE),
    ("jit_frame", EVERYWHERE),
    ("stack_bounds", EVERYWHERE),
    ("coroutines", EVERYWHERE),
    ("deep_bind", EVERYWHERE),
    ("namespaces", EVERYWHERE),
    ("few_descriptors", EVERYWHERE),
    ("little_memory", IN_PROCESSES),
    ("little_data", IN_PROCESSES),
    ("small_files", IN_PROCESSES),
    ("sandbox_strict", IN_PROCESSES),
    ("sandbox_threads", EVERYWHERE),
    ("sandbox_stack", IN_PROCESSES),
    ("sandbox_library", IN_PROCESSES),
    ("double_free", EVERYWHERE),
    ("bad_pointers", EVERYWHERE),
    ("die_exit", EVERYWHERE),
    ("die_now", EVERYWHERE),
    ("die_quickly", EVERYWHERE),
    ("die_raw", EVERYWHERE),
    ("die_abort", EVERYWHERE),
    ("die_raise", EVERYWHERE),
    ("die_kill", EVERYWHERE),
    ("die_fault", EVERYWHERE),
    ("die_trap", EVERYWHERE),
    ("die_in_handler", EVERYWHERE),
    ("die_at_work", EVERYWHERE),
    ("footprint", EVERYWHERE),
];

/// Cases of `hazard_habits.c`.
const HABITS: &[(&str, &[&str])] = &[
    ("small_alternate_stack", EVERYWHERE),
    ("loader_callbacks", &["main", "thread", "child"]),
    ("run_path", EVERYWHERE),
    ("errors", EVERYWHERE),
    // The loader's list of thread-local storage, which each thread gets, has one entry more.
    ("heap_layout", &["main", "child", "constructor"]),
    ("large_requests", IN_PROCESSES),
    ("every_descriptor_closed", IN_PROCESSES),
    ("earliest_code", &["main"]),
    ("thread_destructors", EVERYWHERE),
];

/// Cases of `hazard_tree.c`.
const TREES: &[&str] = &[
    "fork_from_threads",
    "raw_clone",
    "fifty",
    "daemon_of_two_forks",
    "chain",
    "vfork_and_exec",
    "spawn",
    "through_a_shell",
    "empty_environment",
    "large_environment",
    "small_stacks",
    "many_vforks",
    "few_descriptors",
    "pid_namespace",
    "odd_name",
    "first_thread_leaves",
    "network_namespace",
    "inside_a_sandbox",
    "children_of_a_sandbox",
];

/// Those that only root can do.
const ROOTS_TREES: &[&str] =
    &["unreadable_program", "set_uid_program", "another_user", "kept_capabilities", "another_root"];

/// Whole command lines of the script, by name. `$B`: the folder with the programs.
const LINES: &[(&str, &str)] = &[
    ("jemalloc", "LD_PRELOAD=libjemalloc.so.2 exec $B/hazards $B thread_crowd main"),
    ("jemalloc_fork", "LD_PRELOAD=libjemalloc.so.2 exec $B/hazard_tree $B fork_from_threads"),
    ("mimalloc", "LD_PRELOAD=libmimalloc.so.2 exec $B/hazards $B thread_crowd main"),
    ("mimalloc_fork", "LD_PRELOAD=libmimalloc.so.2 exec $B/hazard_tree $B fork_from_threads"),
    ("fake_dlsym", "LD_PRELOAD=$B/libhazard_dlsym.so exec $B/hazards $B long_jumps main"),
    ("little_data", "ulimit -d 65536; exec $B/hazards $B little_data main"),
    ("own_malloc", "exec $B/hazard_malloc"),
    ("another_in_front", "LD_PRELOAD=$B/libhazard_next.so exec $B/hazards $B thread_crowd main"),
    ("new", "exec $B/hazard_new"),
    ("inner", "exec $B/hazard_inner"),
    ("inner_jumps", "exec $B/hazard_inner jump"),
    ("closed", "exec $B/hazards $B stack_bounds main <&- >&- 2>&-"),
    ("substituted", "echo \"<$($B/hazards $B coroutines main; echo $?)>\""),
    ("piped", "$B/hazards $B footprint main | cat"),
    ("odd_path", "D=$(printf 'caf\\351') && mkdir $D && cp $B/hazard_tree $D && $D/hazard_tree $B long_leaf; rm -r $D"),
    ("hello_32", "exec $B/hello_32 'a b'"),
    ("hello_musl", "exec $B/hello_musl 'a b'"),
    ("hello_static", "exec $B/hello_static 'a b'"),
    ("hello_static_pie", "exec $B/hello_static_pie 'a b'"),
];

/// Rows that the capture must have for what is not recorded: end of the path, part of the reason.
const UNTRACKED: &[(&str, &str)] = &[
    ("/hello_32", "32 bit"),
    ("/hello_musl", "musl"),
    ("/hello_static", "statically"),
    ("/hello_static_pie", "statically"),
    ("/hazard_tree", "network namespace"),
    ("/hazard_tree", "seccomp"),
];
const ROOTS_UNTRACKED: &[(&str, &str)] =
    &[("/unreadable", "cannot be read"), ("/set_uid", "set-uid"), ("/hazard_tree", "out of its reach")];

/// Programs that free what was allocated around our back, or twice.
const UNMATCHED: &[&str] = &["deep_bind", "double_free"];

/// The folder of the whole test: other users must be able to reach it, which they cannot where cargo builds.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("memtrack-hazards-{}", std::process::id()));
        fs::create_dir(&path).expect("a temporary folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0)
}

fn build(to: &Path) {
    let victim = ["-O1", "-fno-builtin", "-fno-optimize-sibling-calls", "-pthread", "-ldl"];
    let library = ["-O1", "-fPIC", "-shared", "-ldl"];
    compile("gcc", "hazards.c", &victim, &to.join("hazards"));
    // Whose constructor is a library's.
    let in_library = [&victim[..], &["-fPIC", "-shared", "-Dmain=hazards_main"]].concat();
    compile("gcc", "hazards.c", &in_library, &to.join("libhazards.so"));
    let folder = to.to_str().expect("plain path");
    let with_library = ["-L", folder, "-lhazards", "-Wl,-rpath,$ORIGIN"];
    compile("gcc", "hazard_stub.c", &with_library, &to.join("hazards_in_library"));
    compile("gcc", "hazard_tree.c", &victim, &to.join("hazard_tree"));
    compile("gcc", "hazard_malloc.c", &["-O1", "-fno-builtin", "-rdynamic"], &to.join("hazard_malloc"));
    compile("gcc", "hazard_next.c", &library, &to.join("libhazard_next.so"));
    compile("g++", "hazard_new.cpp", &["-O1", "-fno-builtin"], &to.join("hazard_new"));
    let habits = [&victim[..], &["-Wl,-rpath,$ORIGIN"]].concat();
    compile("gcc", "hazard_habits.c", &habits, &to.join("hazard_habits"));
    compile("gcc", "hazard_calm.c", &library, &to.join("libhazard_calm.so"));
    let calm = [&victim[..], &["-L", folder, "-lhazard_calm", "-Wl,-rpath,$ORIGIN"]].concat();
    compile("gcc", "hazard_inner.c", &calm, &to.join("hazard_inner"));
    compile("gcc", "hazard_dlsym.c", &library, &to.join("libhazard_dlsym.so"));
    compile("gcc", "plug.c", &[&library[..], &["-DPLUG=a", "-DSIZE=1000"]].concat(), &to.join("libplug_a.so"));
    for number in 0..4 {
        compile("gcc", "hazard_tls.c", &library, &to.join(format!("libhazard_tls{number}.so")));
    }
    compile("gcc", "hello.c", &["-m32"], &to.join("hello_32"));
    compile("musl-gcc", "hello.c", &[], &to.join("hello_musl"));
    compile("gcc", "hello.c", &["-static"], &to.join("hello_static"));
    compile("gcc", "hello.c", &["-static-pie"], &to.join("hello_static_pie"));
    for (copy, mode) in [("unreadable", 0o711), ("set_uid", 0o4755)] {
        let path = to.join(copy);
        fs::copy(to.join("hazard_tree"), &path).expect("built above");
        if is_root() && copy == "set_uid" {
            chown(&path, Some(65534), None).expect("we are root");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    }
    for (library, package) in [("libjemalloc.so.2", "libjemalloc2"), ("libmimalloc.so.2", "libmimalloc2.0")] {
        let loaded = run(Command::new("true").env("LD_PRELOAD", library));
        assert_eq!(loaded.stderr, "", "{library} is needed: apt-get install {package}");
    }
}

/// The script that runs every case in a folder of its own, and keeps what it printed and how it ended.
fn script(programs: &Path) -> String {
    let mut text = format!("B='{}'\n", programs.display());
    let mut add = |name: &str, line: &str| {
        let _ = writeln!(text, "mkdir {name}\n(cd {name} && {line}) >{name}/stdout 2>{name}/stderr </dev/null");
        let _ = writeln!(text, "echo $? >{name}/status");
    };
    for (case, places) in INSIDE {
        for place in *places {
            let program = if *place == "constructor" { "hazards_in_library" } else { "hazards" };
            add(&format!("{case}-{place}"), &format!("exec $B/{program} $B {case} {place}"));
        }
    }
    for (case, places) in HABITS {
        for place in *places {
            add(&format!("{case}-{place}"), &format!("exec $B/hazard_habits $B {case} {place}"));
        }
    }
    for case in TREES.iter().chain(if is_root() { ROOTS_TREES } else { &[] }) {
        add(&format!("tree-{case}"), &format!("exec $B/hazard_tree $B {case}"));
    }
    for (name, line) in LINES {
        add(name, line);
    }
    text
}

/// All files below `folder` with their bytes, but for the victims' own notes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for case in fs::read_dir(folder).expect("readable") {
        let case = case.expect("readable").path();
        for file in fs::read_dir(&case).into_iter().flatten().flatten().filter(|file| file.path().is_file()) {
            if file.file_name() != "facts" {
                let name = file.path().strip_prefix(folder).expect("below").to_owned();
                found.insert(name, fs::read(file.path()).expect("readable"));
            }
        }
    }
    found
}

/// Allocations and leaked blocks, by process id and function.
type Counts = BTreeMap<(u32, String), (u64, u64)>;

/// What the victims say.
fn expected(folder: &Path) -> Counts {
    let mut counts = Counts::new();
    for case in fs::read_dir(folder).expect("readable") {
        let text = fs::read_to_string(case.expect("readable").path().join("facts")).unwrap_or_default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().expect("a number");
            let sum = counts.entry((number(0) as u32, words[1].to_owned())).or_default();
            *sum = (sum.0 + number(2), sum.1 + number(3));
        }
    }
    counts
}

/// What the capture says.
fn recorded(profile: &Profile) -> Counts {
    let mut counts = Counts::new();
    for row in &profile.rows {
        let pid = profile.processes[row.process as usize].pid;
        let frames = &profile.stacks[row.stack.0 as usize].frames;
        let functions: BTreeSet<&str> =
            frames.iter().filter_map(|frame| profile.frames[frame.0 as usize].function.as_deref()).collect();
        for function in functions {
            let sum = counts.entry((pid, function.to_owned())).or_default();
            *sum = (sum.0 + row.metrics.allocations, sum.1 + row.metrics.leaked_blocks);
        }
    }
    counts
}

#[test]
fn programs_notice_nothing_and_nothing_is_lost() {
    let folder = Folder::new();
    let folder = &folder.0;
    let programs = folder.join("programs");
    fs::create_dir(&programs).expect("ours");
    build(&programs);
    let script = script(&programs);
    let capture = folder.join("capture.mtk");
    let [plain, tracked] = ["plain", "tracked"].map(|name| {
        let path = folder.join(name);
        fs::create_dir(&path).expect("ours");
        path
    });
    let cache = folder.join("cache");
    let first = run(Command::new("sh").args(["-c", &script]).current_dir(&plain).env("XDG_CACHE_HOME", &cache));
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "--wait", "-o"]).arg(&capture).args(["--", "sh", "-c", &script]);
    let second = run(command.current_dir(&tracked).env("XDG_CACHE_HOME", &cache));
    assert_eq!(second, first);

    let (first, second) = (files(&plain), files(&tracked));
    let text = |files: &BTreeMap<PathBuf, Vec<u8>>, name: &Path| {
        files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let names: BTreeSet<&PathBuf> = first.keys().chain(second.keys()).collect();
    let different: Vec<_> = names
        .into_iter()
        .map(|name| (name, text(&first, name), text(&second, name)))
        .filter(|(_, plain, tracked)| plain != tracked)
        .collect();
    assert!(different.is_empty(), "file, plain, recorded: {different:#?}");

    let profile = open(&capture, &OpenOptions::default(), &mut |_, _| {}).expect("a capture");
    assert_eq!((profile.state, profile.totals.lost_events), (State::Complete, 0), "{:?}", profile.warnings);
    let (expected, recorded) = (expected(&tracked), recorded(&profile));
    assert!(expected.len() > 200, "the victims have left their notes");
    let wrong: Vec<_> = expected
        .iter()
        .map(|(key, counts)| (key, *counts, recorded.get(key).copied().unwrap_or_default()))
        .filter(|(_, expected, recorded)| expected != recorded)
        .collect();
    assert!(wrong.is_empty(), "(process, function), counted, recorded: {wrong:#?}");
    let is_clean = |command: &[String]| !UNMATCHED.iter().any(|case| command.iter().any(|word| word == case));
    for process in profile.processes.iter().filter(|process| is_clean(&process.command)) {
        assert_eq!(process.totals.unmatched_frees, 0, "{process:#?}");
    }
    for (path, reason) in UNTRACKED.iter().chain(if is_root() { ROOTS_UNTRACKED } else { &[] }) {
        let found = profile.untracked.iter().any(|row| row.exe.ends_with(path) && row.reason.contains(reason));
        assert!(found, "{path} ({reason}) in {:#?}", profile.untracked);
    }
}
