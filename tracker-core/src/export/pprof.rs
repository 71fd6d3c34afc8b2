//! `profile.proto`, gzipped: what `go tool pprof`, Pyroscope, Parca and many others read.
//!
//! A sample is a row. Values are, in the order that heap profiles have them, allocations and their bytes and what is *in
//! use*: live at the peak or, when a leak metric is chosen, leaked.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use rustc_hash::FxHashMap;

use super::wire::Message;
use super::{Exporter, Limits, Request};
use crate::report::filter::Selection;
use crate::report::harmful::escaped;
use crate::report::metric::Metric;
use crate::report::name::base_name;
use crate::report::profile::{FrameId, FrameKind, Profile, Row};

// Fields of the message Profile.
const SAMPLE_TYPE: u32 = 1;
const SAMPLE: u32 = 2;
const MAPPING: u32 = 3;
const LOCATION: u32 = 4;
const FUNCTION: u32 = 5;
const STRING: u32 = 6;
const TIME: u32 = 9;
const DURATION: u32 = 10;
const PERIOD_TYPE: u32 = 11;
const PERIOD: u32 = 12;
const COMMENT: u32 = 13;
const DEFAULT_SAMPLE_TYPE: u32 = 14;

const SAMPLE_TYPES: [(&str, &str); 4] =
    [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")];

#[derive(Debug)]
pub(super) struct Pprof;

impl Exporter for Pprof {
    fn name(&self) -> &'static str {
        "pprof"
    }

    fn about(&self) -> &'static str {
        "profile.proto for `go tool pprof`, Pyroscope and others: allocated, and in use at the peak or leaked"
    }

    fn limits(&self) -> Limits {
        Limits { not: &[Metric::Temporary], ..Limits::default() }
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let mut out = GzEncoder::new(out, Compression::default());
        let mut tables = Tables::new(request.selection.profile());
        for row in request.selection.rows() {
            if let Some(sample) = tables.sample(request.selection, request.metric, row) {
                put(&mut out, SAMPLE, &sample)?;
            }
        }
        tables.finish(request.metric, &mut out)?;
        out.finish()?.flush()
    }
}

fn put(out: &mut dyn Write, field: u32, message: &Message) -> io::Result<()> {
    let mut head = Message::default();
    head.message(field, message);
    out.write_all(&head.0)
}

/// The tables that samples refer to, as far as they are needed.
struct Tables<'p> {
    profile: &'p Profile,
    /// Frames of one place, innermost first, by which locations are numbered from 1.
    locations: FxHashMap<&'p [FrameId], u64>,
    order: Vec<&'p [FrameId]>,
    /// Name and file, by which functions are numbered from 1.
    functions: FxHashMap<(u64, u64), u64>,
    strings: FxHashMap<String, u64>,
    texts: Vec<String>,
}

impl<'p> Tables<'p> {
    fn new(profile: &'p Profile) -> Self {
        let mut tables = Self {
            profile,
            locations: FxHashMap::default(),
            order: Vec::new(),
            functions: FxHashMap::default(),
            strings: FxHashMap::default(),
            texts: Vec::new(),
        };
        // The first is empty: it stands for none.
        tables.string("");
        tables
    }

    fn string(&mut self, text: &str) -> u64 {
        // `pprof -top` prints what is in it.
        let text = &*escaped(text);
        if let Some(&known) = self.strings.get(text) {
            return known;
        }
        let number = self.texts.len() as u64;
        self.strings.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }

