//! A flamegraph as a picture that stands for itself: roots on top, dark or light as the viewer is, exact numbers as
//! tooltips.

use std::io;

use super::{Exporter, Request};
use crate::report::harmful::is_harmful;
use crate::report::metric::Unit;
use crate::report::name::UNKNOWN;
use crate::report::profile::{FrameKind, Profile};
use crate::report::quantity::count;
use crate::report::runtime::{Role, role};
use crate::report::tree::{Node, Tree};

/// Pixels.
const WIDTH: f64 = 1200.0;
const ROW: u32 = 18;
const HEAD: u32 = 28;
/// Narrower boxes cannot be seen and are left out.
const LEAST: f64 = 0.5;
/// Mean width of a character; narrower boxes than `LEAST_LABEL` have no label.
const CHARACTER: f64 = 6.1;
const LEAST_LABEL: f64 = 26.0;

/// Colours of native, inlined, Python, system, allocator and unknown frames, as the page has them.
const STYLE: &str = "text{font:11px Inter,system-ui,sans-serif;fill:#1a1b1e}.h{font-weight:600}\
    .bg{fill:#fff}.n{fill:#a7cdfe}.i{fill:#dbebff}.p{fill:#fbd78b}.s{fill:#90a8da}.a{fill:#bbbbb8}.u{fill:#f0f0ee}\
    @media(prefers-color-scheme:dark){text{fill:#eceded}.bg{fill:#131417}.n{fill:#355b8b}.i{fill:#1e334d}.p{fill:#7b580f}\
    .s{fill:#3f4859}.a{fill:#646568}.u{fill:#2a2b2e}}";

/// Frames of a function that differ only in their line are one box; boxes below half a pixel are left out and counted.
#[derive(Debug)]
pub(super) struct Svg;

impl Exporter for Svg {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn about(&self) -> &'static str {
        "a flamegraph as a picture"
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let Request { selection, metric, .. } = request;
        let profile = selection.profile();
        let tree = Tree::new(selection, metric, false);
        let mut boxes = Vec::new();
        let mut hidden = 0;
        place(&tree, None, 0.0, &mut boxes, &mut hidden);
        let rows = boxes.iter().map(|(node, _)| node.depth + 1).max().unwrap_or(0);
        let height = HEAD + rows * ROW + 24;
        let unit = match metric.unit() {
            Unit::Bytes => " bytes",
            Unit::Count => "",
        };
        write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\
             <style>{STYLE}</style><rect class=\"bg\" width=\"100%\" height=\"100%\"/>"
        )?;
        let command = profile.session.words();
        let title = format!("{} · {}: {}{unit}", command.join(" "), metric.name(), count(tree.total));
        writeln!(out, "<text class=\"h\" x=\"5\" y=\"18\">{}</text>", escape(&cut(&title, WIDTH)))?;
        for (node, x) in &boxes {
            draw(out, profile, node, *x, tree.total, unit)?;
        }
        let foot = if hidden == 0 { String::new() } else { format!("{} frames too narrow to draw", count(hidden)) };
        writeln!(out, "<text x=\"5\" y=\"{}\">{foot}</text>", height - 8)?;
        out.write_all(b"</svg>\n")
    }
}

/// Places what `parent` calls from `x` on.
fn place(tree: &Tree, parent: Option<u32>, x: f64, boxes: &mut Vec<(Node, f64)>, hidden: &mut u64) {
    // A stack of its own: trees can be deeper than the thread's.
    let mut todo = vec![(parent, x)];
    while let Some((parent, mut x)) = todo.pop() {
        for child in tree.children(parent) {
            let Some(node) = tree.node(child) else { continue };
            let width = width(node, tree.total);
            if width < LEAST {
                *hidden += u64::from(node.end - child);
            } else {
                boxes.push((*node, x));
                todo.push((Some(child), x));
            }
            x += width;
        }
    }
}

fn width(node: &Node, total: u64) -> f64 {
    WIDTH * node.total as f64 / total.max(1) as f64
}

