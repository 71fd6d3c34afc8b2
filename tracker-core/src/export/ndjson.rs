//! Every event as a line of JSON, for scripts and databases.
//!
//! What a line refers to by a number (`process`, `thread`, `frame`, `stack`) has been described by a line before it. Times
//! never go back. The file's lines add up to the summary's numbers.

use std::borrow::Cow;
use std::io;

use serde::Serialize;

use super::{Exporter, Limits, Request};
use crate::report::escaping;
use crate::report::events::{Ending, Happening};
use crate::report::profile::{FrameId, FrameKind, Profile};
use crate::report::span::Span;

#[derive(Debug)]
pub(super) struct Ndjson;

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    /// The first one.
    Capture {
        schema: &'static str,
        command: Vec<Cow<'a, str>>,
        start_unix_ns: u64,
        duration_ns: u64,
    },
    Process {
        process: u32,
        pid: u32,
        parent: Option<u32>,
        exe: &'a str,
    },
    Thread {
        thread: u32,
        tid: u32,
        name: &'a str,
        process: u32,
    },
    Frame {
        frame: u32,
        function: Option<&'a str>,
        file: Option<&'a str>,
        line: Option<u32>,
        module: Option<&'a str>,
        address: u64,
        kind: &'static str,
    },
    /// Frames from the leaf on.
    Stack {
        stack: u32,
        allocator: Option<&'static str>,
        frames: &'a [u32],
    },
    /// With `realloc`, the block that it replaces was freed by the line before it.
    Allocation {
        #[serde(flatten)]
        block: Block,
        realloc: bool,
    },
    /// `thread` and `stack` are those of the allocation.
    Free(Block),
    /// The block is gone although no free of it was seen: its address was given out again.
    Vanish(Block),
    /// The block was live when its process image ended.
    Leak(Block),
    /// A part of a mapping was unmapped.
    Shrink(Block),
    /// A free of something that was never seen to be allocated; `inherited`: by the parent process, perhaps.
    UnknownFree {
        time_ns: u64,
        process: Option<u32>,
        address: u64,
        inherited: bool,
    },
}

/// What is said of a block, or of a part of one.
#[derive(Serialize)]
struct Block {
    time_ns: u64,
    process: u32,
    thread: u32,
    stack: u32,
    address: u64,
    bytes: u64,
}

impl Exporter for Ndjson {
    fn name(&self) -> &'static str {
        "ndjson"
    }

    fn about(&self) -> &'static str {
        "every event as a line of JSON"
    }

    fn limits(&self) -> Limits {
        Limits { all_metrics: true, no_moment: true, ..Limits::default() }
    }

    fn needs_time(&self) -> bool {
        true
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let profile = request.selection.profile();
        let selected = request.selection.mask();
        // Frees that belong to no row are those of the whole process.
        let process = request.selection.process().map(|process| process.index);
        let unknown = |of: Option<u32>| !request.selection.is_narrowed() && (process.is_none() || of == process);
        let inside = |time: u64| profile.span.is_none_or(|span| span.has(time));
        let mut writer = Writer::new(profile, out);
        writer.head()?;
        request.events.tell(&mut |happening| {
            let (time_ns, row) = match *happening {
                Happening::Allocated { time, row, .. }
                | Happening::Ended { time, row, .. }
                | Happening::Shrunk { time, row, .. } => (time, row),
                Happening::Unknown { time: time_ns, process, address, inherited } => {
                    let process = process.and_then(|at| Some(profile.processes.get(at as usize)?.index));
                    if inside(time_ns) && unknown(process) {
                        writer.line(&Line::UnknownFree { time_ns, process, address, inherited })?;
                    }
                    return Ok(());
                }
            };
            if !inside(time_ns) || selected.get(row as usize) != Some(&true) {
                return Ok(());
            }
            let Some((process, thread, stack)) = writer.place(row)? else { return Ok(()) };
            let block = |address, bytes| Block { time_ns, process, thread, stack, address, bytes };
            writer.line(&match *happening {
                Happening::Allocated { address, size, realloc, .. } => {
                    Line::Allocation { block: block(address, size), realloc }
                }
                Happening::Ended { address, size, ending, .. } => match ending {
                    Ending::Freed => Line::Free(block(address, size)),
                    Ending::Unseen => Line::Vanish(block(address, size)),
                    Ending::Leaked => Line::Leak(block(address, size)),
                },
                Happening::Shrunk { address, size, .. } => Line::Shrink(block(address, size)),
                Happening::Unknown { .. } => return Ok(()),
            })
        })
    }
}

