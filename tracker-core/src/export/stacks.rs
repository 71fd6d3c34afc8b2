//! Values by stack, for formats that know neither threads nor allocator functions.

use rustc_hash::FxHashMap;

use crate::report::filter::Selection;
use crate::report::metric::Metric;
use crate::report::profile::{FrameId, Row};

/// Stacks that have a value, leaf first: largest value first, then by frames, so that the same capture always gives the
/// same file.
pub(super) fn by_stack<'p>(
    selection: &Selection<'p>,
    metric: Metric,
    keep: impl Fn(&Row) -> bool,
) -> Vec<(&'p [FrameId], u64)> {
    let profile = selection.profile();
    let mut values: FxHashMap<&[FrameId], u64> = FxHashMap::default();
    for row in selection.rows().iter().filter(|row| keep(row)) {
        let stack = profile.stacks.get(row.stack.0 as usize);
        let value = values.entry(stack.map_or(&[][..], |stack| &stack.frames)).or_default();
        *value = value.saturating_add(selection.value(metric, row));
    }
    values.retain(|_, value| *value > 0);
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    values
}
