//! Collapsed stacks: one line per stack, `root;…;leaf VALUE`, as flame graph tools read them.

use std::fmt::Write as _;
use std::io;

use super::stacks::by_stack;
use super::{Exporter, Request};
use crate::report::harmful::is_harmful;
use crate::report::name::UNKNOWN;

/// Frames only, inlined ones included; a stack without frames is `[unknown]`. Values are exact and nothing is pruned,
/// so that the lines sum to the summary's number. In names `\` is written `\\`, `;` is `\x3b`, a newline `\x0a`, and so on
/// for all control characters; those that turn or hide text are written like `\u202e`.
#[derive(Debug)]
pub(super) struct Collapsed;

impl Exporter for Collapsed {
    fn name(&self) -> &'static str {
        "collapsed"
    }

    fn about(&self) -> &'static str {
        "one line per stack, `root;…;leaf VALUE`"
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let profile = request.selection.profile();
        let names: Vec<String> = profile.frames.iter().map(|frame| escape(&profile.frame_name(frame))).collect();
        for (frames, value) in by_stack(request.selection, request.metric, |_| true) {
            let names = frames.iter().rev().filter_map(|id| names.get(id.0 as usize));
            write_names(names, out)?;
            writeln!(out, " {value}")?;
        }
        Ok(())
    }
}

/// Escaped names from the root to the leaf.
pub(super) fn write_names<'n>(names: impl Iterator<Item = &'n String>, out: &mut dyn io::Write) -> io::Result<()> {
    let mut separator = "";
    for name in names {
        write!(out, "{separator}{name}")?;
        separator = ";";
    }
    if separator.is_empty() {
        out.write_all(UNKNOWN.as_bytes())?;
    }
    Ok(())
}

pub(super) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            ';' => escaped.push_str("\\x3b"),
            // Whoever looks at the lines in a terminal is not to be repainted by a name.
            harmful if is_harmful(harmful) => {
                let code = u32::from(harmful);
                let _ = if code < 0x100 { write!(escaped, "\\x{code:02x}") } else { write!(escaped, "\\u{code:04x}") };
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::filter::Filter;
    use crate::report::metric::Metric;
    use crate::report::profile::Profile;
    use crate::report::sketch::{Numbers, Sketch};

    #[track_caller]
    fn check(profile: &Profile, metric: Metric, process: Option<u32>, expected: &str) {
        let filter = Filter { process, ..Filter::default() };
        let selection = filter.select(profile).unwrap();
        let mut out = Vec::new();
        let request = Request { selection: &selection, metric, events: &mut Vec::new() };
        Collapsed.export(request, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, expected);
        let sum: u64 = text.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum();
        assert_eq!(sum, selection.total(metric), "the lines sum to the total");
    }

    #[test]
    fn one_line_per_stack() {
        let n =
            |n| Numbers { allocated: (n, n * 8), peak: (n, n), process_peak: Some((n, n + 1)), ..Numbers::default() };
        let profile = Sketch::new("./app")
            .row("malloc: ~get read main", n(3))
            .row("calloc: ~get read main", n(4))
            .row("malloc: ?!/opt/libx.so main", n(1))
            .thread("other")
            .row("malloc: ~get read main", n(5))
            .row("malloc:", n(2))
            .process("/bin/cat", Vec::new())
            .row("malloc: read main", n(9))
            .row("malloc: idle main", n(0))
            .build();
        let all = "main;read;get 12\nmain;read 9\n[unknown] 2\nmain;[libx.so+0x1000] 1\n";
        check(&profile, Metric::Allocations, None, all);
        check(&profile, Metric::Peak, Some(2), "main;read 10\nmain;idle 1\n");
        check(&profile, Metric::Leaked, None, "");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("a;b\\c\nd e(<script>, \"q\")"), "a\\x3bb\\\\c\\x0ad e(<script>, \"q\")");
        assert_eq!(escape("\u{1b}[2Jä\u{9b}\u{202e}"), "\\x1b[2Jä\\x9b\\u202e");
    }
}
