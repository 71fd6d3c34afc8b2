//! The walls of the house, checked: who may depend on whom, where `unsafe` may be, what may not be left lying about.
//! `docs/architecture.md` says why each wall stands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `folder` whose name ends like one of `endings`, build results left out, as paths from the root.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !["target", ".git", "node_modules", "fetched"].contains(&name.as_str()) {
                folders.push(path);
            } else if kind.is_file() && endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether tests compile it themselves, to record it or to look at its debug information.
fn is_recorded(path: &str) -> bool {
    ["/victims/", "/programs/"].iter().any(|folder| path.contains(folder))
}

/// The names in a manifest's `[dependencies]`.
fn dependencies(package: &str) -> BTreeSet<String> {
    let manifest = read(&format!("{package}/Cargo.toml"));
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split_once('=')?.0.trim().to_owned())).filter(|n| !n.starts_with('#')).collect()
}

#[test]
fn packages_depend_one_way() {
    let packages = ["tracker-core", "tracker-preload", "tracker-cli", "web"];
    for (package, allowed) in [
        ("tracker-core", &[][..]),
        ("tracker-preload", &["tracker-core"]),
        ("web", &["tracker-core"]),
        ("tracker-cli", &["tracker-core", "web"]),
    ] {
        let inside = dependencies(package).into_iter().filter(|name| packages.contains(&name.as_str()));
        assert_eq!(inside.collect::<Vec<_>>(), allowed, "{package}");
    }
    // What lives inside the target links next to nothing.
    let preload: Vec<_> = dependencies("tracker-preload").into_iter().collect();
    assert_eq!(preload, ["backtrace", "gimli", "libc", "tracker-core"], "backtrace is the tests' oracle");
    assert!(read("tracker-preload/Cargo.toml").contains("backtrace = { workspace = true, optional = true }"));
    assert!(read("tracker-preload/Cargo.toml").contains("\ntracker-core = { workspace = true }\n"), "without std");
    assert!(read("Cargo.toml").contains("tracker-core = { path = \"tracker-core\", default-features = false }"));
}

#[test]
fn libraries_stop_where_they_belong() {
    for (library, only) in [
        ("axum", &["web"][..]),
        ("askama", &["web"]),
        ("tokio", &["web"]),
        ("clap", &["tracker-cli"]),
        ("bincode", &["tracker-core"]),
        ("libc", &["tracker-cli", "tracker-preload"]),
        ("backtrace", &["tracker-cli", "tracker-preload"]),
    ] {
        let packages = ["tracker-cli", "tracker-core", "tracker-preload", "web"];
        let users = packages.into_iter().filter(|package| dependencies(package).contains(library));
        assert_eq!(users.collect::<Vec<_>>(), only, "{library}");
    }
}