impl Span {
    /// Whether something that happened at `time` belongs to it.
    fn has(&self, time: u64) -> bool {
        self.from_ns <= time && (self.open || time < self.to_ns)
    }
}

/// Writes lines, and before each the descriptions it needs and nobody has seen yet.
struct Writer<'p, 'o> {
    profile: &'p Profile,
    out: &'o mut dyn io::Write,
    threads: Vec<bool>,
    frames: Vec<bool>,
    stacks: Vec<bool>,
}

impl<'p, 'o> Writer<'p, 'o> {
    fn new(profile: &'p Profile, out: &'o mut dyn io::Write) -> Self {
        Self {
            profile,
            out,
            threads: vec![false; profile.threads.len()],
            frames: vec![false; profile.frames.len()],
            stacks: vec![false; profile.stacks.len()],
        }
    }

    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        escaping::to_writer(&mut *self.out, line).map_err(io::Error::from)?;
        self.out.write_all(b"\n")
    }

    fn head(&mut self) -> io::Result<()> {
        let Profile { session, duration_ns, .. } = self.profile;
        let (schema, command) = ("memtrack.events/1", session.words());
        self.line(&Line::Capture { schema, command, start_unix_ns: session.start_unix_ns, duration_ns: *duration_ns })?;
        self.profile.processes.iter().try_for_each(|process| {
            let (index, pid, parent) = (process.index, process.pid, process.parent);
            self.line(&Line::Process { process: index, pid, parent, exe: &process.exe })
        })
    }

    /// The numbers of a row's process, thread and stack, described.
    fn place(&mut self, row: u32) -> io::Result<Option<(u32, u32, u32)>> {
        let profile = self.profile;
        let Some(row) = profile.rows.get(row as usize) else { return Ok(None) };
        let process = profile.processes.get(row.process as usize).map_or(0, |process| process.index);
        let Some(thread) = profile.threads.get(row.thread as usize) else { return Ok(None) };
        if first(&mut self.threads, row.thread) {
            self.line(&Line::Thread { thread: thread.index, tid: thread.tid, name: &thread.name, process })?;
        }
        if first(&mut self.stacks, row.stack.0)
            && let Some(stack) = profile.stacks.get(row.stack.0 as usize)
        {
            for frame in &stack.frames {
                if first(&mut self.frames, frame.0) {
                    self.frame(*frame)?;
                }
            }
            let frames: Vec<u32> = stack.frames.iter().map(|frame| frame.0).collect();
            let allocator = stack.function.map(|function| function.name());
            self.line(&Line::Stack { stack: row.stack.0, allocator, frames: &frames })?;
        }
        Ok(Some((process, thread.index, row.stack.0)))
    }

    fn frame(&mut self, id: FrameId) -> io::Result<()> {
        let profile = self.profile;
        let Some(frame) = profile.frame(id) else { return Ok(()) };
        let kind = match frame.kind {
            FrameKind::Native => "native",
            FrameKind::Inlined => "inlined",
            FrameKind::Jit => "jit",
            FrameKind::Python => "python",
            FrameKind::Task => "task",
            FrameKind::Marker => "marker",
        };
        self.line(&Line::Frame {
            frame: id.0,
            function: frame.function.as_deref(),
            file: frame.file.as_deref(),
            line: frame.line,
            module: profile.module_path(frame),
            address: frame.address,
            kind,
        })
    }
}

/// Whether this number is met for the first time.
fn first(met: &mut [bool], number: u32) -> bool {
    met.get_mut(number as usize).is_some_and(|met| !std::mem::replace(met, true))
}
