//! How a program allocates: sizes, allocator functions, and the functions behind most bytes and most calls.

use super::filter::Selection;
use super::metric::{Metric, PeakOf};
use super::places::{Place, Places};
use super::profile::{Metrics, SizeClass};
use crate::format::Function;

/// The sums of one allocator function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByFunction {
    /// `None` when the record of it is lost.
    pub function: Option<Function>,
    pub metrics: Metrics,
}

/// The answer to `memtrack stats`.
#[derive(Debug, Clone)]
pub struct Stats<'p> {
    pub metrics: Metrics,
    pub peak_of: PeakOf,
    /// Allocations by requested size; `None` for a selection, because sizes are counted per capture.
    pub sizes: Option<&'p [SizeClass]>,
    /// Most allocations first.
    pub functions: Vec<ByFunction>,
    /// Places with the most allocated bytes, and how many more there are.
    pub by_bytes: (Vec<(u64, Place<'p>)>, usize),
    /// Places with the most allocations, and how many more there are.
    pub by_count: (Vec<(u64, Place<'p>)>, usize),
}

impl<'p> Stats<'p> {
    /// Of a selection, with the `count` largest places.
    pub fn of(selection: &Selection<'p>, count: usize) -> Self {
        let profile = selection.profile();
        let everything = selection.is_whole() && selection.process().is_none();
        let places = Places::of(selection);
        Self {
            metrics: *selection.metrics(),
            peak_of: selection.peak_of(),
            sizes: everything.then_some(profile.sizes.as_slice()),
            functions: by_function(selection),
            by_bytes: places.top(Metric::Allocated, count),
            by_count: places.top(Metric::Allocations, count),
        }
    }
}

fn by_function(selection: &Selection<'_>) -> Vec<ByFunction> {
    let mut functions: Vec<ByFunction> = Vec::new();
    for row in selection.rows() {
        let stack = selection.profile().stacks.get(row.stack.0 as usize);
        let function = stack.and_then(|stack| stack.function);
        match functions.iter_mut().find(|known| known.function == function) {
            Some(known) => known.metrics.add(&row.metrics),
            None => functions.push(ByFunction { function, metrics: row.metrics }),
        }
    }
    functions.sort_by(|a, b| b.metrics.allocations.cmp(&a.metrics.allocations).then(a.function.cmp(&b.function)));
    functions
}
