//! Distinct stacks of the whole capture, as one tree: each stream's own ids are translated into its nodes.
//!
//! A code address means something only together with the image it was met in and the generation of that image's
//! modules, so this triple is a [`Location`]. Locations are named once, at the end: a module may be recorded later, and
//! by another thread, than the first stack that runs through it.

use rustc_hash::FxHashMap;

use super::registry::{NodeOf, PlaceIn, Registry};
use crate::format::python::{Place, Places, PythonFrames};
use crate::format::record::{Called, Pcs};
use crate::format::{MARKER_LIMIT, ROOT_STACK};

/// A node of the tree, standing for the stack from the root to it. Parents have smaller numbers than children.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The empty stack.
    pub const ROOT: Self = Self(0);
    /// A stack whose definition was lost.
    pub const LOST: Self = Self(1);
}

/// A distinct place in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// A return address, in an image's code as of a generation of its modules.
    Code { image: u32, generation: u32, pc: u64 },
    /// No code: one of the format's markers.
    Marker(u64),
    /// Stands for the frames whose definition was lost.
    Lost,
    /// Bytes into the bytecode of a numbered Python code object.
    Python { code: u32, offset: i32 },
    /// No frame: the stack up to here is native, and the Python stack `python` belongs into it. `places` is an index into
    /// [`Stacks::places`].
    Merge { python: NodeId, places: u32 },
}

impl Location {
    fn written(&self) -> PlaceIn {
        match *self {
            Self::Code { image, generation, pc } => PlaceIn { kind: 0, a: image, b: generation, c: pc },
            Self::Marker(pc) => PlaceIn { kind: 1, a: 0, b: 0, c: pc },
            Self::Lost => PlaceIn { kind: 2, a: 0, b: 0, c: 0 },
            Self::Python { code, offset } => PlaceIn { kind: 3, a: code, b: offset.cast_unsigned(), c: 0 },
            Self::Merge { python, places } => PlaceIn { kind: 4, a: python.0, b: places, c: 0 },
        }
    }

    fn read(from: &PlaceIn) -> Self {
        let &PlaceIn { kind, a, b, c } = from;
        match kind {
            0 => Self::Code { image: a, generation: b, pc: c },
            1 => Self::Marker(c),
            3 => Self::Python { code: a, offset: b.cast_signed() },
            4 => Self::Merge { python: NodeId(a), places: b },
            _ => Self::Lost,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    location: u32,
    /// The child that was asked for last: streams define the same paths again and again.
    recent: u32,
}

/// The tree. Bounded by the limit it is made with: a hostile file can define far more stacks than it has bytes.
#[derive(Debug)]
pub struct Stacks {
    nodes: Vec<Node>,
    children: FxHashMap<u64, u32>,
    locations: Vec<Location>,
    location_ids: FxHashMap<Location, u32>,
    places: Vec<Vec<Place>>,
    place_ids: FxHashMap<Vec<Place>, u32>,
    limit: usize,
}

impl Stacks {
    /// A tree with at most about `limit` nodes; stacks beyond are [`NodeId::LOST`].
    pub fn new(limit: usize) -> Self {
        let mut stacks = Self {
            nodes: vec![Node { parent: 0, location: 0, recent: 0 }; 2],
            children: FxHashMap::default(),
            locations: vec![Location::Lost],
            location_ids: FxHashMap::default(),
            places: Vec::new(),
            place_ids: FxHashMap::default(),
            limit: limit.min(u32::MAX as usize - 1),
        };
        stacks.location_ids.insert(Location::Lost, 0);
        stacks
    }

    /// Number of nodes; all are below.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: the root is there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// All locations; nodes refer to them by index.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Parent and location index of a node; `None` for the root and for what is no node.
    pub fn node(&self, node: NodeId) -> Option<(NodeId, usize)> {
        let found = self.nodes.get(node.0 as usize).filter(|_| node != NodeId::ROOT)?;
        Some((NodeId(found.parent), found.location as usize))
    }

    /// How the block of a stack was asked for; `None` where the stack does not say.
    pub fn called(&self, node: NodeId) -> Option<Called> {
        let (parent, location) = self.node(node)?;
        match *self.locations.get(location)? {
            Location::Marker(pc) => Called::from_marker(pc),
            Location::Merge { .. } if parent != node => match *self.locations.get(self.node(parent)?.1)? {
                Location::Marker(pc) => Called::from_marker(pc),
                _ => None,
            },
            _ => None,
        }
    }

    /// Where Python frames stand in the native stack of a [`Location::Merge`], innermost first.
    pub fn places(&self, index: u32) -> &[Place] {
        self.places.get(index as usize).map_or(&[], Vec::as_slice)
    }

    /// Whether there is no room for another node.
    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() >= self.limit
    }

    /// Writes its nodes down.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.places.clone_from(&self.places);
        registry.locations = self.locations.iter().map(|location| location.written()).collect();
        let own = self.nodes.get(2..).unwrap_or_default();
        registry.nodes = own.iter().map(|node| NodeOf { parent: node.parent, location: node.location }).collect();
    }

