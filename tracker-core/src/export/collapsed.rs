//! Collapsed stacks: one line per stack, `root;…;leaf VALUE`, as flame graph tools read them.

use std::io;

use rustc_hash::FxHashMap;

use super::Exporter;
use crate::report::filter::Selection;
use crate::report::metric::Metric;
use crate::report::name::UNKNOWN;
use crate::report::profile::FrameId;

/// Frames only, inlined ones included; a stack without frames is `[unknown]`. Values are exact and nothing is pruned,
/// so that the lines sum to the summary's number. In names `\` is written `\\`, `;` is `\x3b` and a newline `\x0a`.
#[derive(Debug)]
pub(super) struct Collapsed;

impl Exporter for Collapsed {
    fn name(&self) -> &'static str {
        "collapsed"
    }

    fn export(&self, selection: &Selection<'_>, metric: Metric, out: &mut dyn io::Write) -> io::Result<()> {
        let profile = selection.profile();
        let mut values: FxHashMap<&[FrameId], u64> = FxHashMap::default();
        for row in selection.rows() {
            let stack = profile.stacks.get(row.stack.0 as usize);
            let frames = stack.map_or(&[][..], |stack| &stack.frames);
            let value = values.entry(frames).or_default();
            *value = value.saturating_add(selection.value(metric, row));
        }
        values.retain(|_, value| *value > 0);
        // Largest first, then by frames, so that the same capture always gives the same file.
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));

        let names: Vec<String> = profile.frames.iter().map(|frame| escape(&profile.frame_name(frame))).collect();
        for (frames, value) in values {
            let names = frames.iter().rev().filter_map(|id| names.get(id.0 as usize));
            let mut separator = "";
            for name in names {
                write!(out, "{separator}{name}")?;
                separator = ";";
            }
            if separator.is_empty() {
                out.write_all(UNKNOWN.as_bytes())?;
            }
            writeln!(out, " {value}")?;
        }
        Ok(())
    }
}

fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            ';' => escaped.push_str("\\x3b"),
            '\n' => escaped.push_str("\\x0a"),
            other => escaped.push(other),
        }
    }
    escaped
}
