//! heaptrack's interpreted trace, for its viewer and for `heaptrack_print`: one process, event by event.
//!
//! Lines of hexadecimal numbers. What a line refers to by its number, counted from 1 in order of appearance, was defined
//! before it: `s` a text, `i` a place in the code, `t` a place called from another stack, `a` a size allocated by a stack.

use std::io;

use rustc_hash::FxHashMap;

use super::{Exporter, Limits, Request};
use crate::report::events::{Ending, Happening};
use crate::report::harmful::escaped;
use crate::report::name::UNKNOWN;
use crate::report::profile::{Frame, FrameId, Profile};

/// heaptrack 1.4.0, whose files have version 2.
const VERSIONS: &str = "v 10400 2\n";

const NS_PER_MS: u64 = 1_000_000;

/// Inlined frames are places of their own. A mapping that loses a part is one that is freed, and a smaller one.
#[derive(Debug)]
pub(super) struct Heaptrack;

impl Exporter for Heaptrack {
    fn name(&self) -> &'static str {
        "heaptrack"
    }

    fn about(&self) -> &'static str {
        "every event of one process, for heaptrack_gui and heaptrack_print"
    }

    fn limits(&self) -> Limits {
        Limits { all_metrics: true, whole_time: true, one_process: true, ..Limits::default() }
    }

    fn needs_time(&self) -> bool {
        true
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let profile = request.selection.profile();
        let selected = request.selection.mask();
        let mut writer = Writer::new(profile, out);
        writer.head(request.selection.process().map(|process| process.command.as_slice()))?;
        let mut resident = Resident::new(profile, request.selection.process().map_or(1, |process| process.index));
        request.events.tell(&mut |happening| {
            let (&Happening::Allocated { row, time, .. }
            | &Happening::Ended { row, time, .. }
            | &Happening::Shrunk { row, time, .. }) = happening
            else {
                return Ok(());
            };
            if selected.get(row as usize) != Some(&true) {
                return Ok(());
            }
            writer.time(time)?;
            while let Some(pages) = resident.until(time) {
                writeln!(writer.out, "R {pages:x}")?;
            }
            match *happening {
                Happening::Allocated { size, .. } => writer.event('+', row, size),
                // heaptrack counts as leaked what has no end.
                Happening::Ended { ending: Ending::Leaked, .. } | Happening::Unknown { .. } => Ok(()),
                Happening::Ended { size, .. } => writer.event('-', row, size),
                Happening::Shrunk { size, before, .. } => {
                    writer.event('-', row, before)?;
                    writer.event('+', row, before.saturating_sub(size))
                }
            }
        })?;
        writer.time(profile.duration_ns)
    }
}

const PAGE: u64 = 4096;

/// Resident memory of one process over time, in pages.
struct Resident(std::iter::Peekable<std::vec::IntoIter<(u64, u64)>>);

impl Resident {
    fn new(profile: &Profile, process: u32) -> Self {
        let of_process =
            profile.timeline.rss.iter().filter(|point| {
                profile.processes.get(point.process as usize).is_some_and(|found| found.index == process)
            });
        let points: Vec<_> =
            of_process.map(|p| (p.time_ns, p.anon_bytes.saturating_add(p.file_bytes) / PAGE)).collect();
        Self(points.into_iter().peekable())
    }

    /// The next value that was measured until `time`.
    fn until(&mut self, time: u64) -> Option<u64> {
        self.0.next_if(|point| point.0 <= time).map(|point| point.1)
    }
}

struct Writer<'p, 'o> {
    profile: &'p Profile,
    out: &'o mut dyn io::Write,
    texts: FxHashMap<String, u64>,
    /// By frame; `None` is the place of stacks without frames.
    places: FxHashMap<Option<FrameId>, u64>,
    /// Place and caller.
    traces: FxHashMap<(u64, u64), u64>,
    /// The trace of each stack, 0 until it is met.
    stacks: Vec<u64>,
    /// Size and trace.
    infos: FxHashMap<(u64, u64), u64>,
    ms: u64,
}

impl<'p, 'o> Writer<'p, 'o> {
    fn new(profile: &'p Profile, out: &'o mut dyn io::Write) -> Self {
        Self {
            profile,
            out,
            texts: FxHashMap::default(),
            places: FxHashMap::default(),
            traces: FxHashMap::default(),
            stacks: vec![0; profile.stacks.len()],
            infos: FxHashMap::default(),
            ms: 0,
        }
    }

    fn head(&mut self, command: Option<&[String]>) -> io::Result<()> {
        let own = command.filter(|words| !words.is_empty()).map(|words| words.join(" "));
        let command = own.unwrap_or_else(|| self.profile.session.words().join(" "));
        self.out.write_all(VERSIONS.as_bytes())?;
        writeln!(self.out, "X {}", escaped(&command))?;
        writeln!(self.out, "I {PAGE:x} 0")
    }

