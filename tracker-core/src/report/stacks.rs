//! From the replay's tree of addresses to named stacks: each place is named once, and stacks that became equal (the
//! same library at different addresses, ids defined twice) become one.

use rustc_hash::{FxHashMap, FxHashSet};

use super::merge::{Part, merged};
use super::names::Symbols;
use super::profile::{ARENA, Frame, FrameId, FrameKind, Stack, StackId};
use crate::format::python::NO_CODE;
use crate::format::{Called, Function, PC_NOT_WALKED, PC_TRUNCATED};
use crate::replay::census::Census;
use crate::replay::python::Python;
use crate::replay::stacks::{Location, NodeId, Stacks};

/// Most frames of all stacks together. Only recursion many thousand deep, allocating at each step, comes here; then
/// the middles of the deepest stacks are left out.
const MAX_FRAMES: usize = 1 << 27;

/// A node of the tree of frames.
#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    frame: FrameId,
    depth: u32,
    /// One of its frames stands for frames that are not there.
    partial: bool,
}

/// What a node of the replay's tree has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Named {
    node: u32,
    function: Option<Function>,
}

/// Frames and stacks, being gathered.
#[derive(Debug)]
pub(super) struct Naming {
    frames: Vec<Frame>,
    frame_ids: FxHashMap<Frame, FrameId>,
    nodes: Vec<Node>,
    children: FxHashMap<(u32, FrameId), u32>,
    /// The frames of each location, innermost first.
    places: Vec<Vec<FrameId>>,
    /// For each node of the replay's tree.
    named: Vec<Named>,
    stack_ids: FxHashMap<Named, StackId>,
    stacks: Vec<Named>,
    /// Modules that an eval loop was seen in.
    interpreters: FxHashSet<u32>,
    /// Frames that may still be put together from native and Python stacks.
    merge_budget: usize,
    /// Stacks whose Python frames were left out for want of it.
    unmerged: usize,
}

/// Finished frames and stacks.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) frames: Vec<Frame>,
    pub(super) stacks: Vec<Stack>,
    /// Stacks whose middle was left out here.
    pub(super) cut: usize,
    /// Stacks whose Python frames were left out here.
    pub(super) unmerged: usize,
    /// Modules that an eval loop was seen in.
    pub(super) interpreters: FxHashSet<u32>,
}

impl Naming {
    /// Names every place.
    pub(super) fn new(stacks: &Stacks, census: &Census, python: &Python, symbols: &mut dyn Symbols) -> Self {
        let root = Node { parent: 0, frame: FrameId(u32::MAX), depth: 0, partial: false };
        let mut naming = Self {
            frames: Vec::new(),
            frame_ids: FxHashMap::default(),
            nodes: vec![root],
            children: FxHashMap::default(),
            places: Vec::new(),
            named: Vec::with_capacity(stacks.len()),
            stack_ids: FxHashMap::default(),
            stacks: Vec::new(),
            interpreters: FxHashSet::default(),
            merge_budget: MAX_FRAMES,
            unmerged: 0,
        };
        naming.places = naming.name_places(stacks.locations(), (census, python), symbols);
        for id in 0..stacks.len() as u32 {
            let named = naming.name_node(stacks.node(NodeId(id)), stacks, census);
            naming.named.push(named);
        }
        naming
    }

    /// The frames of each location, innermost first.
    fn name_places(
        &mut self,
        places: &[Location],
        (census, python): (&Census, &Python),
        symbols: &mut dyn Symbols,
    ) -> Vec<Vec<FrameId>> {
        let mut known: FxHashMap<(u32, u64), Vec<FrameId>> = FxHashMap::default();
        let mut name = |place: &Location| match *place {
            Location::Lost => vec![self.marker("[definition lost]")],
            Location::Marker(PC_TRUNCATED) => vec![self.marker("[truncated]")],
            Location::Marker(PC_NOT_WALKED) => vec![self.marker("[not walked]")],
            Location::Marker(pc) => match Called::from_marker(pc).map(|called| called.function) {
                // What lies in it is not its caller's: every view shall say so.
                Some(Function::PythonArena) => vec![self.marker(ARENA)],
                Some(_) => Vec::new(),
                None => vec![self.marker("[unknown marker]")],
            },
            Location::Merge { .. } => Vec::new(),
            Location::Python { code: NO_CODE, .. } => vec![self.marker("[truncated]")],
            Location::Python { code, offset } => vec![self.python(python, code, offset)],
            // A return address may be the first one behind its function, so the call is looked up.
            Location::Code { image, generation, pc } => match census.find_module(image, generation, pc - 1) {
                Some(range) => {
                    let address = pc.wrapping_sub(range.bias);
                    let frames = known.entry((range.module, address)).or_insert_with(|| {
                        let found = symbols.frames(range.module, address.wrapping_sub(1));
                        self.code(range.module, address, found)
                    });
                    frames.clone()
                }
                None => {
                    let pid = census.images.get(image as usize).and_then(|image| image.about.as_ref()).map(|a| a.pid);
                    let function = pid.and_then(|pid| symbols.made_at_run_time(pid, pc - 1));
                    vec![self.frame(Frame {
                        function,
                        file: None,
                        line: None,
                        module: None,
                        address: pc,
                        kind: FrameKind::Jit,
                    })]
                }
            },
        };
        places.iter().map(&mut name).collect()
    }

