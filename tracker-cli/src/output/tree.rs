//! `memtrack tree` as text, for deep programs on narrow terminals: the only call shown below another stays in its column,
//! and a long chain of calls with the same share loses its middle.

use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Metric;
use tracker_core::report::name::UNKNOWN;
use tracker_core::report::sums::Sums;
use tracker_core::report::tree::Tree;

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
    /// Chains keep their middle.
    pub(crate) full: bool,
}

/// Longest chain that keeps its middle.
const CHAIN: usize = 7;
/// Calls of a longer one that are left, before and behind its middle.
const CHAIN_HEAD: usize = 2;
const CHAIN_TAIL: usize = 3;

/// Columns of share and value.
const NUMBERS: usize = 19;
/// Columns a name needs at least.
const NAME: usize = 32;

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
    let mut drawing = Drawing { look, selection, tree, metric, cut, small: 0, deep: false, text: String::new() };
    drawing.draw();
    text += &drawing.text;
    if drawing.small > 0 {
        let small = counted(drawing.small, "call");
        text += &look.dim(&format!("{small} below {}% not shown (--threshold)\n", cut.threshold));
    }
    if drawing.deep {
        text += &look.dim(&format!("calls deeper than {} not shown (--depth)\n", cut.depth));
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
    /// Calls were left out below the deepest one.
    deep: bool,
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
        let roots = self.callees(None);
        let mut open = self.fork(&roots, "");
        while let Some(Open { node, mut first, below }) = open.pop() {
            let (chain, callees) = self.chain(node);
            let whole = self.cut.full || chain.len() <= CHAIN;
            let hidden = if whole { 0..0 } else { CHAIN_HEAD..chain.len() - CHAIN_TAIL };
            for (at, node) in chain.iter().enumerate() {
                if at == hidden.start && !hidden.is_empty() {
                    self.remark(&below, &counted(hidden.len() as u64, "call"));
                }
                if !hidden.contains(&at) {
                    self.line(*node, &first);
                }
                first.clone_from(&below);
            }
            open.extend(self.fork(&callees, &below));
        }
    }

    /// The nodes from `node` down to the next that branches, ends, or loses a visible share; and the callees there.
    fn chain(&mut self, mut node: u32) -> (Vec<u32>, Vec<u32>) {
        let mut chain = vec![node];
        loop {
            let mut callees = self.callees(Some(node));
            if self.tree.node(node).is_some_and(|node| node.depth >= self.cut.depth) {
                self.deep |= !callees.is_empty();
                callees.clear();
            }
            match callees.as_slice() {
                [only] if self.share(*only) == self.share(node) => node = *only,
                _ => return (chain, callees),
            }
            chain.push(node);
        }
    }

    fn share(&self, node: u32) -> String {
        percent(self.tree.node(node).map_or(0, |node| node.total), self.tree.total)
    }

    /// The callees of a node that are large enough.
    fn callees(&mut self, node: Option<u32>) -> Vec<u32> {
        let all: Vec<u32> = self.tree.children(node).collect();
        let large = |&index: &u32| {
            let node = self.tree.node(index);
            node.is_some_and(|n| n.total as f64 * 100.0 >= self.cut.threshold * self.tree.total as f64)
        };
        let shown: Vec<u32> = all.iter().copied().filter(large).collect();
        self.small += (all.len() - shown.len()) as u64;
        shown
    }

    /// Branches to these nodes, the first one last, because the last is drawn next.
    fn fork(&self, nodes: &[u32], below: &str) -> Vec<Open> {
        if let [only] = nodes {
            return vec![Open { node: *only, first: below.to_owned(), below: below.to_owned() }];
        }
        let (middle, last, line) =
            if self.look.unicode { ("├─ ", "└─ ", "│  ") } else { ("|- ", "`- ", "|  ") };
        let branch = |(at, &node)| {
            let (first, rest) = if at + 1 < nodes.len() { (middle, line) } else { (last, "   ") };
            Open { node, first: format!("{below}{first}"), below: format!("{below}{rest}") }
        };
        nodes.iter().enumerate().map(branch).rev().collect()
    }

    fn remark(&mut self, prefix: &str, text: &str) {
        let prefix = self.look.fit_end(prefix, self.look.width.saturating_sub(NUMBERS + NAME));
        let line = format!("{:NUMBERS$}{prefix}{} {text}", "", self.look.ellipsis());
        self.text += &self.look.dim(&line);
        self.text.push('\n');
    }

    fn line(&mut self, node: u32, prefix: &str) {
        let Some(node) = self.tree.node(node) else { return };
        let value = places::value(self.metric.unit(), node.total);
        let share = percent(node.total, self.tree.total);
        let numbers = format!("{share:>6} {value:>11} ");
        let profile = self.selection.profile();
        let room = self.look.width.saturating_sub(NUMBERS);
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
