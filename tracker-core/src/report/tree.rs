//! Stacks merged into one tree from callers to callees, or the other way round.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::filter::Selection;
use super::metric::Metric;
use super::profile::{FrameId, Profile};

/// One function at one place of the tree. Frames of a function that differ only in their line are one node, and so is
/// a function that calls itself directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Index of the caller's node; callers come before their callees.
    pub parent: Option<u32>,
    /// One of its frames; `None` for stacks without any.
    pub frame: Option<FrameId>,
    /// Its frames differ.
    pub mixed: bool,
    /// Callers between it and the root.
    pub depth: u32,
    /// Index behind its last callee's subtree.
    pub end: u32,
    /// The metric's value where this is the last frame.
    pub own: u64,
    /// The metric's value in it and below.
    pub total: u64,
}

/// The tree, callers before callees, siblings by size, each subtree in one piece.
#[derive(Debug, Clone)]
pub struct Tree {
    pub nodes: Vec<Node>,
    /// Sum of all roots.
    pub total: u64,
}

impl Tree {
    /// Builds the tree of one metric. `inverted`: from the allocating functions outwards.
    pub fn new(selection: &Selection<'_>, metric: Metric, inverted: bool) -> Self {
        let keys = function_keys(selection.profile());
        let mut building = Building::default();
        for row in selection.rows() {
            let value = selection.value(metric, row);
            let Some(stack) = selection.profile().stacks.get(row.stack.0 as usize) else {
                continue;
            };
            if value == 0 {
                continue;
            }
            if inverted {
                building.add(stack.frames.iter(), &keys, value);
            } else {
                building.add(stack.frames.iter().rev(), &keys, value);
            }
        }
        building.finish()
    }

    /// The callees of `node`, largest first; the roots for `None`.
    pub fn children(&self, node: Option<u32>) -> impl Iterator<Item = u32> + '_ {
        let end = match node {
            Some(node) => self.node(node).map_or(0, |node| node.end),
            None => self.nodes.len() as u32,
        };
        let first = node.map_or(0, |node| node + 1);
        let within = move |index: u32| (index < end).then_some(index);
        std::iter::successors(within(first), move |&index| within(self.node(index)?.end))
    }

    /// A node by its index.
    pub fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }
}

/// For each frame the first frame of the same function, inlined or not: compilers inline parts of functions.
fn function_keys(profile: &Profile) -> Vec<FrameId> {
    let mut first = FxHashMap::default();
    let frames = profile.frames.iter().zip(0u32..);
    frames
        .map(|(frame, id)| match &frame.function {
            Some(function) => *first.entry((function.as_str(), frame.module, frame.script())).or_insert(FrameId(id)),
            None => FrameId(id),
        })
        .collect()
}

#[derive(Default)]
struct Building {
    nodes: Vec<Node>,
    children: FxHashMap<(Option<u32>, Option<FrameId>), u32>,
}