    /// Time goes on.
    fn time(&mut self, time_ns: u64) -> io::Result<()> {
        let ms = time_ns / NS_PER_MS;
        if ms > self.ms {
            self.ms = ms;
            writeln!(self.out, "c {ms:x}")?;
        }
        Ok(())
    }

    fn event(&mut self, sign: char, row: u32, size: u64) -> io::Result<()> {
        let Some(stack) = self.profile.rows.get(row as usize).map(|row| row.stack.0) else { return Ok(()) };
        let trace = self.stack(stack)?;
        let next = self.infos.len() as u64;
        let info = *self.infos.entry((size, trace)).or_insert(next);
        if info == next {
            writeln!(self.out, "a {size:x} {trace:x}")?;
        }
        writeln!(self.out, "{sign} {info:x}")
    }

    fn stack(&mut self, stack: u32) -> io::Result<u64> {
        let known = self.stacks.get(stack as usize).copied().unwrap_or(0);
        if known != 0 {
            return Ok(known);
        }
        let frames = self.profile.stacks.get(stack as usize).map_or(&[][..], |stack| &stack.frames);
        let mut trace = 0;
        for frame in frames.iter().rev() {
            trace = self.trace(Some(*frame), trace)?;
        }
        if trace == 0 {
            trace = self.trace(None, 0)?;
        }
        if let Some(known) = self.stacks.get_mut(stack as usize) {
            *known = trace;
        }
        Ok(trace)
    }

    fn trace(&mut self, frame: Option<FrameId>, caller: u64) -> io::Result<u64> {
        let place = self.place(frame)?;
        let next = self.traces.len() as u64 + 1;
        let trace = *self.traces.entry((place, caller)).or_insert(next);
        if trace == next {
            writeln!(self.out, "t {place:x} {caller:x}")?;
        }
        Ok(trace)
    }

    fn place(&mut self, id: Option<FrameId>) -> io::Result<u64> {
        if let Some(&known) = self.places.get(&id) {
            return Ok(known);
        }
        let profile = self.profile;
        let nothing = Frame { function: Some(UNKNOWN.to_owned()), ..Frame::default() };
        let frame = id.and_then(|id| profile.frame(id)).unwrap_or(&nothing);
        let module = self.text(profile.module_path(frame).unwrap_or_default())?;
        let function = self.text(&profile.frame_name(frame))?;
        let file = self.text(frame.file.as_deref().unwrap_or_default())?;
        let (address, line) = (frame.address, frame.line.unwrap_or(0));
        writeln!(self.out, "i {address:x} {module:x} {function:x} {file:x} {line:x}")?;
        let next = self.places.len() as u64 + 1;
        self.places.insert(id, next);
        Ok(next)
    }

    /// 0 for none.
    fn text(&mut self, text: &str) -> io::Result<u64> {
        if text.is_empty() {
            return Ok(0);
        }
        // A line of the format is one line, and heaptrack prints what is in it.
        let text = escaped(text);
        if let Some(&known) = self.texts.get(&*text) {
            return Ok(known);
        }
        writeln!(self.out, "s {text}")?;
        let next = self.texts.len() as u64 + 1;
        self.texts.insert(text.into_owned(), next);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::filter::Selection;
    use crate::report::metric::Metric;
    use crate::report::sketch::{Numbers, Sketch};

    #[test]
    fn a_trace() {
        let profile = Sketch::new("./a").row("malloc: f@x.c:7 main", Numbers::default()).with(|profile| {
            profile.frames[0].function = Some("f\na 1 1".to_owned());
        });
        let profile = profile.row("malloc:", Numbers::default()).build();
        let (address, size, realloc) = (0x1000, 32, false);
        let mut events = vec![
            Happening::Allocated { time: 0, row: 0, address, size, realloc },
            Happening::Allocated { time: 1, row: 1, address: 0x2000, size, realloc },
            Happening::Ended { time: 5_000_000, row: 0, address, size, ending: Ending::Freed },
            Happening::Unknown { time: 5_000_000, process: None, address, inherited: false },
            Happening::Allocated { time: 17_000_000, row: 0, address, size, realloc },
            Happening::Ended { time: 17_000_000, row: 0, address, size, ending: Ending::Leaked },
        ];
        let mut out = Vec::new();
        let selection = Selection::whole(&profile);
        let request = Request { selection: &selection, metric: Metric::Peak, events: &mut events };
        Heaptrack.export(request, &mut out).unwrap();
        let expected = "v 10400 2\nX ./a\nI 1000 0\ns ./a\ns main\ni 1000 1 2 0 0\nt 1 0\ns f\\na 1 1\ns x.c\ni 1000 1 3 4 7\n\
                        t 2 1\na 20 2\n+ 0\ns [unknown]\ni 0 0 5 0 0\nt 3 0\na 20 3\n+ 1\nc 5\n- 0\nc 11\n+ 0\nc 3e8\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
