//! A little language for captures. One line is one thing that happened, in the order in which it did.
//!
//! ```text
//! t1 alloc a 64 main>parse      thread 1 of process image 1 gets 64 bytes at address `a`; the stack, outermost first
//! p2.t1 free a                  thread 1 of image 2 frees them
//! t1 realloc a b 80 main        intent and result; `intent a`, `result b 80 main`, `failed`, `freed` are its parts
//! t1 raw 7 a 64                 an allocation with stack id 7, defined or not
//! t1 gap 3 | forget | chunk | part | lose | generation 1
//! t1 module 1 c000-d000 /lib/x  generation, linked range, path
//! t1 code d 8 prog:c010         an allocation whose only frame is this address
//! t1 map 0-9 main               pages; also file, reserve, unmap, move (the intent of an mremap), moved (its result)
//! t1 arena 0-63 main            pages for Python's small objects, which are recorded, too
//! t1 object a 64 main           such an object; `outside a 600 main`: one that is a block of its own; `grown` as result
//! p2 fork p1 | p2 exec p1 | p2 spawn p1     a new image; spawn: by exec in another process
//! p1 ends | epoch | time 5000
//! ```
//!
//! Names of functions and blocks stand for addresses of their own.

use std::collections::HashMap;

use tracker_core::capture::block::Codec;
use tracker_core::capture::meta::Meta;
use tracker_core::format::record::{MapKind, tag};
use tracker_core::format::{Called, Function, ImageKind};
use tracker_core::report::names::{Named, Symbols};

use crate::recording::Recording;

/// Where the code of all functions is.
const CODE: (u64, u64) = (0x1000_0000, 0x2000_0000);
/// Bytes per function.
const FUNCTION: u64 = 0x100;

/// How a trace is laid out in the file. The report must not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) codec: Codec,
    /// Largest chunk in bytes.
    pub(crate) chunk_len: usize,
    /// Write a part after each line.
    pub(crate) parts: bool,
}

impl Layout {
    pub(crate) const PLAIN: Self = Self { codec: Codec::Raw, chunk_len: 64 << 10, parts: false };
    pub(crate) const ALL: [Self; 5] = [
        Self::PLAIN,
        Self { codec: Codec::Zstd, ..Self::PLAIN },
        Self { parts: true, ..Self::PLAIN },
        Self { chunk_len: 256, ..Self::PLAIN },
        Self { codec: Codec::Columns, ..Self::PLAIN },
    ];
}

/// The functions of a trace, in order of appearance.
#[derive(Debug, Default, Clone)]
pub(crate) struct Functions(Vec<String>);

impl Symbols for Functions {
    fn frames(&mut self, module: u32, address: u64) -> Vec<Named> {
        let known = self.0.get((address / FUNCTION) as usize).filter(|_| module == 0);
        // `outer/inner` is a function with another one inlined into it.
        let parts = known.map(|name| name.split('/').rev().collect::<Vec<_>>()).unwrap_or_default();
        let frame = |(at, name): (usize, &&str)| Named {
            function: Some((*name).to_owned()),
            inlined: at + 1 < parts.len(),
            ..Named::default()
        };
        parts.iter().enumerate().map(frame).collect()
    }

    fn made_at_run_time(&mut self, pid: u32, address: u64) -> Option<String> {
        (address >> 32 == 0xe).then(|| format!("jit of {pid}"))
    }

    fn notes(&self) -> Vec<(u32, String)> {
        Vec::new()
    }
}

/// Writes the capture that `text` describes.
pub(crate) fn write(text: &str, layout: Layout) -> (Recording, Functions) {
    let mut writer = Writer {
        recording: Recording::new(),
        functions: Functions::default(),
        streams: HashMap::new(),
        pids: HashMap::new(),
        layout,
    };
    writer.recording.codec = layout.codec;
    writer.recording.chunk_len = layout.chunk_len;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        writer.line(&words).unwrap_or_else(|| panic!("no such line: {line}"));
    }
    (writer.recording, writer.functions)
}

struct Writer {
    recording: Recording,
    functions: Functions,
    streams: HashMap<(u32, u32), usize>,
    pids: HashMap<u32, u32>,
    layout: Layout,
}

impl Writer {
    fn line(&mut self, words: &[&str]) -> Option<()> {
        match *words {
            ["epoch"] => self.recording.epoch += 1,
            ["time", time] => self.recording.time = time.parse().ok()?,
            [image, "ends"] => {
                let (time, image) = (self.recording.time, number(image, 'p')?);
                self.recording.meta(&Meta::ImageEnd { time, image });
            }
            [image, how @ ("fork" | "exec" | "spawn"), parent] => {
                self.image(number(image, 'p')?, how, number(parent, 'p')?);
            }
            [actor, ref what @ ..] => {
                let stream = self.stream(actor)?;
                self.event(stream, what)?;
                if self.layout.parts {
                    self.recording.end_part(stream);
                }
            }
            [] => return None,
        }
        Some(())
    }