    /// Takes the nodes of another tree; there are none yet. Of too many, the first.
    pub(super) fn recall(&mut self, registry: &Registry) {
        for places in &registry.places {
            self.place_id(places.clone());
        }
        self.locations = registry.locations.iter().map(Location::read).collect();
        self.location_ids = self.locations.iter().copied().zip(0..).collect();
        for &NodeOf { parent, location } in registry.nodes.iter().take(self.limit) {
            let next = self.nodes.len() as u32;
            self.children.insert(u64::from(parent) << 32 | u64::from(location), next);
            self.nodes.push(Node { parent, location, recent: 0 });
        }
    }

    fn place_id(&mut self, places: Vec<Place>) -> u32 {
        let next = self.places.len() as u32;
        *self.place_ids.entry(places).or_insert_with_key(|places| {
            self.places.push(places.clone());
            next
        })
    }

    fn child(&mut self, parent: u32, location: Location) -> Option<u32> {
        if self.is_full() {
            return None;
        }
        let recent = self.nodes.get(parent as usize).map_or(0, |node| node.recent);
        if let Some(node) = self.nodes.get(recent as usize).filter(|node| recent != 0 && node.parent == parent)
            && self.locations.get(node.location as usize) == Some(&location)
        {
            return Some(recent);
        }
        let next = self.locations.len() as u32;
        let location = *self.location_ids.entry(location).or_insert_with(|| {
            self.locations.push(location);
            next
        });
        let next = self.nodes.len() as u32;
        let child = *self.children.entry(u64::from(parent) << 32 | u64::from(location)).or_insert_with(|| {
            self.nodes.push(Node { parent, location, recent: 0 });
            next
        });
        if let Some(node) = self.nodes.get_mut(parent as usize) {
            node.recent = child;
        }
        Some(child)
    }
}

/// What an id of a stream stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The stack.
    pub node: NodeId,
    /// Number that the stream's owner has given to (stack, thread); [`Known::NO_ROW`] before.
    pub row: u32,
}

impl Known {
    /// No row yet.
    pub const NO_ROW: u32 = u32::MAX;

    const fn new(node: u32) -> Self {
        Self { node: NodeId(node), row: Self::NO_ROW }
    }
}

/// What came of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Defined {
    /// The tree is full: stacks are lost.
    pub full: bool,
    /// Its id does not follow the one before: definitions between them are missing.
    pub jumped: bool,
}

/// One stream's ids. Ids are consecutive, so this is a list that starts at `base`; what lies outside is lost.
#[derive(Debug, Default)]
pub struct Ids {
    base: u32,
    known: Vec<Known>,
    empty: Option<Known>,
}

impl Ids {
    /// The first known id, and what it and the next ones stand for.
    pub(super) fn known(&self) -> (u32, impl Iterator<Item = NodeId>) {
        (self.base, self.known.iter().map(|known| known.node))
    }

    /// Takes what another list of the same stream knew.
    pub(super) fn recall(&mut self, base: u32, nodes: impl Iterator<Item = u32>) {
        self.base = base;
        self.known = nodes.map(Known::new).collect();
    }

    /// Forgets all ids.
    pub fn forget(&mut self) {
        (self.base, self.empty) = (0, None);
        self.known.clear();
    }

