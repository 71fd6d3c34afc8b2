//! Comma-separated values (RFC 4180), one line per stack in each thread: for spreadsheets and data frames.

use std::io;

use super::collapsed::{escape, write_names};
use super::{Exporter, Limits, Request};
use crate::report::metric::Metric;

const HEAD: &str = "process,pid,exe,thread,tid,thread_name,allocator,allocations,allocated_bytes,leaked_blocks,leaked_bytes,\
                    peak_blocks,peak_bytes,temporary_allocations,first_ns,last_ns,stack\r\n";

/// Numbers in the order of [`HEAD`].
const METRICS: [Metric; 7] = [
    Metric::Allocations,
    Metric::Allocated,
    Metric::LeakedBlocks,
    Metric::Leaked,
    Metric::PeakBlocks,
    Metric::Peak,
    Metric::Temporary,
];

/// The stack is written as in collapsed stacks, and the other texts are escaped like its names.
#[derive(Debug)]
pub(super) struct Csv;

impl Exporter for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn about(&self) -> &'static str {
        "a table of stacks with all their numbers"
    }

    fn limits(&self) -> Limits {
        Limits { all_metrics: true, ..Limits::default() }
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let profile = request.selection.profile();
        let names: Vec<String> = profile.frames.iter().map(|frame| escape(&profile.frame_name(frame))).collect();
        out.write_all(HEAD.as_bytes())?;
        let mut stack_text = Vec::new();
        for row in request.selection.rows() {
            let values = METRICS.map(|metric| request.selection.value(metric, row));
            if values == [0; 7] {
                continue;
            }
            let process = profile.processes.get(row.process as usize);
            let thread = profile.threads.get(row.thread as usize);
            let stack = profile.stacks.get(row.stack.0 as usize);
            number(out, process.map(|process| process.index))?;
            number(out, process.map(|process| process.pid))?;
            text(out, process.map_or("", |process| &process.exe))?;
            out.write_all(b",")?;
            number(out, thread.map(|thread| thread.index))?;
            number(out, thread.map(|thread| thread.tid))?;
            text(out, thread.map_or("", |thread| &thread.name))?;
            out.write_all(b",")?;
            let allocator = stack.and_then(|stack| stack.function);
            write!(out, "{},", allocator.map_or("", |function| function.name()))?;
            for value in values.into_iter().chain([row.first_ns, row.last_ns]) {
                write!(out, "{value},")?;
            }
            let frames = stack.map_or(&[][..], |stack| &stack.frames);
            stack_text.clear();
            write_names(frames.iter().rev().filter_map(|id| names.get(id.0 as usize)), &mut stack_text)?;
            field(out, &String::from_utf8_lossy(&stack_text))?;
            out.write_all(b"\r\n")?;
        }
        Ok(())
    }
}

fn number(out: &mut dyn io::Write, number: Option<u32>) -> io::Result<()> {
    match number {
        Some(number) => write!(out, "{number},"),
        None => out.write_all(b","),
    }
}

/// A text, escaped as frames are, in quotes where it would be read as something else, and behind an apostrophe where a spreadsheet
/// would calculate it.
fn text(out: &mut dyn io::Write, text: &str) -> io::Result<()> {
    field(out, &escape(text))
}

/// The same of what was escaped already.
fn field(out: &mut dyn io::Write, text: &str) -> io::Result<()> {
    let apostrophe = if text.trim_start().starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if text.contains(['"', ',']) {
        return write!(out, "\"{apostrophe}{}\"", text.replace('"', "\"\""));
    }
    write!(out, "{apostrophe}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::filter::Selection;
    use crate::report::sketch::{Numbers, Sketch};

    #[test]
    fn nothing_is_calculated() {
        let check = |name: &str, expected: &str| {
            let mut out = Vec::new();
            text(&mut out, name).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("=1+cmd|x", "'=1+cmd|x");
        check("-1", "'-1");
        check("a-b", "a-b");
        check("@x,y", "\"'@x,y\"");
        check("\u{3000} =1", "'\u{3000} =1");
        // What is no longer first is no formula.
        check("\t=1", "\\x09=1");
        check("\r=1", "\\x0d=1");
        check("\u{1b}[31m", "\\x1b[31m");
    }

    #[test]
    fn texts_stay_in_their_fields() {
        let numbers = Numbers { allocated: (1, 8), seen: (3, 4), ..Numbers::default() };
        let profile = Sketch::new("./app").thread("a \"b\",\nc").row("malloc: f(a,b) main", numbers).build();
        let mut out = Vec::new();
        let selection = Selection::whole(&profile);
        Csv.export(Request { selection: &selection, metric: Metric::Peak, events: &mut Vec::new() }, &mut out).unwrap();
        let line = "1,4711,./app,2,4712,\"a \"\"b\"\",\\x0ac\",malloc,1,8,0,0,0,0,0,3,4,\"main;f(a,b)\"\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), format!("{HEAD}{line}"));
    }
}