    fn event(&mut self, stream: usize, words: &[&str]) -> Option<()> {
        let r = &mut self.recording;
        match *words {
            ["alloc", block, size, stack] => {
                let pcs = self.functions.stack(stack, Function::Malloc);
                r.alloc(stream, (address(block), size.parse().ok()?), &pcs, false);
            }
            [how @ ("object" | "outside" | "grown"), block, size, stack] => {
                let called = Called { function: Function::PyObjectMalloc, twice: how == "object" };
                let pcs = self.functions.stack(stack, called);
                r.alloc(stream, (address(block), size.parse().ok()?), &pcs, how == "grown");
            }
            ["arena", range, stack] => {
                let pcs = self.functions.stack(stack, Called { function: Function::PythonArena, twice: true });
                r.map(stream, pages(range)?, &pcs, MapKind::Memory);
            }
            ["free", block] => r.free(stream, address(block), false),
            ["realloc", old, new, size, stack] => {
                r.free(stream, address(old), true);
                self.event(stream, &["result", new, size, stack])?;
            }
            ["intent", block] => r.free(stream, address(block), true),
            ["result", block, size, stack] => {
                let pcs = self.functions.stack(stack, Function::Realloc);
                r.alloc(stream, (address(block), size.parse().ok()?), &pcs, true);
            }
            ["failed"] => r.tag(stream, tag::REALLOC_FAILED),
            ["freed"] => r.tag(stream, tag::REALLOC_FREED),
            ["raw", id, block, size] => {
                let at = (address(block), size.parse().ok()?);
                r.alloc_with_id(stream, at, id.parse().ok()?, false);
            }
            ["code", block, size, pc] => {
                let pc = u64::from_str_radix(pc, 16).ok()?;
                r.alloc(stream, (address(block), size.parse().ok()?), &[pc], false);
            }
            [how @ ("map" | "file" | "reserve" | "moved"), range, stack] => {
                let (kind, function) = match how {
                    "map" => (MapKind::Memory, Function::Mmap),
                    "file" => (MapKind::File, Function::Mmap),
                    "reserve" => (MapKind::Reserved, Function::Mmap),
                    _ => (MapKind::Moved, Function::Mremap),
                };
                let pcs = self.functions.stack(stack, function);
                r.map(stream, pages(range)?, &pcs, kind);
            }
            ["unmap", range] => r.unmap(stream, pages(range)?, false),
            ["move", range] => r.unmap(stream, pages(range)?, true),
            ["gap", lost] => r.gap(stream, lost.parse().ok()?),
            ["forget"] => r.forget_stacks(stream),
            ["chunk"] => r.end_chunk(stream),
            ["part"] => r.end_part(stream),
            ["lose"] => r.lose_chunk(stream),
            ["generation", generation] => r.generation(stream, generation.parse().ok()?),
            ["module", generation, range, path] => {
                let (start, end) = range.split_once('-')?;
                let hex = |text| u64::from_str_radix(text, 16).ok();
                r.module(stream, generation.parse().ok()?, (hex(start)?, hex(end)?), path);
            }
            _ => return None,
        }
        Some(())
    }

    /// The stream of `t1` or `p2.t1`; a second recorder of the same thread is `t1+`.
    fn stream(&mut self, actor: &str) -> Option<usize> {
        let (image, thread) = actor.split_once('.').unwrap_or(("p1", actor));
        let (image, second) = (number(image, 'p')?, thread.ends_with('+'));
        let tid = number(thread.trim_end_matches('+'), 't')?;
        let key = (image, tid + if second { 1000 } else { 0 });
        if let Some(stream) = self.streams.get(&key) {
            return Some(*stream);
        }
        let new = self.streams.keys().all(|(known, _)| *known != image);
        let stream = self.recording.stream(image, tid);
        self.streams.insert(key, stream);
        if new && image == 1 {
            self.pids.insert(1, 100);
            self.recording.image(stream, ImageKind::First, (100, u32::MAX, 0), "/bin/p1");
            self.recording.module(stream, 0, CODE, "/bin/prog");
        }
        Some(stream)
    }

    fn image(&mut self, image: u32, how: &str, parent: u32) {
        let parent_pid = self.pids.get(&parent).copied().unwrap_or(0);
        let pid = if how == "exec" { parent_pid } else { 99 + image };
        self.pids.insert(image, pid);
        let stream = self.recording.stream(image, 1);
        self.streams.insert((image, 1), stream);
        let kind = if how == "fork" { ImageKind::Fork } else { ImageKind::Exec };
        self.recording.image(stream, kind, (pid, parent, 0), &format!("/bin/p{image}"));
        if kind == ImageKind::Exec {
            self.recording.module(stream, 0, CODE, "/bin/prog");
        }
    }
}

impl Functions {
    /// Return addresses of `outer>inner`, and the marker of the function that was called.
    fn stack(&mut self, names: &str, called: impl Into<Called>) -> Vec<u64> {
        let mut pcs: Vec<u64> = names.split('>').filter(|name| !name.is_empty()).map(|name| self.pc(name)).collect();
        pcs.push(called.into().marker());
        pcs
    }

    fn pc(&mut self, name: &str) -> u64 {
        match name {
            "[truncated]" => return tracker_core::format::PC_TRUNCATED,
            "[not-walked]" => return tracker_core::format::PC_NOT_WALKED,
            _ => {}
        }
        let at = self.0.iter().position(|known| known == name).unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        // A call that is the last instruction of its function returns to the next one.
        CODE.0 + (at as u64 + 1) * FUNCTION
    }
}

/// Address and length of the pages `first-last`.
fn pages(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((0x7e00_0000_0000 + first * 4096, (last + 1 - first) * 4096))
}

fn number(word: &str, letter: char) -> Option<u32> {
    word.strip_prefix(letter)?.parse().ok()
}

/// The address that a name stands for: `a`, `b`, … or `a1`, `a2`, …
fn address(name: &str) -> u64 {
    let number = name.bytes().fold(0u64, |sum, byte| sum * 64 + u64::from(byte & 63));
    0x7f00_0000_0000 + number * 0x40
}
