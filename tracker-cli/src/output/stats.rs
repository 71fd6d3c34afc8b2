//! `memtrack stats` as text.

use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Unit;
use tracker_core::report::profile::SizeClass;
use tracker_core::report::stats::{ByFunction, Stats};
use tracker_core::report::sums::Sums;

use super::columns::{Side, Table};
use super::look::Look;
use super::units::{bytes, count, counted, percent};
use super::{head, places, trust};

/// Columns of the longest bar.
const BAR: u64 = 24;

/// Sizes, allocator functions, and the functions behind most bytes and most calls.
pub(crate) fn text(look: &Look, selection: &Selection<'_>, stats: &Stats<'_>) -> String {
    let profile = selection.profile();
    let metrics = &stats.metrics;
    let mut text = head::text(look, selection);
    let (calls, size) = (counted(metrics.allocations, "allocation"), bytes(metrics.allocated_bytes));
    text += &format!("\n{calls} of {size}\n");
    if let Some(sizes) = stats.sizes {
        text += &format!("\n{}\n{}", look.bold("By size"), histogram(look, sizes));
    }
    text += &format!("\n{}\n{}", look.bold("By allocator function"), functions(look, stats));
    let lists = [
        ("Most bytes", Unit::Bytes, metrics.allocated_bytes, &stats.by_bytes),
        ("Most allocations", Unit::Count, metrics.allocations, &stats.by_count),
    ];
    for (title, unit, total, top) in lists {
        text += &format!("\n{}\n", look.bold(title));
        text += &places::text(look, profile, unit, total, top);
    }
    text.push('\n');
    text + &trust::text(look, profile, &Sums::of(selection))
}

fn histogram(look: &Look, classes: &[SizeClass]) -> String {
    let total = classes.iter().fold(0u64, |sum, class| sum.saturating_add(class.allocations));
    let most = classes.iter().map(|class| class.allocations).max().unwrap_or(0);
    use Side::{Left, Right};
    let mut table = Table::new(&[Right, Right, Right, Right, Right, Left]);
    table.head(&["from", "below", "allocations", "", "bytes", ""]);
    for class in classes.iter().filter(|class| class.allocations > 0) {
        table.row(vec![
            size_name(class.from),
            size_name(class.from.saturating_mul(2).max(1)),
            count(class.allocations),
            percent(class.allocations, total),
            bytes(class.bytes),
            bar(look, class.allocations, most),
        ]);
    }
    table.text(look)
}

/// Powers of two need no decimals.
fn size_name(size: u64) -> String {
    bytes(size).replace(".0 ", " ")
}

fn bar(look: &Look, part: u64, most: u64) -> String {
    let len = (u128::from(part) * u128::from(BAR)).div_ceil(u128::from(most.max(1))) as usize;
    if look.unicode { "▇" } else { "#" }.repeat(len)
}

fn functions(look: &Look, stats: &Stats<'_>) -> String {
    use Side::{Left, Right};
    let mut table = Table::new(&[Left, Right, Right, Right, Right]);
    table.head(&["function", "allocations", "", "bytes", "leaked"]);
    for ByFunction { function, metrics } in &stats.functions {
        table.row(vec![
            function.map_or("unknown", |function| function.name()).to_owned(),
            count(metrics.allocations),
            percent(metrics.allocations, stats.metrics.allocations),
            bytes(metrics.allocated_bytes),
            bytes(metrics.leaked_bytes),
        ]);
    }
    table.text(look)
}