fn draw(out: &mut dyn io::Write, profile: &Profile, node: &Node, x: f64, total: u64, unit: &str) -> io::Result<()> {
    let frame = node.frame.and_then(|id| profile.frame(id));
    let name = frame.map_or(UNKNOWN.into(), |frame| profile.frame_name(frame));
    let class = frame.map_or("u", |frame| {
        let role = role(frame.function.as_deref(), profile.module_path(frame), frame.file.as_deref());
        match (frame.kind, role) {
            (FrameKind::Python | FrameKind::Task, _) => "p",
            (FrameKind::Marker, _) => "u",
            _ if frame.function.is_none() => "u",
            (_, Some(Role::Allocator)) => "a",
            (_, Some(Role::System)) => "s",
            (FrameKind::Inlined, _) => "i",
            _ => "n",
        }
    });
    let (width, y) = (width(node, total), HEAD + node.depth * ROW);
    let share = 100.0 * node.total as f64 / total.max(1) as f64;
    write!(
        out,
        "<g><title>{}\n{}{unit}, {share:.1} %</title><rect class=\"{class}\" x=\"{x:.2}\" y=\"{y}\" width=\"{:.2}\" \
         height=\"{}\"/>",
        escape(&name),
        count(node.total),
        (width - 1.0).max(LEAST),
        ROW - 1
    )?;
    if width >= LEAST_LABEL {
        let label = cut(&name, width - 10.0);
        write!(out, "<text x=\"{:.2}\" y=\"{}\">{}</text>", x + 5.0, y + 13, escape(&label))?;
    }
    out.write_all(b"</g>\n")
}

/// The beginning of `text` that fits into `width` pixels.
fn cut(text: &str, width: f64) -> String {
    let room = (width / CHARACTER) as usize;
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Text as XML holds it; characters that XML has no way to hold, or that turn the writing, as Rust's escapes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if is_harmful(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.extend(c.escape_default()),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::filter::Selection;
    use crate::report::metric::Metric;
    use crate::report::sketch::{Numbers, Sketch};

    fn svg(rows: &[(&str, u64)]) -> String {
        let peak = |n| Numbers { peak: (1, n), ..Numbers::default() };
        let sketch = rows.iter().fold(Sketch::new("./app"), |sketch, (stack, n)| sketch.row(stack, peak(*n)));
        let mut out = Vec::new();
        let profile = sketch.build();
        let selection = Selection::whole(&profile);
        let request = Request { selection: &selection, metric: Metric::Peak, events: &mut Vec::new() };
        Svg.export(request, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn boxes_are_as_wide_as_their_share() {
        let text = svg(&[("malloc: parse main", 3000), ("malloc: ~get main", 1000)]);
        for part in [
            "<title>main\n4,000 bytes, 100.0 %</title><rect class=\"n\" x=\"0.00\" y=\"28\" width=\"1199.00\" height=\"17\"/>",
            "<title>parse\n3,000 bytes, 75.0 %</title><rect class=\"n\" x=\"0.00\" y=\"46\" width=\"899.00\" height=\"17\"/>",
            "<title>get\n1,000 bytes, 25.0 %</title><rect class=\"i\" x=\"900.00\" y=\"46\" width=\"299.00\" height=\"17\"/>",
            ">./app · peak: 4,000 bytes<",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("too narrow"));
    }

    #[test]
    fn what_cannot_be_seen_is_counted() {
        let text = svg(&[("malloc: parse main", 1_000_000), ("malloc: b a main", 10)]);
        assert!(text.contains("2 frames too narrow to draw"), "{text}");
        assert!(svg(&[]).ends_with("</svg>\n"));
    }

    #[test]
    fn names_stay_text() {
        let text = svg(&[("malloc: f<script>&\"\u{1b}]0;\u{202e}</title> main", 9)]);
        assert!(text.contains("<title>f&lt;script&gt;&amp;&quot;\\u{1b}]0;\\u{202e}&lt;/title&gt;\n9 bytes"), "{text}");
    }
}