    fn marker(&mut self, text: &str) -> FrameId {
        let function = Some(text.to_owned());
        self.frame(Frame { function, file: None, line: None, module: None, address: 0, kind: FrameKind::Marker })
    }

    fn python(&mut self, python: &Python, code: u32, offset: i32) -> FrameId {
        let Some(code) = python.code(code) else { return self.marker("[definition lost]") };
        if code.is_task() {
            let function = Some(match String::from_utf8_lossy(&code.name) {
                name if name.is_empty() => "[other tasks]".to_owned(),
                name => format!("[task {name}]"),
            });
            return self.frame(Frame { function, kind: FrameKind::Task, ..Frame::default() });
        }
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
        let (function, file, line) = (text(&code.name), text(&code.file), code.line(offset));
        self.frame(Frame { function, file, line, module: None, address: 0, kind: FrameKind::Python })
    }

    fn code(&mut self, module: u32, address: u64, found: Vec<super::names::Named>) -> Vec<FrameId> {
        let (module, native) = (Some(module), FrameKind::Native);
        if found.is_empty() {
            return vec![self.frame(Frame { function: None, file: None, line: None, module, address, kind: native })];
        }
        let frame = |named: super::names::Named| {
            let kind = if named.inlined { FrameKind::Inlined } else { native };
            self.frame(Frame { function: named.function, file: named.file, line: named.line, module, address, kind })
        };
        found.into_iter().map(frame).collect()
    }

    fn frame(&mut self, frame: Frame) -> FrameId {
        let next = FrameId(self.frames.len() as u32);
        *self.frame_ids.entry(frame).or_insert_with_key(|frame| {
            self.frames.push(frame.clone());
            next
        })
    }

    fn name_node(&mut self, node: Option<(NodeId, usize)>, stacks: &Stacks, census: &Census) -> Named {
        let root = Named { node: 0, function: None };
        let Some((parent, place)) = node else { return root };
        // Parents come first.
        let mut named = self.named.get(parent.0 as usize).copied().unwrap_or(root);
        named.function = match stacks.locations().get(place) {
            Some(&Location::Marker(pc)) => Called::from_marker(pc).map(|called| called.function),
            Some(&Location::Merge { python, places }) => {
                return self
                    .merge((parent, python), places, stacks, census)
                    .map_or(named, |node| Named { node, ..named });
            }
            _ => None,
        };
        named.node = self.extend(named.node, place);
        named
    }

    /// The node that is `node` with the frames of a location inside it.
    fn extend(&mut self, mut node: u32, place: usize) -> u32 {
        let frames = self.places.get(place).map_or(0, Vec::len);
        for at in (0..frames).rev() {
            if let Some(&frame) = self.places.get(place).and_then(|frames| frames.get(at)) {
                node = self.child(node, frame);
            }
        }
        node
    }

    /// The node of a native stack with a Python stack in it. `None`: there are too many of them to keep.
    fn merge(
        &mut self,
        (native, python): (NodeId, NodeId),
        places: u32,
        stacks: &Stacks,
        census: &Census,
    ) -> Option<u32> {
        let outward = |mut at: NodeId| {
            std::iter::from_fn(move || {
                let (parent, location) = stacks.node(at)?;
                at = if at == parent { NodeId::ROOT } else { parent };
                Some(location)
            })
        };
        let (native, python): (Vec<_>, Vec<_>) = (outward(native).collect(), outward(python).collect());
        let Some(left) = self.merge_budget.checked_sub(native.len() + python.len()) else {
            self.unmerged += 1;
            return None;
        };
        self.merge_budget = left;
        let parts = merged(&native, &python, stacks.places(places));
        let mut node = 0;
        for part in parts.into_iter().rev() {
            let (Part::Native { location, .. } | Part::Python { location }) = part;
            if let Part::Native { runs: true, .. } = part
                && let Some(&Location::Code { image, generation, pc }) = stacks.locations().get(location)
                && let Some(range) = census.find_module(image, generation, pc - 1)
            {
                self.interpreters.insert(range.module);
            }
            node = self.extend(node, location);
        }
        Some(node)
    }

