//! `memtrack tree` as text. A call with a single caller stays in its caller's column, so that deep programs fit.

use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Metric;
use tracker_core::report::name::UNKNOWN;
use tracker_core::report::sums::Sums;
use tracker_core::report::tree::{Node, Tree};

use super::look::{Look, columns};
use super::stack::{function_place, name, name_and_place};
use super::units::{counted, percent};
use super::{head, places, trust};

/// What of the tree is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    /// Smallest share of the whole, in per cent.
    pub(crate) threshold: f64,
    /// Deepest call.
    pub(crate) depth: u32,
}

/// Columns a name needs at least.
const NAME: usize = 24;

/// The tree of one metric.
pub(crate) fn text(
    look: &Look,
    selection: &Selection<'_>,
    tree: &Tree,
    (metric, inverted): (Metric, bool),
    cut: Cut,
) -> String {
    let mut text = head::text(look, selection);
    let total = places::value(metric.unit(), tree.total);
    let direction = if inverted { "callees to callers" } else { "callers to callees" };
    let title = format!("{} {total}, {direction}", metric.name());
    text += &format!("\n{}\n", look.bold(&title));
    if tree.nodes.is_empty() {
        text += "  nothing to show\n";
    }
    let mut drawing = Drawing { look, selection, tree, metric, cut, small: 0, text: String::new() };
    drawing.draw();
    text += &drawing.text;
    if drawing.small > 0 {
        let small = counted(drawing.small, "call");
        text += &look.dim(&format!("{small} below {}% not shown (--threshold)\n", cut.threshold));
    }
    text.push('\n');
    text + &trust::text(look, selection.profile(), &Sums::of(selection))
}

struct Drawing<'d> {
    look: &'d Look,
    selection: &'d Selection<'d>,
    tree: &'d Tree,
    metric: Metric,
    cut: Cut,
    /// Calls left out below the threshold.
    small: u64,
    text: String,
}

/// A node still to be drawn: `first` in front of its own line, `below` in front of the lines of its callees.
struct Open {
    node: u32,
    first: String,
    below: String,
}

impl Drawing<'_> {
    fn draw(&mut self) {
        let mut open = self.callees(None, "");
        while let Some(next) = open.pop() {
            let Some(node) = self.tree.node(next.node) else { continue };
            self.line(node, &next.first);
            if node.depth >= self.cut.depth && self.tree.children(Some(next.node)).next().is_some() {
                let line = format!("{}{} deeper calls (--depth)", next.below, self.look.ellipsis());
                self.text += &self.look.dim(&format!("{:19}{line}\n", ""));
                continue;
            }
            open.extend(self.callees(Some(next.node), &next.below));
        }
    }

    /// The callees of a node that are large enough, the largest last, because the last is drawn next.
    fn callees(&mut self, node: Option<u32>, below: &str) -> Vec<Open> {
        let all: Vec<u32> = self.tree.children(node).collect();
        let large = |&index: &u32| {
            let node = self.tree.node(index);
            node.is_some_and(|n| n.total as f64 * 100.0 >= self.cut.threshold * self.tree.total as f64)
        };
        let shown: Vec<u32> = all.iter().copied().filter(large).collect();
        self.small += (all.len() - shown.len()) as u64;
        if let ([only], 1) = (shown.as_slice(), all.len()) {
            let same = || below.to_owned();
            return vec![Open { node: *only, first: same(), below: same() }];
        }
        let (middle, last, line) =
            if self.look.unicode { ("├─ ", "└─ ", "│  ") } else { ("|- ", "`- ", "|  ") };
        let mut open: Vec<Open> = shown
            .iter()
            .map(|&node| Open { node, first: format!("{below}{middle}"), below: format!("{below}{line}") })
            .collect();
        if let Some(open) = open.last_mut() {
            open.first = format!("{below}{last}");
            open.below = format!("{below}   ");
        }
        open.reverse();
        open
    }

    fn line(&mut self, node: &Node, prefix: &str) {
        let value = places::value(self.metric.unit(), node.total);
        let share = percent(node.total, self.tree.total);
        let numbers = format!("{share:>6} {value:>11} ");
        let profile = self.selection.profile();
        let room = self.look.width.saturating_sub(columns(&numbers));
        let prefix = self.look.fit_end(prefix, room.saturating_sub(NAME));
        let room = room.saturating_sub(columns(&prefix));
        let what = match node.frame.and_then(|id| profile.frame(id)) {
            Some(frame) => {
                let place = function_place(profile, frame, node.mixed);
                name_and_place(self.look, &name(profile, frame), &place, room)
            }
            None => UNKNOWN.to_owned(),
        };
        self.text += &format!("{numbers}{}{what}\n", self.look.dim(&prefix));
    }
}
