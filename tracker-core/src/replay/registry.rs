//! The numbers that a replay gave to images, threads, stacks and rows, so that another one of the same capture can give
//! the same ones though it begins later.

use super::census::Thread;
use super::stacks::NodeId;
use super::state::State;
use crate::capture::columns::{Column as _, Columns, Field, Input, Plain, Step, columns, fields};
use crate::format::python::Place;

/// See [`super::stacks::Location`]: its variants in order, and their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PlaceIn {
    pub(super) kind: u8,
    pub(super) a: u32,
    pub(super) b: u32,
    pub(super) c: u64,
}

/// A node of the tree of stacks, the root and the lost one left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct NodeOf {
    pub(super) parent: u32,
    pub(super) location: u32,
}

/// Who a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RowOf {
    pub(super) node: u32,
    pub(super) thread: u32,
    pub(super) image: u32,
}

/// All numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Registry {
    /// The images' numbers in the capture, and the images that have process rows.
    images: Vec<u32>,
    processes: Vec<u32>,
    threads: Vec<Thread>,
    pub(super) places: Vec<Vec<Place>>,
    pub(super) locations: Vec<PlaceIn>,
    pub(super) nodes: Vec<NodeOf>,
    rows: Vec<RowOf>,
}

fields!(Thread: image, tid);
fields!(Place: skip, frames, repeat);
columns!(PlaceIn: Plain kind, Step a, Step b, Step c);
columns!(NodeOf: Step parent, Step location);
columns!(RowOf: Step node, Step thread, Step image);
fields!(Registry: images, processes, threads, places, locations [table], nodes [table], rows [table]);

impl Registry {
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The numbers that a replay has given.
    pub(super) fn of(state: &State) -> Self {
        let row = |row: &super::heap::Row| RowOf { node: row.node.0, thread: row.thread, image: row.image() };
        let mut registry = Self {
            images: state.census.images.iter().map(|image| image.number).collect(),
            processes: state.census.processes.clone(),
            threads: state.census.threads.clone(),
            rows: state.heap.rows().iter().map(row).collect(),
            ..Self::default()
        };
        state.stacks.register(&mut registry);
        registry
    }

    /// Gives the same ones in `state`, in which nothing has happened.
    pub(super) fn apply(&self, state: &mut State) {
        for &number in &self.images {
            state.image(number);
        }
        for &image in &self.processes {
            state.census.admit(image);
        }
        for thread in &self.threads {
            if state.census.thread(thread.image, thread.tid).1 {
                state.heap.add_thread();
            }
        }
        state.stacks.recall(self);
        for &RowOf { node, thread, image } in &self.rows {
            state.heap.row(NodeId(node), thread, image);
        }
    }
}
