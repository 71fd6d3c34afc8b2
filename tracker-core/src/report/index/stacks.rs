//! Stacks as a tree: what several have in common is written once.

use rustc_hash::FxHashMap;

use super::tables::{TreeNode, TreeStack, function_code, function_of};
use crate::capture::columns::{Input, put_table, take_table};
use crate::report::profile::{FrameId, Stack};

/// Most frames of all stacks together, as many as a replay may make of them.
const MAX_FRAMES: usize = 1 << 27;

/// Writes them, outermost frames first.
pub(super) fn put(stacks: &[Stack], out: &mut Vec<u8>) {
    let mut nodes: Vec<TreeNode> = Vec::new();
    let mut known: FxHashMap<(u32, u32), u32> = FxHashMap::default();
    let mut ends = Vec::with_capacity(stacks.len());
    for stack in stacks {
        let mut node = 0;
        for frame in stack.frames.iter().rev() {
            node = *known.entry((node, frame.0)).or_insert_with(|| {
                nodes.push(TreeNode { parent: node, frame: frame.0 });
                nodes.len() as u32
            });
        }
        ends.push(TreeStack { node, function: function_code(stack.function) });
    }
    put_table(&nodes, out);
    put_table(&ends, out);
}

/// Reads them; `None` for a tree with a circle, or one that would become too large.
pub(super) fn take(input: &mut Input<'_>) -> Option<Vec<Stack>> {
    let nodes: Vec<TreeNode> = take_table(input)?;
    let mut depths = vec![0u32];
    for node in &nodes {
        // Parents come first.
        depths.push(depths.get(node.parent as usize)? + 1);
    }
    let ends: Vec<TreeStack> = take_table(input)?;
    let mut left = MAX_FRAMES;
    let stack = |end: TreeStack| {
        let depth = *depths.get(end.node as usize)? as usize;
        left = left.checked_sub(depth)?;
        let mut frames = Vec::with_capacity(depth);
        let mut at = end.node;
        while let Some(node) = at.checked_sub(1).and_then(|at| nodes.get(at as usize)) {
            frames.push(FrameId(node.frame));
            at = node.parent;
        }
        Some(Stack { frames, function: function_of(end.function)? })
    };
    ends.into_iter().map(stack).collect()
}
