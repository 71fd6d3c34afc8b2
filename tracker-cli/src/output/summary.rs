//! `memtrack summary` as text.

use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Metric;
use tracker_core::report::places::Places;
use tracker_core::report::profile::State;
use tracker_core::report::rows::{Kind, Limits, Report};
use tracker_core::report::summary::Summary;
use tracker_core::report::sums::Sums;
use tracker_core::report::suppress::Applied;

use super::clean::{clean, command_line};
use super::columns::{Side, Table};
use super::leaked::{KEPT, part};
use super::look::Look;
use super::units::{after_the_start, bytes, count, counted, percent};
use super::{head, places, report, trust};

/// Places in a list, and processes and threads in their tables.
const PLACES: usize = 5;
const TABLE_ROWS: usize = 12;

/// The numbers, the largest places, processes, threads, and how far to trust all that. `builtin`: what is kept on purpose,
/// by the built-in suppressions.
pub(crate) fn text(look: &Look, selection: &Selection<'_>, builtin: &Applied<'_>) -> String {
    let summary = Summary::of(selection);
    let sums = &summary.sums;
    let leaks = Report::new(selection.clone(), Kind::Leaks, &Limits::default(), builtin);
    let own = selection.only(|row| builtin.rule(row).is_none());

    let mut text = head::text(look, selection);
    text.push('\n');
    let running = summary.state == State::Running;
    if selection.profile().is_blank() {
        text += &(look.bold("Nothing was recorded") + "\n");
    } else {
        text += &numbers(look, sums, &leaks, running);
    }
    let all = Places::of(selection);
    let leaked = if running { "Not freed so far" } else { "Leaked" };
    for (title, metric, places, total) in [
        ("At the peak", Metric::Peak, &all, selection.total(Metric::Peak)),
        (leaked, Metric::Leaked, &Places::of(&own), own.total(Metric::Leaked)),
        ("Most allocations", Metric::Allocations, &all, selection.total(Metric::Allocations)),
    ] {
        let top = places.top(metric, PLACES);
        if total > 0 {
            text += &format!("\n{}\n", look.bold(title));
            text += &places::text(look, selection.profile(), metric.unit(), total, &top);
        }
    }
    let peak = Report::new(selection.clone(), Kind::Peak, &Limits::default(), &Applied::default());
    text += &report::arenas(look, &peak, "the peak");
    text += &processes(look, &summary);
    text += &threads(look, &summary);
    text.push('\n');
    text + &trust::text(look, selection.profile(), sums) + &trust::symbols(look, selection.profile(), sums)
}

fn numbers(look: &Look, sums: &Sums, leaks: &Report<'_>, running: bool) -> String {
    let mut table = Table::new(&[Side::Left, Side::Right, Side::Left]);
    let mut row = |name: &str, value: String, more: String| {
        table.row(vec![name.to_owned(), value, more]);
    };
    row("peak", bytes(sums.peak_bytes), counted(sums.peak_blocks, "block") + &after_the_start(sums.peak_at_ns));
    let blocks = counted(sums.leaked_blocks, "block");
    let leaked = match part(&leaks.total(), &leaks.suppressed_sum(), KEPT) {
        Some(part) => format!("{blocks}, {part}"),
        None => blocks,
    };
    // Nothing is leaked before its process has ended.
    let name = if running { "not freed" } else { "leaked" };
    row(name, bytes(sums.leaked_bytes), leaked);
    let allocations = counted(sums.allocations, "allocation");
    let average = match sums.allocated_bytes.checked_div(sums.allocations) {
        Some(average) => format!("{allocations} of {} on average", bytes(average)),
        None => allocations,
    };
    row("allocated", bytes(sums.allocated_bytes), average);
    let temporary = format!(
        "{} ({}) freed right after",
        counted(sums.temporary_allocations, "allocation"),
        percent(sums.temporary_allocations, sums.allocations)
    );
    row("temporary", bytes(sums.temporary_bytes), temporary);
    if let Some(rss) = sums.peak_rss_bytes.filter(|&rss| rss > 0) {
        row("resident", bytes(rss), "at most".to_owned());
    }
    table.text(look)
}

fn processes(look: &Look, summary: &Summary<'_>) -> String {
    if summary.processes.len() < 2 {
        return String::new();
    }
    use Side::{Left, Right};
    let mut table = Table::new(&[Right, Right, Right, Right, Right, Right, Left]);
    table.head(&["#", "pid", "parent", "peak", "leaked", "allocations", "command"]);
    for process in summary.processes.iter().take(TABLE_ROWS) {
        // Its command line is its parent's.
        let command =
            if process.is_worker { clean(&process.label).into_owned() } else { command_line(process.command) };
        table.row(vec![
            process.index.to_string(),
            process.pid.to_string(),
            process.parent.map_or_else(|| "-".to_owned(), |parent| parent.to_string()),
            bytes(process.sums.peak_bytes),
            bytes(process.sums.leaked_bytes),
            count(process.sums.allocations),
            if command.is_empty() { clean(process.exe).into_owned() } else { command },
        ]);
    }
    titled(look, "Processes (each at its own peak)", &table, summary.processes.len())
}

fn threads(look: &Look, summary: &Summary<'_>) -> String {
    if summary.threads.len() < 2 {
        return String::new();
    }
    use Side::{Left, Right};
    let mut table = Table::new(&[Right, Right, Right, Right, Right, Right, Left]);
    table.head(&["#", "tid", "process", "at peak", "leaked", "allocations", "name"]);
    let mut busiest: Vec<_> = summary.threads.iter().collect();
    busiest.sort_by_key(|thread| std::cmp::Reverse(thread.counts.allocations));
    for thread in busiest.into_iter().take(TABLE_ROWS) {
        table.row(vec![
            thread.index.to_string(),
            thread.tid.to_string(),
            thread.process.to_string(),
            bytes(thread.counts.peak_bytes),
            bytes(thread.counts.leaked_bytes),
            count(thread.counts.allocations),
            clean(thread.name).into_owned(),
        ]);
    }
    titled(look, "Threads (busiest first)", &table, summary.threads.len())
}

fn titled(look: &Look, title: &str, table: &Table, rows: usize) -> String {
    let mut text = format!("\n{}\n{}", look.bold(title), table.text(look));
    if rows > TABLE_ROWS {
        text += &look.dim(&format!("  {} more, see --json\n", rows - TABLE_ROWS));
    }
    text
}
