//! What process and thread rows are called where their own names say too little: a Python program is its script, a child
//! that `multiprocessing` or a server forked is a numbered worker, and a thread that nobody named is the first function of the
//! program's that it ran.

use rustc_hash::FxHashMap;

use super::name::base_name;
use super::profile::{FrameKind, Process, Profile, Stack, Thread};

/// What runs a thread's first function, by the ends of their files' paths.
const STARTERS: [&str; 3] = ["/threading.py", "/concurrent/futures/thread.py", "<frozen threading>"];

/// What a process row is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    pub text: String,
    /// It runs its parent's program, whose name it has.
    pub is_worker: bool,
}

impl Profile {
    /// What the process rows are called: `git`, `job.py`, `job.py worker 2`. In the order of the rows.
    pub fn process_labels(&self) -> Vec<Label> {
        let by_index: FxHashMap<u32, &Process> =
            self.processes.iter().map(|process| (process.index, process)).collect();
        let mut workers: FxHashMap<u32, u32> = FxHashMap::default();
        let mut label = |process: &Process| {
            let parent = process.parent.filter(|parent| *parent != process.index);
            let parent = parent.and_then(|parent| by_index.get(&parent)).filter(|parent| is_worker(process, parent));
            let Some(parent) = parent else { return Label { text: program(process).to_owned(), is_worker: false } };
            let number = workers.entry(parent.index).or_default();
            *number += 1;
            Label { text: format!("{} worker {number}", program(parent)), is_worker: true }
        };
        self.processes.iter().map(&mut label).collect()
    }

    /// Gives threads of Python programs whose name is only inherited that of the outermost function they ran.
    pub(super) fn name_python_threads(&mut self) {
        let mut allocations: FxHashMap<(u32, &str), u64> = FxHashMap::default();
        for row in &self.rows {
            if let Some(function) = self.stacks.get(row.stack.0 as usize).and_then(|stack| self.first_function(stack)) {
                *allocations.entry((row.thread, function)).or_default() += row.metrics.allocations;
            }
        }
        let mut first: FxHashMap<u32, (u64, &str)> = FxHashMap::default();
        for ((thread, function), count) in allocations {
            let best = first.entry(thread).or_insert((count, function));
            // The name decides between equal ones, so that every reader has the same.
            *best = (*best).max((count, function));
        }
        let pids: FxHashMap<u32, u32> = self.processes.iter().map(|process| (process.index, process.pid)).collect();
        let is_main = |thread: &Thread| pids.get(&thread.process) == Some(&thread.tid);
        let mains = self.threads.iter().filter(|thread| is_main(thread));
        let mains: FxHashMap<u32, &str> = mains.map(|thread| (thread.process, thread.name.as_str())).collect();
        let inherits = |thread: &Thread| {
            !is_main(thread)
                && (thread.name.is_empty() || mains.get(&thread.process).is_some_and(|name| *name == thread.name))
        };
        let named = self.threads.iter().enumerate().filter(|(_, thread)| inherits(thread));
        let names: Vec<(usize, String)> =
            named.filter_map(|(place, _)| Some((place, first.get(&(place as u32))?.1.to_owned()))).collect();
        for (place, name) in names {
            if let Some(thread) = self.threads.get_mut(place) {
                thread.name = name;
            }
        }
    }

    /// The outermost Python function that is not there to start others, of a thread that was started by Python.
    fn first_function(&self, stack: &Stack) -> Option<&str> {
        let frames = stack.frames.iter().rev().filter_map(|&id| self.frame(id));
        let mut python = frames.filter(|frame| frame.kind == FrameKind::Python);
        let starts = |file: &str| STARTERS.iter().any(|starter| file.ends_with(starter));
        python.find(|frame| !frame.file.as_deref().is_some_and(starts))?.function.as_deref()
    }
}