    /// What `id` stands for, to be given a row; `None` when its definition is not known.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Known> {
        if id == ROOT_STACK {
            return Some(self.empty.get_or_insert(Known::new(NodeId::ROOT.0)));
        }
        self.known.get_mut(id.checked_sub(self.base)? as usize)
    }

    fn node(&mut self, id: u32) -> u32 {
        self.get_mut(id).map_or(NodeId::LOST, |known| known.node).0
    }

    /// Takes a definition of native stacks.
    pub fn define(
        &mut self,
        stacks: &mut Stacks,
        (image, generation): (u32, u32),
        (first, parent, pcs): (u32, u32, Pcs<'_>),
    ) -> Defined {
        let location = |pc| {
            if pc < MARKER_LIMIT { Location::Marker(pc) } else { Location::Code { image, generation, pc } }
        };
        self.define_path(stacks, first, parent, pcs.iter().map(location))
    }

    /// Takes a definition of Python stacks.
    pub fn define_python(
        &mut self,
        stacks: &mut Stacks,
        (first, parent, frames): (u32, u32, PythonFrames<'_>),
    ) -> Defined {
        let locations = frames.iter().map(|frame| Location::Python { code: frame.code, offset: frame.offset });
        self.define_path(stacks, first, parent, locations)
    }

    /// Takes a definition of a native stack with a Python stack in it.
    pub fn define_merge(
        &mut self,
        stacks: &mut Stacks,
        id: u32,
        (native, python): (u32, u32),
        places: Places<'_>,
    ) -> Defined {
        let python = NodeId(self.node(python));
        let places = stacks.place_id(places.iter().collect());
        self.define_path(stacks, id, native, std::iter::once(Location::Merge { python, places }))
    }

    fn define_path(
        &mut self,
        stacks: &mut Stacks,
        first: u32,
        parent: u32,
        locations: impl Iterator<Item = Location>,
    ) -> Defined {
        let mut node = self.node(parent);
        let expected = self.base.checked_add(self.known.len() as u32);
        let jumped = !self.known.is_empty() && expected != Some(first);
        if self.known.is_empty() || jumped {
            // The first one after a loss, or a sign of one: what was known may have been redefined meanwhile.
            if jumped && parent != ROOT_STACK {
                node = NodeId::LOST.0;
            }
            self.known.clear();
            self.base = first;
        }
        let mut room = true;
        for location in locations {
            node = stacks.child(node, location).unwrap_or_else(|| {
                room = false;
                NodeId::LOST.0
            });
            self.known.push(Known::new(node));
        }
        Defined { full: !room, jumped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{decode, write_define};
    use crate::format::{Deltas, Record};

    struct Fixture {
        stacks: Stacks,
        ids: Ids,
    }

    impl Fixture {
        fn new(limit: usize) -> Self {
            Self { stacks: Stacks::new(limit), ids: Ids::default() }
        }

        fn define(&mut self, image: u32, first: u32, parent: u32, pcs: &[u64]) -> Defined {
            let mut bytes = [0; 3000];
            write_define(&mut bytes, first, parent, pcs.iter().copied()).unwrap();
            match decode(&mut Deltas::default(), &bytes) {
                Ok(Some((Record::Define { first, parent, pcs }, _))) => {
                    self.ids.define(&mut self.stacks, (image, 0), (first, parent, pcs))
                }
                other => panic!("{other:?}"),
            }
        }

        /// The stack of an id, outermost first, `?` for what is lost.
        fn show(&mut self, id: u32) -> String {
            let Some(known) = self.ids.get_mut(id).copied() else { return "unknown".to_owned() };
            let (mut node, mut names) = (known.node, Vec::new());
            while let Some((parent, location)) = self.stacks.node(node) {
                names.push(match self.stacks.locations()[location] {
                    Location::Code { image, pc, .. } => format!("{image}:{pc:x}"),
                    Location::Marker(pc) => format!("marker {pc}"),
                    Location::Lost => "?".to_owned(),
                    Location::Python { code, offset } => format!("python {code}+{offset}"),
                    Location::Merge { python, places } => {
                        format!("with {python:?} at {:?}", self.stacks.places(places))
                    }
                });
                node = parent;
            }
            names.reverse();
            names.join(" ")
        }
    }

    #[test]
    fn equal_stacks_share_nodes_and_images_do_not() {
        let mut f = Fixture::new(100);
        f.define(1, 1, 0, &[0x1000, 0x2000]);
        f.define(1, 3, 1, &[0x3000, 16]);
        f.define(1, 5, 0, &[0x1000, 0x2000]);
        f.define(2, 7, 0, &[0x1000]);
        assert_eq!([2, 4, 5, 7].map(|id| f.show(id)), ["1:1000 1:2000", "1:1000 1:3000 marker 16", "1:1000", "2:1000"]);
        assert_eq!(f.ids.get_mut(2).copied(), f.ids.get_mut(6).copied());
        assert_eq!(f.show(0), "");
        assert_eq!(f.show(8), "unknown");
    }

    #[test]
    fn lost_definitions_never_name_another_stack() {
        let mut f = Fixture::new(100);
        f.define(1, 1, 0, &[0x1000, 0x2000]);
        f.ids.forget();
        assert_eq!(f.show(2), "unknown");
        // The first one after a known loss.
        assert!(!f.define(1, 9, 2, &[0x3000]).jumped);
        assert_eq!([f.show(9), f.show(2), f.show(10)], ["? 1:3000", "unknown", "unknown"]);
        // Ids that jump, forwards or back, are a sign of a loss that nobody noticed.
        assert!(f.define(1, 20, 9, &[0x4000]).jumped);
        assert_eq!([f.show(20), f.show(9)], ["? 1:4000", "unknown"]);
        assert!(f.define(1, 1, 0, &[0x5000]).jumped);
        assert_eq!(f.show(1), "1:5000");
        assert!(f.define(1, u32::MAX, 1, &[0x5000, 0x6000]).jumped);
        assert_eq!(f.show(u32::MAX), "? 1:5000");
    }

    #[test]
    fn the_tree_is_bounded() {
        let mut f = Fixture::new(4);
        assert!(!f.define(1, 1, 0, &[0x1000, 0x2000]).full);
        assert!(f.define(1, 3, 2, &[0x3000]).full);
        assert_eq!([f.show(2), f.show(3)], ["1:1000 1:2000", "?"]);
    }
}
