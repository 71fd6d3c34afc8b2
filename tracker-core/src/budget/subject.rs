//! The parts of a recording that a rule is judged on, each on its own: the whole, a process, a test.

use super::matcher::Matcher;
use super::rule::Scope;
use crate::report::filter::Selection;
use crate::report::name::base_name;
use crate::report::profile::{Frame, Process, Profile, Stack};

/// One of them.
pub(super) struct Subject<'p> {
    /// What it is called, where there may be several.
    pub(super) name: Option<String>,
    pub(super) selection: Selection<'p>,
}

/// Those of a scope, in a recording or the part of it that was asked for. None: nothing there has such a name.
pub(super) fn subjects<'p>(scope: &Scope, whole: &Selection<'p>) -> Vec<Subject<'p>> {
    let profile = whole.profile();
    let mut subjects = match &scope.exe {
        _ if scope.test.is_some() => tests(scope, whole),
        None => vec![Subject { name: None, selection: whole.clone() }],
        Some(asked) => profile
            .processes
            .iter()
            .zip(0..)
            .filter(|(process, _)| asked.matches(base_name(&process.exe)))
            .filter(|(process, _)| whole.process().is_none_or(|only| only.index == process.index))
            .map(|(process, at)| Subject {
                name: Some(format!("process {} ({})", process.index, base_name(&process.exe))),
                selection: whole.of_process(at),
            })
            .collect(),
    };
    if scope.selects_stacks() {
        let selected: Vec<bool> = profile.stacks.iter().map(|stack| selects(scope, profile, stack)).collect();
        for subject in &mut subjects {
            subject.selection =
                subject.selection.only(|row| selected.get(row.stack.0 as usize).copied().unwrap_or_default());
        }
    }
    subjects
}

/// The whole, if it is the recording of such a test, and the regions of such a name.
fn tests<'p>(scope: &Scope, whole: &Selection<'p>) -> Vec<Subject<'p>> {
    let profile = whole.profile();
    let asked = |name: &str| scope.test.as_ref().is_some_and(|asked| asked.matches(name));
    let of_exe = |process: Option<&Process>| {
        let exe = process.map_or("", |process| base_name(&process.exe));
        scope.exe.as_ref().is_none_or(|asked| asked.matches(exe))
            && whole.process().is_none_or(|only| process.is_some_and(|process| process.index == only.index))
    };
    let alone = test_of(profile).filter(|_| whole.region().is_none());
    let alone = alone.filter(|test| asked(test) && of_exe(profile.processes.first()));
    let alone = alone.map(|test| Subject { name: Some(test.to_owned()), selection: whole.clone() });
    let regions = profile
        .regions
        .iter()
        .filter(|region| whole.region().is_none_or(|only| std::ptr::eq(only, *region)))
        .filter(|region| asked(&region.name) && of_exe(profile.processes.get(region.process as usize)));
    let regions = regions
        .map(|region| Subject { name: Some(region.name.clone()), selection: Selection::of_region(profile, region) });
    alone.into_iter().chain(regions).collect()
}

fn selects(scope: &Scope, profile: &Profile, stack: &Stack) -> bool {
    let frames = || stack.frames.iter().filter_map(|&id| profile.frame(id));
    let any = |asked: &Option<Matcher>, matches: &dyn Fn(&Matcher, &Frame) -> bool| {
        asked.as_ref().is_none_or(|asked| frames().any(|frame| matches(asked, frame)))
    };
    any(&scope.under, &|asked, frame| asked.matches(&profile.frame_name(frame)))
        && any(&scope.module, &|asked, frame| profile.module_path(frame).is_some_and(|path| asked.matches(path)))
        && any(&scope.file, &|asked, frame| frame.file.as_deref().is_some_and(|file| asked.matches(file)))
        && scope
            .own
            .as_ref()
            .is_none_or(|asked| profile.blamed(stack).is_some_and(|frame| asked.matches(&profile.frame_name(frame))))
}

/// The one test that the program was started for, as its command line says: runners that start a process for each test
/// name it there. `--exact NAME` (Rust's test harness, as nextest calls it), `--gtest_filter=NAME`, `file.py::NAME`.
fn test_of(profile: &Profile) -> Option<&str> {
    let command = || profile.session.command.iter().skip(1).filter_map(|word| std::str::from_utf8(word).ok());
    if command().any(|word| word == "--exact") {
        return command().find(|word| !word.starts_with('-'));
    }
    let names_one = |name: &&str| !name.is_empty() && !name.contains(['*', '?', ':']);
    if let Some(test) = command().find_map(|word| word.strip_prefix("--gtest_filter=")).filter(names_one) {
        return Some(test);
    }
    command().find(|word| word.contains(".py::"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    /// `key=value` selectors → names of the subjects and their allocations.
    #[track_caller]
    fn check(selectors: &str, expected: &str) {
        let n = |n| Numbers { allocated: (n, n * 10), ..Numbers::default() };
        let profile = Sketch::new("./app --exact net::bulk_import --nocapture")
            .row("malloc: xmalloc parse@src/json.c:7 main", n(1))
            .row("malloc: read!/opt/libx.so parse@src/json.c:9 main", n(2))
            .row("malloc: main", n(4))
            .process("/usr/bin/server", Vec::new())
            .thread("t")
            .row("malloc: parse", n(8))
            .process("/usr/bin/server", Vec::new())
            .thread("t")
            .row("malloc: main", n(16))
            .build();
        let mut scope = Scope::default();
        for (key, value) in selectors.split_whitespace().filter_map(|selector| selector.split_once('=')) {
            let matcher = Some(Matcher::new(value).unwrap());
            match key {
                "exe" => scope.exe = matcher,
                "test" => scope.test = matcher,
                "under" => scope.under = matcher,
                "self" => scope.own = matcher,
                "module" => scope.module = matcher,
                _ => scope.file = matcher,
            }
        }
        let found = subjects(&scope, &Selection::whole(&profile));
        let found: Vec<_> = found
            .iter()
            .map(|subject| {
                format!("{} {}", subject.name.as_deref().unwrap_or("-"), subject.selection.metrics().allocations)
            })
            .collect();
        assert_eq!(found.join(", "), expected, "{selectors}");
    }

    #[test]
    fn scopes() {
        check("", "- 31");
        check("under=parse", "- 11");
        check("self=parse", "- 9");
        check("self=re:^main$", "- 20");
        check("module=libx", "- 2");
        check("file=json.c", "- 3");
        check("under=parse file=json.c self=read", "- 2");
        check("exe=server", "process 2 (server) 8, process 3 (server) 16");
        check("exe=server under=main", "process 2 (server) 0, process 3 (server) 16");
        check("exe=client", "");
        check("test=*::bulk*", "net::bulk_import 31");
        check("test=other", "");
    }

    #[test]
    fn tests_are_named_by_their_command_lines() {
        for (command, test) in [
            ("t --exact a::b --nocapture", Some("a::b")),
            ("t --nocapture --exact a::b", Some("a::b")),
            ("t a::b", None),
            ("t --gtest_filter=Suite.Case", Some("Suite.Case")),
            ("t --gtest_filter=Suite.*", None),
            ("python3 -m pytest tests/test_a.py::test_b", Some("tests/test_a.py::test_b")),
        ] {
            assert_eq!(test_of(&Sketch::new(command).build()), test, "{command}");
        }
    }
}