/// Lines of code without comments and without the tests at a file's end.
fn code(path: &str) -> String {
    let text = read(path);
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether `word` stands in `text` with no letter, digit or `_` beside it.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[test]
fn stations_know_only_those_before_them() {
    let stations = ["format", "capture", "symbol", "replay", "report", "export", "budget"];
    for (station, knows) in [
        ("format", &[][..]),
        ("capture", &["format"]),
        ("symbol", &["format", "capture"]),
        ("replay", &["format", "capture"]),
        ("report", &["format", "capture", "symbol", "replay"]),
        ("export", &["format", "report"]),
        ("budget", &["format", "report"]),
    ] {
        let sources = files(&format!("tracker-core/src/{station}"), &[".rs"]);
        assert!(!sources.is_empty(), "{station}");
        for source in sources {
            let code = code(&source);
            for other in stations.into_iter().filter(|other| *other != station && !knows.contains(other)) {
                assert!(!code.contains(&format!("crate::{other}")), "{source} must not know {other}");
            }
            if ["format", "symbol", "replay"].contains(&station) {
                assert!(!has_word(&code, "serde"), "{source}: serde stops at capture's metadata, report and export");
            }
            if station == "format" {
                assert!(!has_word(&code, "std") && !has_word(&code, "alloc"), "{source} runs inside the target");
            }
        }
    }
}

/// Whether there is unsafe code in `code`; the page's content policy has a word like it, in quotes.
fn has_unsafe(code: &str) -> bool {
    has_word(&code.replace("unsafe-", "").replace("\"unsafe\"", ""), "unsafe")
}

/// The files of the library that touch the C ABI, the system, thread storage, shared memory or foreign stacks.
const UNSAFE_PRELOAD: &[&str] = &[
    "environment.rs",
    "entry.rs",
    "exec.rs",
    "exports.rs",
    "hooks.rs",
    "lanes.rs",
    "module.rs",
    "oracle.rs",
    "os.rs",
    "python/frames.rs",
    "python/interpreter.rs",
    "python/memory.rs",
    "python/objects.rs",
    "python/places.rs",
    "python/symbols.rs",
    "real.rs",
    "recorder.rs",
    "recorder/tests.rs",
    "regions.rs",
    "sandbox.rs",
    "scratch.rs",
    "session.rs",
    "shell.rs",
    "spawn.rs",
    "thread.rs",
    "unwind/bounds.rs",
    "unwind/cache.rs",
    "unwind/cache/tests.rs",
    "unwind/cells.rs",
    "unwind/cfi.rs",
    "unwind/cfi/tests.rs",
    "unwind/expression.rs",
    "unwind/memos.rs",
    "unwind/mod.rs",
    "weak.rs",
];

#[test]
fn unsafe_is_a_place() {
    for source in files(".", &[".rs"]) {
        let source = source.trim_start_matches("./");
        if !has_unsafe(&code(source)) || source.ends_with("tidy.rs") || is_recorded(source) {
            continue;
        }
        let listed = |file| UNSAFE_PRELOAD.contains(&file);
        let allowed = source.starts_with("tracker-cli/src/sys/")
            // Programs of others link it; it calls two C functions.
            || source == "regions/rust/src/lib.rs"
            || source.strip_prefix("tracker-preload/src/").is_some_and(listed);
        assert!(allowed, "{source} has no business with unsafe; a file of the library that has goes into the list");
    }
    for file in UNSAFE_PRELOAD {
        let path = format!("tracker-preload/src/{file}");
        assert!(has_unsafe(&code(&path)), "{path} is listed without need");
    }
    for package in ["tracker-core", "web", "fuzz"] {
        assert!(read(&format!("{package}/src/lib.rs")).contains("#![forbid(unsafe_code)]"), "{package}");
    }
}

#[test]
fn nothing_is_left_lying_about() {
    let endings = [".rs", ".md", ".toml", ".js", ".css", ".html", ".py", ".sh", ".c", ".cpp", ".h", "run"];
    for path in files(".", &endings) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        let text = read(&path);
        for left in ["todo!", "unimplemented!", "dbg!(", "#[ignore", "TODO", "FIXME", "XXX"] {
            assert!(!text.contains(left), "{path} has a {left}");
        }
        // Places that exist on one machine only.
        for place in ["/work/", "/root/."] {
            assert!(!text.contains(place), "{path} names {place}");
        }
        assert!(text.is_empty() || text.ends_with('\n'), "{path} has no newline at its end");
        for (line, number) in text.lines().zip(1..) {
            let fixed = path.contains("/golden/");
            assert!(fixed || line.trim_end() == line, "{path}:{number} ends in a space");
        }
    }
}

#[test]
fn files_own_one_concept_and_say_which() {
    let mut lengths = Vec::new();
    for source in files(".", &[".rs"]) {
        let text = read(&source);
        assert!(is_recorded(&source) || text.starts_with("//!"), "{source} does not say what it owns");
        let lines = text.lines().count();
        assert!(lines <= 800, "{source} has {lines} lines: what is its second concept?");
        lengths.push(lines);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= 200, "the median file has {median} lines");
}
