//! What stacks have in common: functions, modules, files, threads or processes with what they hold themselves and what
//! passes through them.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::filter::Selection;
use super::metric::Metric;
use super::name::UNKNOWN;
use super::profile::{Frame, Profile, Row};

/// What is one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    #[default]
    Function,
    Module,
    File,
    Thread,
    Process,
}

impl By {
    /// All of them, in the order in which help texts list them.
    pub const ALL: [Self; 5] = [Self::Function, Self::Module, Self::File, Self::Thread, Self::Process];

    /// The name a user types and a file shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Module => "module",
            Self::File => "file",
            Self::Thread => "thread",
            Self::Process => "process",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow<'p> {
    /// Empty where a stack has none: no module, no file known.
    pub name: Cow<'p, str>,
    /// Of functions, the path of their module.
    pub module: Option<&'p str>,
    /// The metric's value of the stacks that blame it.
    pub own: u64,
    /// The metric's value of the stacks through it, each once.
    pub total: u64,
}

/// All rows, the largest own value first. Own values add up to `sum`.
#[derive(Debug, Clone)]
pub struct Table<'p> {
    pub rows: Vec<TableRow<'p>>,
    pub sum: u64,
}

type Key<'p> = (Cow<'p, str>, Option<&'p str>);

impl<'p> Table<'p> {
    /// Sums a selection.
    pub fn new(selection: &Selection<'p>, by: By, metric: Metric) -> Self {
        let mut table = Building::default();
        let mut sum = 0u64;
        let keys = Keys::new(selection.profile(), by);
        for row in selection.rows() {
            let value = selection.value(metric, row);
            if value > 0 {
                sum = sum.saturating_add(value);
                table.add(keys.of(row), value);
            }
        }
        let mut rows = table.rows;
        rows.sort_by(|a, b| b.own.cmp(&a.own).then(b.total.cmp(&a.total)).then_with(|| a.name.cmp(&b.name)));
        Self { rows, sum }
    }
}

/// The rows that a profile's row counts for: the blamed one, then all of them.
struct Keys<'p> {
    profile: &'p Profile,
    by: By,
}

impl<'p> Keys<'p> {
    const fn new(profile: &'p Profile, by: By) -> Self {
        Self { profile, by }
    }

    fn of(&self, row: &Row) -> (Key<'p>, Vec<Key<'p>>) {
        let profile = self.profile;
        let whole = |name: Option<String>| {
            let key: Key<'p> = (name.unwrap_or_default().into(), None);
            (key.clone(), vec![key])
        };
        match self.by {
            By::Thread => {
                let thread = profile.threads.get(row.thread as usize);
                whole(thread.map(|thread| format!("{} {} {}", thread.index, thread.name, thread.tid)))
            }
            By::Process => {
                let process = profile.processes.get(row.process as usize);
                whole(process.map(|process| format!("{} {} {}", process.index, process.exe, process.pid)))
            }
            By::Function | By::Module | By::File => {
                let stack = profile.stacks.get(row.stack.0 as usize);
                let blamed = stack.and_then(|stack| profile.blamed(stack)).map(|frame| self.key(frame));
                let frames = stack.into_iter().flat_map(|stack| &stack.frames).filter_map(|&id| profile.frame(id));
                let none: Key<'p> = (if self.by == By::Function { UNKNOWN.into() } else { "".into() }, None);
                let mut all: Vec<_> = frames.map(|frame| self.key(frame)).collect();
                let blamed = blamed.unwrap_or(none);
                all.push(blamed.clone());
                all.sort_unstable();
                all.dedup();
                (blamed, all)
            }
        }
    }

    fn key(&self, frame: &'p Frame) -> Key<'p> {
        match self.by {
            By::Module => (self.profile.module_path(frame).unwrap_or("").into(), None),
            By::File => (frame.file.as_deref().unwrap_or("").into(), None),
            _ => (self.profile.frame_name(frame), self.profile.module_path(frame)),
        }
    }
}

#[derive(Default)]
struct Building<'p> {
    rows: Vec<TableRow<'p>>,
    places: FxHashMap<Key<'p>, usize>,
}

impl<'p> Building<'p> {
    fn add(&mut self, (blamed, all): (Key<'p>, Vec<Key<'p>>), value: u64) {
        for key in all {
            let own = if key == blamed { value } else { 0 };
            let next = self.rows.len();
            let at = *self.places.entry(key.clone()).or_insert(next);
            if at == next {
                self.rows.push(TableRow { name: key.0, module: key.1, own: 0, total: 0 });
            }
            if let Some(row) = self.rows.get_mut(at) {
                row.own = row.own.saturating_add(own);
                row.total = row.total.saturating_add(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::profile::Profile;
    use crate::report::sketch::{Numbers, Sketch};

    fn profile() -> Profile {
        let n = |n| Numbers { allocated: (n, n * 8), ..Numbers::default() };
        Sketch::new("./app")
            .row("malloc: operator_new!/usr/lib/libstdc++.so.6 parse@src/a.c:3 parse@src/a.c:9 main@src/m.c:1", n(3))
            .row("malloc: read@src/a.c:5 main@src/m.c:2", n(4))
            .thread("other")
            .row("malloc:", n(2))
            .process("/bin/cat", Vec::new())
            .row("malloc: read@src/c.c:5 main@src/c.c:7", n(9))
            .build()
    }

    #[track_caller]
    fn check(by: By, expected: &[(&str, u64, u64)]) {
        let profile = profile();
        let table = Table::new(&Selection::whole(&profile), by, Metric::Allocations);
        let rows: Vec<_> = table.rows.iter().map(|row| (&*row.name, row.own, row.total)).collect();
        assert_eq!(rows, expected);
        assert_eq!(table.rows.iter().map(|row| row.own).sum::<u64>(), 18);
        assert_eq!(table.sum, 18);
    }

    #[test]
    fn own_values_add_up_and_recursion_counts_once() {
        check(
            By::Function,
            &[("read", 13, 13), ("parse", 3, 3), ("[unknown]", 2, 2), ("main", 0, 16), ("operator_new", 0, 3)],
        );
        check(By::File, &[("src/c.c", 9, 9), ("src/a.c", 7, 7), ("", 2, 5), ("src/m.c", 0, 7)]);
        check(By::Thread, &[("2 other 4712", 11, 11), ("1 main 4711", 7, 7)]);
        check(By::Process, &[("1 ./app 4711", 9, 9), ("2 /bin/cat 4712", 9, 9)]);
    }
}
