//! The functions that asked for the memory: all stacks that blame the same one, summed.

use rustc_hash::FxHashMap;

use super::filter::Selection;
use super::metric::{Metric, PeakOf};
use super::profile::{Frame, Metrics};

/// A function to blame and the sums of its stacks.
#[derive(Debug, Clone, Copy)]
pub struct Place<'p> {
    /// One of its frames; `None` for stacks without any.
    pub frame: Option<&'p Frame>,
    /// Its frames differ.
    pub mixed: bool,
    pub metrics: Metrics,
}

/// All places of a selection.
#[derive(Debug, Clone)]
pub struct Places<'p> {
    places: Vec<Place<'p>>,
    peak: PeakOf,
}

impl<'p> Places<'p> {
    /// Sums a selection by blamed function.
    pub fn of(selection: &Selection<'p>) -> Self {
        let profile = selection.profile();
        let mut places: Vec<Place<'p>> = Vec::new();
        let mut by_name = FxHashMap::default();
        let mut by_stack = FxHashMap::default();
        for row in selection.rows() {
            let at = *by_stack.entry(row.stack).or_insert_with(|| {
                let stack = profile.stacks.get(row.stack.0 as usize);
                let frame = stack.and_then(|stack| profile.blamed(stack));
                let address = |frame: &Frame| match frame.function {
                    Some(_) => 0,
                    None => frame.address,
                };
                let key = frame.map(|f| (f.function.as_deref(), f.module, f.script(), address(f)));
                let new = places.len();
                let at = *by_name.entry(key).or_insert(new);
                match places.get_mut(at) {
                    Some(known) => known.mixed |= known.frame != frame,
                    None => places.push(Place { frame, mixed: false, metrics: Metrics::default() }),
                }
                at
            });
            if let Some(place) = places.get_mut(at) {
                place.metrics.add(&row.metrics);
            }
        }
        Self { places, peak: selection.peak_of() }
    }

    /// The `count` largest places of a metric, those without any left out, and how many more there are.
    pub fn top(&self, metric: Metric, count: usize) -> (Vec<(u64, Place<'p>)>, usize) {
        let value = |place: &Place<'_>| metric.of(&place.metrics, self.peak);
        let mut top: Vec<_> =
            self.places.iter().map(|place| (value(place), *place)).filter(|(value, _)| *value > 0).collect();
        // Stable, so that equal places keep the order in which they were met.
        top.sort_by_key(|(value, _)| std::cmp::Reverse(*value));
        let more = top.len().saturating_sub(count);
        top.truncate(count);
        (top, more)
    }
}