impl Building {
    fn add<'f>(&mut self, frames: impl Iterator<Item = &'f FrameId>, keys: &[FrameId], value: u64) {
        let mut parent = None;
        let mut last = None;
        for id in frames {
            let Some(&key) = keys.get(id.0 as usize) else { continue };
            if last != Some(key) {
                parent = Some(self.child(parent, Some((key, *id))));
                self.count(parent, value);
            } else if let Some(node) = self.node(parent) {
                node.mixed |= node.frame != Some(*id);
            }
            last = Some(key);
        }
        if parent.is_none() {
            parent = Some(self.child(None, None));
            self.count(parent, value);
        }
        if let Some(node) = self.node(parent) {
            node.own = node.own.saturating_add(value);
        }
    }

    /// The callee of `parent` with this key, which `frame` is one of.
    fn child(&mut self, parent: Option<u32>, callee: Option<(FrameId, FrameId)>) -> u32 {
        let new = self.nodes.len() as u32;
        let frame = callee.map(|(_, frame)| frame);
        let at = match self.children.entry((parent, callee.map(|(key, _)| key))) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => *entry.insert(new),
        };
        if at == new {
            let depth = self.node(parent).map_or(0, |node| node.depth + 1);
            self.nodes.push(Node { parent, frame, mixed: false, depth, end: 0, own: 0, total: 0 });
        } else if let Some(node) = self.node(Some(at)) {
            node.mixed |= node.frame != frame;
        }
        at
    }

    fn count(&mut self, node: Option<u32>, value: u64) {
        if let Some(node) = self.node(node) {
            node.total = node.total.saturating_add(value);
        }
    }

    fn node(&mut self, index: Option<u32>) -> Option<&mut Node> {
        self.nodes.get_mut(index? as usize)
    }

    /// Puts the nodes in their final order: depth first, the largest sibling first.
    fn finish(self) -> Tree {
        let mut below: Vec<Vec<u32>> = vec![Vec::new(); self.nodes.len()];
        let mut roots = Vec::new();
        for (node, index) in self.nodes.iter().zip(0u32..) {
            match node.parent.and_then(|parent| below.get_mut(parent as usize)) {
                Some(siblings) => siblings.push(index),
                None => roots.push(index),
            }
        }
        let total_of = |index: &u32| self.nodes.get(*index as usize).map_or(0, |node| node.total);
        // Smallest first: the end of the list is taken next.
        let by_size = |siblings: &mut Vec<u32>| {
            siblings.sort_by_key(|index| (total_of(index), std::cmp::Reverse(*index)));
        };
        by_size(&mut roots);
        below.iter_mut().for_each(by_size);
        let total = roots.iter().map(total_of).fold(0, u64::saturating_add);

        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut open: Vec<(u32, Option<u32>)> = roots.into_iter().map(|index| (index, None)).collect();
        while let Some((index, parent)) = open.pop() {
            let Some(node) = self.nodes.get(index as usize) else { continue };
            let new = nodes.len() as u32;
            nodes.push(Node { parent, ..*node });
            let callees = below.get(index as usize).into_iter().flatten();
            open.extend(callees.map(|&callee| (callee, Some(new))));
        }
        for index in (0..nodes.len()).rev() {
            let Some(node) = nodes.get_mut(index) else { continue };
            node.end = node.end.max(index as u32 + 1);
            let (parent, end) = (node.parent, node.end);
            if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent as usize)) {
                parent.end = parent.end.max(end);
            }
        }
        Tree { nodes, total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    /// The tree as one indented line per node: name, own and total; `~` where lines differ.
    #[track_caller]
    fn check(rows: &[(&str, u64)], inverted: bool, expected: &[&str]) {
        let sketch = rows.iter().fold(Sketch::new("./app"), |sketch, &(stack, allocations)| {
            sketch.row(stack, Numbers { allocated: (allocations, 0), ..Numbers::default() })
        });
        let profile = sketch.build();
        let tree = Tree::new(&Selection::whole(&profile), Metric::Allocations, inverted);
        assert_eq!(tree.total, rows.iter().map(|(_, value)| value).sum::<u64>());
        let line = |node: &Node| {
            let frame = node.frame.and_then(|id| profile.frame(id));
            let name = frame.map_or("nothing".into(), |frame| profile.frame_name(frame));
            let indent = " ".repeat(node.depth as usize);
            format!("{indent}{name}{} {} {}", if node.mixed { "~" } else { "" }, node.own, node.total)
        };
        assert_eq!(tree.nodes.iter().map(line).collect::<Vec<_>>(), expected);
        for (at, node) in tree.nodes.iter().enumerate() {
            let below: u64 = tree.children(Some(at as u32)).map(|child| tree.node(child).unwrap().total).sum();
            assert_eq!(node.total, node.own + below);
        }
    }

    const ROWS: [(&str, u64); 4] = [
        ("malloc: read@a.c:1 parse@a.c:2 main@a.c:3", 5),
        ("malloc: parse@a.c:7 main@a.c:3", 2),
        ("calloc: draw@b.c:1 main@a.c:4", 9),
        ("malloc:", 1),
    ];

    #[test]
    fn callers_to_callees() {
        let expected = ["main~ 0 16", " draw 9 9", " parse~ 2 7", "  read 5 5", "nothing 1 1"];
        check(&ROWS, false, &expected);
    }

    #[test]
    fn callees_to_callers() {
        let expected =
            ["draw 0 9", " main 9 9", "read 0 5", " parse 0 5", "  main 5 5", "parse 0 2", " main 2 2", "nothing 1 1"];
        check(&ROWS, true, &expected);
    }

    #[test]
    fn recursion_is_one_node() {
        let rows =
            [("malloc: walk@a.c:1 walk@a.c:5 walk@a.c:5 main", 3), ("malloc: walk@a.c:5 leaf walk@a.c:5 main", 4)];
        check(&rows, false, &["main 0 7", " walk~ 3 7", "  leaf 0 4", "   walk 4 4"]);
        let deep = format!("malloc: {}main", "f@a.c:1 g@a.c:2 ".repeat(30_000));
        let profile = Sketch::new("./app").row(&deep, Numbers { allocated: (1, 1), ..Numbers::default() }).build();
        assert_eq!(Tree::new(&Selection::whole(&profile), Metric::Allocations, false).nodes.len(), 60_001);
    }
}
