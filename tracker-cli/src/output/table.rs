//! `memtrack table` as text.

use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Metric;
use tracker_core::report::sums::Sums;
use tracker_core::report::table::{By, Table, TableRow};

use super::clean::clean;
use super::columns::{self, Side};
use super::look::Look;
use super::units::{counted, percent};
use super::{head, places, trust};

/// The first `count` rows.
pub(crate) fn text(
    look: &Look,
    selection: &Selection<'_>,
    table: &Table<'_>,
    (by, metric): (By, Metric),
    count: usize,
) -> String {
    let value = |number| places::value(metric.unit(), number);
    let mut text = head::text(look, selection);
    text += &format!("\n{}\n", look.bold(&format!("{} {} by {}", metric.name(), value(table.sum), by.name())));
    let mut lines = columns::Table::new(&[Side::Right, Side::Right, Side::Right, Side::Right, Side::Left]);
    lines.head(&["self", "", "total", "", by.name()]);
    for row in table.rows.iter().take(count) {
        let share = |part| percent(part, table.sum);
        lines.row(vec![value(row.own), share(row.own), value(row.total), share(row.total), name(by, row)]);
    }
    text += &lines.text(look);
    let rest = table.rows.len().saturating_sub(count);
    if rest > 0 {
        let own = table.rows.iter().skip(count).fold(0u64, |sum, row| sum.saturating_add(row.own));
        text +=
            &look.dim(&format!("  {} more, {} their own (-n 0 shows all)\n", counted(rest as u64, "row"), value(own)));
    }
    text.push('\n');
    text + &trust::text(look, selection.profile(), &Sums::of(selection))
}

fn name(by: By, row: &TableRow<'_>) -> String {
    match (by, &*row.name) {
        (By::Module, "") => "no module".to_owned(),
        (By::File, "") => "no file known".to_owned(),
        (_, name) => clean(name).into_owned(),
    }
}
