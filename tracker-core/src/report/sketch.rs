//! Profiles written by hand, for tests.
//!
//! A stack is one line, innermost frame first: the allocator function and a colon, then frames of the form
//! `[~]function[@file:line][!module]`; `~` marks an inlined frame, `py:` a Python one, `_` in its file stands for a space, `?` a nameless one. The module is the program where
//! none is named. Sums and tables follow from the rows.

use super::profile::{
    Frame, FrameId, FrameKind, Metrics, Module, Process, Profile, Row, SizeClass, Stack, StackId, State, Thread,
    Timeline, Totals,
};
use super::slices::Slices;
use crate::capture::meta::{ExitStatus, Session};
use crate::format::Function;

/// A profile in the making.
#[derive(Debug)]
pub struct Sketch {
    profile: Profile,
    at: (u32, u32),
}

/// Numbers of one row: `(allocations, bytes)` pairs, zero unless given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    pub allocated: (u64, u64),
    pub leaked: (u64, u64),
    pub peak: (u64, u64),
    pub process_peak: Option<(u64, u64)>,
    pub temporary: (u64, u64),
    /// Bytes of the largest allocation.
    pub largest: u64,
    /// First and last allocation in nanoseconds.
    pub seen: (u64, u64),
}

impl Sketch {
    /// A capture of `command` that ran for a second, with one process and one thread, both current.
    pub fn new(command: &str) -> Self {
        let words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        let exe = words.first().cloned().unwrap_or_default();
        let session = Session {
            command: words.iter().map(|word| word.clone().into_bytes()).collect(),
            exe: exe.clone().into_bytes(),
            cwd: b"/home/user".to_vec(),
            host: "host".into(),
            memtrack_version: "0.1.0".into(),
            pid: 4711,
            ..Session::default()
        };
        let profile = Profile {
            state: State::Complete,
            session,
            duration_ns: 1_000_000_000,
            exit: Some(ExitStatus::Code(0)),
            totals: Totals::default(),
            processes: Vec::new(),
            threads: Vec::new(),
            modules: Vec::new(),
            frames: Vec::new(),
            stacks: Vec::new(),
            rows: Vec::new(),
            timeline: Timeline::default(),
            slices: Slices::default(),
            span: None,
            sizes: Vec::new(),
            untracked: Vec::new(),
            warnings: Vec::new(),
            redacted: false,
            regions: Vec::new(),
            symbol_notes: Vec::new(),
            pymalloc: None,
        };
        Self { profile, at: (0, 0) }.process(&exe, words).thread("main")
    }

    /// Adds a process, a child of the current one, and makes it current.
    #[must_use]
    pub fn process(mut self, exe: &str, command: Vec<String>) -> Self {
        let index = self.profile.processes.len() as u32 + 1;
        self.profile.processes.push(Process {
            index,
            pid: 4710 + index,
            parent: (index > 1).then_some(self.at.0 + 1),
            exe: exe.to_owned(),
            command,
            start_ns: 0,
            end_ns: Some(self.profile.duration_ns),
            totals: Totals::default(),
        });
        self.at.0 = index - 1;
        self
    }

    /// Adds a thread to the current process and makes it current.
    #[must_use]
    pub fn thread(mut self, name: &str) -> Self {
        let index = self.profile.threads.len() as u32 + 1;
        self.profile.threads.push(Thread {
            index,
            tid: 4710 + index,
            name: name.to_owned(),
            process: self.at.0 + 1,
            metrics: Metrics::default(),
        });
        self.at.1 = index - 1;
        self
    }

    /// Adds a row to the current process and thread.
    #[must_use]
    pub fn row(mut self, stack: &str, numbers: Numbers) -> Self {
        let stack = self.stack(stack);
        let process_peak = numbers.process_peak.unwrap_or(numbers.peak);
        let metrics = Metrics {
            allocations: numbers.allocated.0,
            allocated_bytes: numbers.allocated.1,
            leaked_blocks: numbers.leaked.0,
            leaked_bytes: numbers.leaked.1,
            peak_blocks: numbers.peak.0,
            peak_bytes: numbers.peak.1,
            process_peak_blocks: process_peak.0,
            process_peak_bytes: process_peak.1,
            temporary_allocations: numbers.temporary.0,
            temporary_bytes: numbers.temporary.1,
        };
        let (process, thread) = self.at;
        let (first_ns, last_ns) = numbers.seen;
        self.profile.rows.push(Row {
            stack,
            process,
            thread,
            metrics,
            largest_bytes: numbers.largest,
            first_ns,
            last_ns,
        });
        let profile = &mut self.profile;
        profile.totals.metrics.add(&metrics);
        if let Some(process) = profile.processes.get_mut(process as usize) {
            process.totals.metrics.add(&metrics);
        }
        if let Some(thread) = profile.threads.get_mut(thread as usize) {
            thread.metrics.add(&metrics);
        }
        self
    }

    /// Adds allocations of a size class.
    #[must_use]
    pub fn size(mut self, from: u64, allocations: u64, bytes: u64) -> Self {
        self.profile.sizes.push(SizeClass { from, allocations, bytes });
        self
    }

    /// Changes anything else.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Profile)) -> Self {
        change(&mut self.profile);
        self
    }

    /// The profile.
    pub fn build(self) -> Profile {
        self.profile
    }

    fn stack(&mut self, text: &str) -> StackId {
        let (function, frames) = text.split_once(':').unwrap_or(("", text));
        let function = Function::ALL.into_iter().find(|known| known.name() == function);
        let frames = frames.split_whitespace().map(|frame| self.frame(frame)).collect();
        StackId(place(&mut self.profile.stacks, Stack { frames, function }))
    }

    fn frame(&mut self, text: &str) -> FrameId {
        let (rest, module) = match text.split_once('!') {
            Some((rest, module)) => (rest, module.to_owned()),
            None => (text, String::from_utf8_lossy(&self.profile.session.exe).into_owned()),
        };
        let (name, place_in_source) = rest.split_once('@').unwrap_or((rest, ""));
        let (name, kind) = match name.strip_prefix('~') {
            Some(name) => (name, FrameKind::Inlined),
            None if name.starts_with("[task_") => (name, FrameKind::Task),
            None if name.starts_with('[') => (name, FrameKind::Marker),
            None => match name.strip_prefix("py:") {
                Some(name) => (name, FrameKind::Python),
                None => (name, FrameKind::Native),
            },
        };
        let (file, line) = place_in_source.split_once(':').unwrap_or((place_in_source, ""));
        let module = Module { path: module, build_id: Vec::new(), interpreter: false };
        let frame = Frame {
            function: (name != "?")
                .then(|| if kind == FrameKind::Task { name.replace('_', " ") } else { name.to_owned() }),
            file: (!file.is_empty())
                .then(|| if kind == FrameKind::Python { file.replace('_', " ") } else { file.to_owned() }),
            line: line.parse().ok(),
            module: (!matches!(kind, FrameKind::Python | FrameKind::Task))
                .then(|| place(&mut self.profile.modules, module)),
            address: if kind == FrameKind::Python { 0 } else { 0x1000 },
            kind,
        };
        FrameId(place(&mut self.profile.frames, frame))
    }
}

/// The index of `value`, added when new.
fn place<T: PartialEq>(table: &mut Vec<T>, value: T) -> u32 {
    let at = table.iter().position(|known| *known == value).unwrap_or_else(|| {
        table.push(value);
        table.len() - 1
    });
    at as u32
}
