//! `memtrack timeline` as a plot for terminals, and as comma-separated values.

use std::fmt::Write as _;

use tracker_core::report::filter::Selection;
use tracker_core::report::levels::Level;
use tracker_core::report::sums::Sums;

use super::look::{Look, columns};
use super::units::{after_the_start, bytes, count, duration};
use super::{head, trust};

/// Lines of the plot.
const HEIGHT: usize = 12;
/// Columns of it at most: beyond, a plot is no easier to read.
const WIDEST: usize = 160;
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 9] = [' ', '.', '.', ':', ':', '|', '|', '#', '#'];

/// Heap as an area, its peak marked; resident memory and allocations below.
pub(crate) fn text(look: &Look, selection: &Selection<'_>, levels: &[Level]) -> String {
    let sums = Sums::of(selection);
    let mut text = head::text(look, selection);
    text += &format!("\n{}\n", look.bold("Heap over time"));
    match levels.last() {
        Some(last) if last.time_ns > 0 => text += &plot(look, levels, last.time_ns, &sums),
        _ => text += "  nothing was recorded\n",
    }
    text.push('\n');
    text + &trust::text(look, selection.profile(), &sums)
}

fn plot(look: &Look, levels: &[Level], end: u64, sums: &Sums) -> String {
    let high = levels.iter().map(|level| level.live_max_bytes).max().unwrap_or(0).max(sums.peak_bytes).max(1);
    let labels: Vec<String> = (0..=2).map(|half| bytes(high / 2 * half)).collect();
    let gutter = labels.iter().map(|label| columns(label)).max().unwrap_or(0).max(7);
    let width = look.width.saturating_sub(gutter + 3).clamp(16, WIDEST);
    let heap = sampled(levels, end, width, |level| level.live_max_bytes);
    let mut text = String::new();

    // The peak is written above where it is.
    let at = column(sums.peak_at_ns.unwrap_or(end), end, width);
    let words = format!("peak {}{}", bytes(sums.peak_bytes), after_the_start(sums.peak_at_ns));
    let mark = if look.unicode { "▼" } else { "v" };
    let len = columns(&words) + 2;
    // Before the mark, behind it, or as near to it as there is room.
    let (line, indent) = match (at + 1).checked_sub(len) {
        Some(indent) => (format!("{words} {mark}"), indent),
        None if at + len <= width => (format!("{mark} {words}"), at),
        None => (format!("{words} {mark}"), 0),
    };
    text += &format!("{:gutter$}   {}{}\n", "", " ".repeat(indent), look.bold(&line));

    let levels_of_cell = (EIGHTHS.len() - 1) as u64;
    let cells = HEIGHT as u64 * levels_of_cell;
    for row in (0..HEIGHT).rev() {
        let label = match row {
            _ if row + 1 == HEIGHT => labels.get(2),
            _ if row == HEIGHT / 2 - 1 => labels.get(1),
            0 => labels.first(),
            _ => None,
        };
        let area: String = heap
            .iter()
            .map(|&value| glyph(look, scaled(value, high, cells).saturating_sub(row as u64 * levels_of_cell)))
            .collect();
        let label = label.map_or("", String::as_str);
        let axis = if look.unicode { "│" } else { "|" };
        text += format!("{label:>gutter$} {} {}", look.dim(axis), look.cyan(area.trim_end())).trim_end();
        text.push('\n');
    }
    let corner = if look.unicode { ("└", "─") } else { ("+", "-") };
    text += &format!("{:gutter$} {}\n", "", look.dim(&format!("{}{}", corner.0, corner.1.repeat(width + 1))));
    let (from, middle, to) = ("0 s".to_owned(), duration(end / 2), duration(end));
    let left = (width / 2).saturating_sub(from.len() + middle.len() / 2);
    let right = width.saturating_sub(from.len() + left + middle.len() + to.len());
    text += &format!("{:gutter$}   {from}{}{middle}{}{to}\n", "", " ".repeat(left), " ".repeat(right));

    let resident = sampled(levels, end, width, |level| level.rss_anon_bytes.saturating_add(level.rss_file_bytes));
    let most = resident.iter().copied().max().unwrap_or(0);
    if most > 0 {
        text += &format!("{:>gutter$}   {}\n", "rss", spark(look, &resident, most));
        text += &look.dim(&format!("{:gutter$}   at most {}\n", "", bytes(most)));
    }
    let calls = summed(levels, end, width);
    let most = calls.iter().copied().max().unwrap_or(0);
    text += &format!("{:>gutter$}   {}\n", "allocs", spark(look, &calls, most));
    let per = end / width as u64;
    text + &look.dim(&format!("{:gutter$}   at most {} in {}\n", "", count(most), duration(per.max(1))))
}

/// The column of a moment.
fn column(time: u64, end: u64, width: usize) -> usize {
    let at = u128::from(time) * width as u128 / u128::from(end.max(1));
    usize::try_from(at).unwrap_or(0).min(width.saturating_sub(1))
}

/// The highest value in each column. A column in which no interval ends is inside of the next that does.
fn sampled(levels: &[Level], end: u64, width: usize, value: impl Fn(&Level) -> u64) -> Vec<u64> {
    let mut found: Vec<Option<u64>> = vec![None; width];
    for level in levels {
        if let Some(slot) = found.get_mut(column(level.time_ns, end, width)) {
            *slot = Some(slot.unwrap_or(0).max(value(level)));
        }
    }
    let mut next = 0;
    let mut values: Vec<u64> = found
        .into_iter()
        .rev()
        .map(|slot| {
            next = slot.unwrap_or(next);
            next
        })
        .collect();
    values.reverse();
    values
}

/// Allocations in each column.
fn summed(levels: &[Level], end: u64, width: usize) -> Vec<u64> {
    let mut sums = vec![0u64; width];
    for level in levels {
        if let Some(slot) = sums.get_mut(column(level.time_ns, end, width)) {
            *slot = slot.saturating_add(level.allocations);
        }
    }
    sums
}

/// `value` of `most` in steps; what is not nothing is seen.
fn scaled(value: u64, most: u64, steps: u64) -> u64 {
    let step = u128::from(value) * u128::from(steps) / u128::from(most.max(1));
    u64::try_from(step).unwrap_or(steps).max(u64::from(value > 0))
}

fn glyph(look: &Look, eighths: u64) -> char {
    let glyphs = if look.unicode { &EIGHTHS } else { &ASCII };
    let at = usize::try_from(eighths).unwrap_or(usize::MAX).min(glyphs.len() - 1);
    glyphs.get(at).copied().unwrap_or(' ')
}

fn spark(look: &Look, values: &[u64], most: u64) -> String {
    let line: String = values.iter().map(|&value| glyph(look, scaled(value, most, 8))).collect();
    line.trim_end().to_owned()
}

/// One line per interval, named columns, no units: as spreadsheets and scripts read it.
pub(crate) fn csv(levels: &[Level]) -> String {
    let mut text =
        "time_ns,live_max_bytes,live_bytes,allocations,allocated_bytes,rss_anon_bytes,rss_file_bytes\n".to_owned();
    for level in levels {
        let Level { time_ns, live_max_bytes, live_bytes, allocations, allocated_bytes, rss_anon_bytes, rss_file_bytes } =
            level;
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{time_ns},{live_max_bytes},{live_bytes},{allocations},{allocated_bytes},{rss_anon_bytes},{rss_file_bytes}"
        );
    }
    text
}