/// Whether a child is a copy of its parent, or one that `multiprocessing` started to work for it.
fn is_worker(process: &Process, parent: &Process) -> bool {
    let command = process.command.as_slice();
    command == parent.command.as_slice() || command.iter().any(|word| word == "--multiprocessing-fork")
}

/// A script's or module's name if an interpreter of Python runs it, else the program's.
fn program(process: &Process) -> &str {
    let called = process.command.first().map_or(process.exe.as_str(), String::as_str);
    let exe = if process.exe.is_empty() { called } else { &process.exe };
    let python = [called, exe].iter().any(|path| base_name(path).starts_with("python"));
    let mut words = process.command.iter().skip(1);
    while let Some(word) = words.next().filter(|_| python) {
        match word.as_str() {
            "-m" => return words.next().map_or(base_name(exe), String::as_str),
            "-X" | "-W" => drop(words.next()),
            "-c" | "-" => break,
            option if option.starts_with('-') => {}
            script => return base_name(script),
        }
    }
    base_name(exe)
}

#[cfg(test)]
mod tests {
    use crate::report::profile::{Process, Profile};
    use crate::report::sketch::{Numbers, Sketch};

    fn named(tree: &[(u32, Option<u32>, &str)]) -> Vec<String> {
        let mut profile = Sketch::new("x").build();
        let process = |&(index, parent, command): &(u32, Option<u32>, &str)| Process {
            index,
            parent,
            exe: "/usr/bin/python3.11".into(),
            command: command.split(' ').map(str::to_owned).collect(),
            ..profile.processes[0].clone()
        };
        profile.processes = tree.iter().map(process).collect();
        profile.process_labels().into_iter().map(|label| label.text).collect()
    }

    #[test]
    fn processes_are_scripts_modules_and_their_workers() {
        let spawned = "python -c from%multiprocessing --multiprocessing-fork";
        let tree = [
            (1, None, "python3 -u -X dev jobs/run.py -m x"),
            (2, Some(1), "python3 -u -X dev jobs/run.py -m x"),
            (3, Some(1), spawned),
            (4, Some(3), spawned),
            (5, Some(1), "python -m celery worker"),
            (6, Some(5), "python -m celery worker"),
            (7, Some(1), "python3 -c pass"),
            (8, Some(8), "python3"),
        ];
        let expected = [
            "run.py",
            "run.py worker 1",
            "run.py worker 2",
            "python3.11 worker 1",
            "celery",
            "celery worker 1",
            "python3.11",
            "python3.11",
        ];
        assert_eq!(named(&tree), expected);
    }

    fn threads(profile: &Profile) -> Vec<&str> {
        profile.threads.iter().map(|thread| thread.name.as_str()).collect()
    }

    #[test]
    fn threads_that_inherit_their_name_are_called_after_their_function() {
        let numbers = |count| Numbers { allocated: (count, 1), ..Numbers::default() };
        let start =
            "py:Thread.run@/lib/python3.11/threading.py:975 py:Thread._bootstrap@/lib/python3.11/threading.py:1";
        let mut profile = Sketch::new("python3 a.py")
            .row("malloc: py:main@a.py:1", numbers(1))
            .thread("python3")
            .row(&format!("malloc: py:leaf@a.py:9 py:serve@a.py:3 {start} [task_x]"), numbers(2))
            .row(&format!("malloc: {start}"), numbers(9))
            .thread("worker-1")
            .row(&format!("malloc: py:serve@a.py:3 {start}"), numbers(2))
            .thread("python3")
            .row("malloc: native", numbers(2))
            .build();
        let main = profile.threads[0].name.clone();
        profile.processes[0].pid = profile.threads[0].tid;
        for thread in &mut profile.threads {
            if thread.name == "python3" {
                thread.name.clone_from(&main);
            }
        }
        profile.name_python_threads();
        assert_eq!(threads(&profile), [main.as_str(), "serve", "worker-1", main.as_str()]);
    }
}