    fn child(&mut self, parent: u32, frame: FrameId) -> u32 {
        let next = self.nodes.len() as u32;
        *self.children.entry((parent, frame)).or_insert_with(|| {
            let above = self.nodes.get(parent as usize);
            let depth = above.map_or(0, |node| node.depth) + 1;
            let is_gap = |frame: &Frame| frame.kind == FrameKind::Marker && frame.function.as_deref() != Some(ARENA);
            let marker = self.frames.get(frame.0 as usize).is_some_and(is_gap);
            let partial = marker || above.is_some_and(|node| node.partial);
            self.nodes.push(Node { parent, frame, depth, partial });
            next
        })
    }

    /// The stack that a node of the replay's tree has become.
    pub(super) fn stack(&mut self, node: NodeId) -> StackId {
        let named = self.named.get(node.0 as usize).copied().unwrap_or(Named { node: 0, function: None });
        let next = StackId(self.stacks.len() as u32);
        *self.stack_ids.entry(named).or_insert_with(|| {
            self.stacks.push(named);
            next
        })
    }

    /// The frames at a location.
    pub(super) fn frames_at(&self, place: usize) -> impl Iterator<Item = (FrameId, &Frame)> {
        let frames = self.places.get(place).into_iter().flatten();
        frames.filter_map(|frame| Some((*frame, self.frames.get(frame.0 as usize)?)))
    }

    /// Whether a stack lacks frames.
    pub(super) fn is_partial(&self, stack: StackId) -> bool {
        let node = self.stacks.get(stack.0 as usize).and_then(|named| self.nodes.get(named.node as usize));
        node.is_some_and(|node| node.partial)
    }

    /// Writes out the stacks that were asked for.
    pub(super) fn finish(mut self) -> Names {
        let depths: Vec<u32> =
            self.stacks.iter().filter_map(|s| Some(self.nodes.get(s.node as usize)?.depth)).collect();
        let limit = depth_limit(&depths, MAX_FRAMES);
        let cut = depths.iter().filter(|depth| **depth > limit).count();
        let gap = if cut > 0 { self.marker("[truncated]") } else { FrameId(0) };
        // The outer half of a stack that is too deep ends at this ancestor.
        let outer_depth = limit / 2;
        let mut outer: Vec<u32> = Vec::new();
        if cut > 0 {
            for (id, node) in (0u32..).zip(&self.nodes) {
                let above = outer.get(node.parent as usize).copied().unwrap_or(0);
                outer.push(if node.depth <= outer_depth { id } else { above });
            }
        }
        let nodes = &self.nodes;
        let write = |(named, depth): (&Named, u32)| {
            let mut frames: Vec<FrameId> = Vec::with_capacity(depth.min(limit) as usize);
            if depth <= limit {
                frames.extend(outward(nodes, named.node, depth));
            } else {
                frames.extend(outward(nodes, named.node, limit - outer_depth - 1));
                frames.push(gap);
                frames.extend(outward(nodes, outer.get(named.node as usize).copied().unwrap_or(0), outer_depth));
            }
            Stack { frames, function: named.function }
        };
        let stacks = self.stacks.iter().zip(depths).map(write).collect();
        let (frames, interpreters) = (std::mem::take(&mut self.frames), std::mem::take(&mut self.interpreters));
        Names { frames, stacks, cut, unmerged: self.unmerged, interpreters }
    }
}

/// At most `len` frames from a node towards the root.
fn outward(nodes: &[Node], mut at: u32, len: u32) -> impl Iterator<Item = FrameId> {
    (0..len).map_while(move |_| {
        let node = nodes.get(at as usize).filter(|node| node.depth > 0)?;
        at = node.parent;
        Some(node.frame)
    })
}

/// The depth to which stacks have to be cut so that all frames together stay below `budget`.
fn depth_limit(depths: &[u32], budget: usize) -> u32 {
    let mut limit = depths.iter().copied().max().unwrap_or(0);
    while limit > 16 && depths.iter().map(|depth| (*depth).min(limit) as usize).sum::<usize>() > budget {
        limit /= 2;
    }
    limit
}