    /// `None` when the row has no value.
    fn sample(&mut self, selection: &Selection<'p>, metric: Metric, row: &Row) -> Option<Message> {
        let in_use = match metric {
            Metric::Leaked | Metric::LeakedBlocks => [Metric::LeakedBlocks, Metric::Leaked],
            _ => [Metric::PeakBlocks, Metric::Peak],
        };
        let values = [Metric::Allocations, Metric::Allocated, in_use[0], in_use[1]];
        // They are signed.
        let values = values.map(|metric| selection.value(metric, row).min(i64::MAX as u64));
        if values == [0; 4] {
            return None;
        }
        let profile = self.profile;
        let stack = profile.stacks.get(row.stack.0 as usize);
        let frames = stack.map_or(&[][..], |stack| &stack.frames);
        let mut sample = Message::default();
        sample.packed(1, places(profile, frames).map(|place| self.location(place)));
        sample.packed(2, values);
        let thread = profile.threads.get(row.thread as usize);
        let process = profile.processes.get(row.process as usize);
        let texts = [
            ("thread", thread.map(|thread| thread.name.as_str())),
            ("process", process.map(|process| base_name(&process.exe))),
            ("allocator", stack.and_then(|stack| stack.function).map(|function| function.name())),
        ];
        for (key, text) in texts {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                let mut label = Message::default();
                label.number(1, self.string(key));
                label.number(2, self.string(text));
                sample.message(3, &label);
            }
        }
        for (key, number) in [("tid", thread.map(|thread| thread.tid)), ("pid", process.map(|process| process.pid))] {
            if let Some(number) = number {
                let mut label = Message::default();
                label.number(1, self.string(key));
                label.number(3, u64::from(number));
                sample.message(3, &label);
            }
        }
        Some(sample)
    }

    fn location(&mut self, place: &'p [FrameId]) -> u64 {
        let next = self.order.len() as u64 + 1;
        let number = *self.locations.entry(place).or_insert(next);
        if number == next {
            self.order.push(place);
        }
        number
    }

    /// Writes what the samples refer to.
    fn finish(mut self, metric: Metric, out: &mut dyn Write) -> io::Result<()> {
        let profile = self.profile;
        let order = std::mem::take(&mut self.order);
        for (place, number) in order.iter().zip(1..) {
            let mut location = Message::default();
            location.number(1, number);
            let frames = || place.iter().filter_map(|id| profile.frame(*id));
            if let Some(frame) = frames().next() {
                location.number(2, frame.module.map_or(0, |module| u64::from(module) + 1));
                location.number(3, frame.address);
            }
            for frame in frames() {
                let names = (self.string(&profile.frame_name(frame)), self.string(frame.file.as_deref().unwrap_or("")));
                let next = self.functions.len() as u64 + 1;
                let mut line = Message::default();
                line.number(1, *self.functions.entry(names).or_insert(next));
                line.number(2, u64::from(frame.line.unwrap_or(0)));
                location.message(4, &line);
            }
            put(out, LOCATION, &location)?;
        }
        let mut functions: Vec<_> = self.functions.drain().collect();
        functions.sort_unstable_by_key(|(_, number)| *number);
        for ((name, file), number) in functions {
            let mut function = Message::default();
            function.number(1, number);
            function.number(2, name);
            function.number(3, name);
            function.number(4, file);
            put(out, FUNCTION, &function)?;
        }
        // The first one is taken for the program.
        let exe = profile.processes.first().map_or("", |process| process.exe.as_str());
        let mut modules: Vec<_> = profile.modules.iter().zip(1..).collect();
        modules.sort_by_key(|(module, _)| module.path != exe);
        for (module, number) in modules {
            let build_id: String = module.build_id.iter().map(|byte| format!("{byte:02x}")).collect();
            let mut mapping = Message::default();
            mapping.number(1, number);
            mapping.number(5, self.string(&module.path));
            mapping.number(6, self.string(&build_id));
            // All names there are have been found: nobody needs to look for more.
            (7..=10).for_each(|has| mapping.number(has, 1));
            put(out, MAPPING, &mapping)?;
        }
        let mut rest = Message::default();
        for (name, unit) in SAMPLE_TYPES {
            let value_type = self.value_type(name, unit);
            rest.message(SAMPLE_TYPE, &value_type);
        }
        rest.number(TIME, profile.session.start_unix_ns);
        rest.number(DURATION, profile.duration_ns);
        let period_type = self.value_type("space", "bytes");
        rest.message(PERIOD_TYPE, &period_type);
        rest.number(PERIOD, 1);
        rest.number(COMMENT, self.string(&format!("memtrack: {}", profile.session.words().join(" "))));
        let default = match metric {
            Metric::Allocations => "alloc_objects",
            Metric::Allocated => "alloc_space",
            Metric::LeakedBlocks | Metric::PeakBlocks => "inuse_objects",
            Metric::Leaked | Metric::Peak | Metric::Temporary => "inuse_space",
        };
        rest.number(DEFAULT_SAMPLE_TYPE, self.string(default));
        out.write_all(&rest.0)?;
        for text in &self.texts {
            let mut string = Message::default();
            string.bytes(STRING, text.as_bytes());
            out.write_all(&string.0)?;
        }
        Ok(())
    }

    fn value_type(&mut self, name: &str, unit: &str) -> Message {
        let mut value_type = Message::default();
        value_type.number(1, self.string(name));
        value_type.number(2, self.string(unit));
        value_type
    }
}

/// The frames of a stack by places in the code: what is inlined belongs to the place of what it is inlined into.
fn places<'p>(profile: &'p Profile, frames: &'p [FrameId]) -> impl Iterator<Item = &'p [FrameId]> {
    frames.chunk_by(|inner, outer| match (profile.frame(*inner), profile.frame(*outer)) {
        (Some(inner), Some(outer)) => {
            inner.kind == FrameKind::Inlined && (inner.module, inner.address) == (outer.module, outer.address)
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    #[test]
    fn what_is_inlined_is_no_place_of_its_own() {
        let stack = "malloc: ~small ~large whole ~get!/lib/x.so read!/lib/x.so py:run@a.py:1";
        let profile = Sketch::new("./app").row(stack, Numbers::default()).build();
        let places = places(&profile, &profile.stacks[0].frames).map(<[_]>::len);
        assert_eq!(places.collect::<Vec<_>>(), [3, 2, 1]);
    }
}
