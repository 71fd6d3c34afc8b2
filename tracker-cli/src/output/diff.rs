//! `memtrack diff` as text: every total, then the stacks that changed, the largest change first.

use tracker_core::report::diff::{Change, Diff, Entry, Verdict};
use tracker_core::report::filter::Selection;
use tracker_core::report::metric::{Metric, Unit};

use super::clean::{clean, command_line};
use super::columns::{Side, Table};
use super::look::Look;
use super::units::{counted, duration};
use super::{places, stack, trust};

/// Which changes are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    /// Most stacks.
    pub(crate) count: usize,
    /// Frames of each.
    pub(crate) depth: usize,
    /// Those that may be noise, too.
    pub(crate) noise: bool,
}

pub(crate) fn text(look: &Look, diff: &Diff<'_>, shown: Shown) -> String {
    let mut text = side(look, "before", &diff.before) + &side(look, "after", &diff.after);
    let mut table = Table::new(&[Side::Left, Side::Right, Side::Right, Side::Right, Side::Right, Side::Left]);
    table.head(&["", "before", "after", "change", "", ""]);
    for (metric, change) in &diff.totals {
        let (before, after) = change.means();
        let value = |number| places::value(metric.unit(), number);
        table.row(vec![
            metric.name().to_owned(),
            value(before),
            value(after),
            signed(metric.unit(), change.delta()),
            relative(before, change.delta()),
            if change.verdict() == Verdict::Noise { "not more than noise".to_owned() } else { String::new() },
        ]);
    }
    text += &format!("\n{}", table.text(look));
    text += &format!("\n{}\n", look.bold(&headline(diff)));
    for (old, new) in &diff.renamed {
        let arrow = if look.unicode { "→" } else { "->" };
        text +=
            &format!("  {}\n", look.fit(&format!("renamed: {} {arrow} {}", clean(old), clean(new)), look.width - 2));
    }
    let is_noise = |entry: &&Entry<'_>| !shown.noise && entry.change.verdict() == Verdict::Noise;
    let (noise, entries): (Vec<&Entry<'_>>, Vec<&Entry<'_>>) = diff.entries.iter().partition(is_noise);
    for (entry, rank) in entries.iter().take(shown.count).zip(1..) {
        text += &paragraph(look, diff.metric, entry, rank, shown.depth);
    }
    if let Some(rest) = entries.get(shown.count..).filter(|rest| !rest.is_empty()) {
        text +=
            &format!("\n{} more: {} (-n 0 shows all)\n", counted(rest.len() as u64, "stack"), sum(diff.metric, rest));
    }
    if !noise.is_empty() {
        text += &format!(
            "\n{} changed within noise: {} (--noise shows them)\n",
            counted(noise.len() as u64, "stack"),
            sum(diff.metric, &noise)
        );
    }
    text
}

/// A side's program and what is missing in its captures.
fn side(look: &Look, name: &str, selections: &[Selection<'_>]) -> String {
    let mut text = String::new();
    for selection in selections {
        let profile = selection.profile();
        let command = command_line(&profile.session.words());
        let line = format!("{name:<6}  {command}  ran {}", duration(profile.duration_ns));
        text += &(look.fit(&line, look.width) + "\n");
        if let Some(missing) = trust::warning(profile) {
            text += &look.yellow(&format!("        {}\n", look.fit(&missing, look.width.saturating_sub(8))));
        }
    }
    text
}

fn headline(diff: &Diff<'_>) -> String {
    let (metric, changed) = (diff.metric, diff.entries.len() as u64);
    let name = metric.name();
    match changed {
        0 => format!("No stack has another {name}"),
        _ => format!(
            "{name} changed in {}, and not in {}",
            counted(changed, "stack"),
            counted(diff.same.len() as u64, "other")
        ),
    }
}

fn sum(metric: Metric, entries: &[&Entry<'_>]) -> String {
    signed(metric.unit(), entries.iter().fold(0, |sum: i64, entry| sum.saturating_add(entry.change.delta())))
}

fn paragraph(look: &Look, metric: Metric, entry: &Entry<'_>, rank: usize, depth: usize) -> String {
    let Change { before, after } = &entry.change;
    let (mean_before, mean_after) = entry.change.means();
    let delta = entry.change.delta();
    let value = |number| places::value(metric.unit(), number);
    let new = before.iter().all(|value| *value == 0);
    let gone = after.iter().all(|value| *value == 0);
    let course = match (new, gone) {
        (true, _) => "new".to_owned(),
        (_, true) => "gone".to_owned(),
        _ => format!("{} before, {} after", value(mean_before), value(mean_after)),
    };
    let title = format!("#{rank}  {}  {course}", signed(metric.unit(), delta));
    let title = if delta > 0 { look.red(&title) } else { look.green(&title) };
    let (profile, found) = entry.shown;
    let mut text = format!("\n{title}\n{}", stack::frames(look, profile, found, depth));
    if let Some((profile, was)) = entry.was {
        text += &look.dim("      before:\n");
        text += &stack::frames(look, profile, was, depth);
    }
    text
}

/// A change with its sign.
fn signed(unit: Unit, change: i64) -> String {
    let sign = match change {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", places::value(unit, change.unsigned_abs()))
}

fn relative(before: u64, change: i64) -> String {
    if before == 0 || change == 0 {
        return String::new();
    }
    format!("{:+.1}%", change as f64 * 100.0 / before as f64)
}
