//! `memtrack report` as text: one paragraph per stack, largest first.

use tracker_core::report::labels::Label;
use tracker_core::report::profile::State;
use tracker_core::report::rows::{Entry, Freed, Kind, Report, Sum};
use tracker_core::report::sums::Sums;

use super::clean::clean;
use super::leaked::part;
use super::look::Look;
use super::units::{after_the_start, bytes, counted, duration, percent};
use super::wrap::wrap;
use super::{head, stack, trust};

/// The report; `depth` frames of each stack.
pub(crate) fn text(look: &Look, report: &Report<'_>, depth: usize) -> String {
    let profile = report.selection.profile();
    let sums = Sums::of(&report.selection);
    let mut text = head::text(look, &report.selection);
    text += &format!("\n{}\n", look.bold(&headline(report, &sums)));
    if let Some(apart) = part(&report.total(), &report.suppressed_sum(), "suppressed (listed below)") {
        text += &format!("{apart}\n");
    }
    let labels = profile.process_labels();
    for (entry, rank) in report.entries.iter().zip(1..) {
        text += &format!("\n{}", paragraph(look, (report, &labels), entry, rank, depth));
    }
    if report.hidden.stacks > 0 {
        let hidden = &report.hidden;
        let (stacks, blocks) = (counted(hidden.stacks, "stack"), noun(report.kind, hidden.blocks));
        text += &format!("\n{stacks} more: {} in {blocks} (-n 0 shows all)\n", bytes(hidden.bytes));
    }
    if !report.suppressed.is_empty() {
        text += &format!("\n{}\n", look.bold("Suppressed"));
        for suppressed in &report.suppressed {
            let (size, sum) = (bytes(suppressed.sum.bytes), &suppressed.sum);
            let rule = clean(&suppressed.rule);
            text += &format!("  {size:>10}  {:>12}  {rule}\n", counted(sum.blocks, "block"));
        }
    }
    text += &arenas(look, report, "this");
    text.push('\n');
    text + &trust::text(look, profile, &sums)
}

/// What blocks of arenas mean, where there are any in the report, which is called `whole`.
pub(super) fn arenas(look: &Look, report: &Report<'_>, whole: &str) -> String {
    if report.arenas.blocks == 0 {
        return String::new();
    }
    let (size, count) = (bytes(report.arenas.bytes), counted(report.arenas.blocks, "arena"));
    let way_out = match report.selection.profile().pymalloc {
        None => "`memtrack run --python-allocators` records each object, too.",
        Some(_) => "Without --arenas each object counts instead.",
    };
    let remark = format!(
        "{size} of {whole} are {count} of pymalloc, which small Python objects share. One counts as long as a single object in it \
         lives, and its stack is that of whoever needed room next. {way_out}"
    );
    let words: Vec<_> = remark.split(' ').map(str::to_owned).collect();
    let lines = wrap(&words, " ", look.width).join("\n");
    format!("\n{}\n", look.dim(&lines))
}

/// What each suppression set apart, in LeakSanitizer's form, those that nothing matched last.
pub(crate) fn suppressions(report: &Report<'_>, names: &[String]) -> String {
    let used = report.suppressed.iter().map(|suppressed| (suppressed.rule.as_str(), suppressed.sum));
    let used: Vec<_> = used.collect();
    let mut lines: Vec<(&str, Sum)> = used.clone();
    let unused = |name: &&str| used.iter().all(|(rule, _)| rule != name);
    lines.extend(names.iter().map(String::as_str).filter(unused).map(|name| (name, Sum::default())));
    let mut text = format!("Suppressions used:\n{:>7} {:>10} template\n", "count", "bytes");
    for (name, sum) in lines {
        text += &format!("{:>7} {:>10} {}\n", sum.blocks, sum.bytes, clean(name));
    }
    text
}

/// A number of what the report's rows count.
pub(crate) fn noun(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Leaks | Kind::Peak => counted(number, "block"),
        Kind::Temporary | Kind::Allocations => counted(number, "allocation"),
    }
}

fn headline(report: &Report<'_>, sums: &Sums) -> String {
    let total = report.total();
    let size = bytes(total.bytes);
    let blocks = noun(report.kind, total.blocks);
    let stacks = counted(total.stacks, "stack");
    // Nothing is leaked before its process has ended.
    let profile = report.selection.profile();
    let running = profile.state == State::Running;
    match report.kind {
        _ if profile.is_blank() => "Nothing was recorded".to_owned(),
        Kind::Leaks if profile.span.is_some() => {
            format!("Allocated and not freed by then: {size} in {blocks} from {stacks}")
        }
        Kind::Peak if profile.span.is_some() => format!("Live at its end: {size} in {blocks} from {stacks}"),
        Kind::Leaks if report.selection.region().is_some() => {
            format!("Live when it ended: {size} in {blocks} from {stacks}")
        }
        Kind::Leaks if total.blocks == 0 => "No leaks".to_owned(),
        Kind::Leaks if running => format!("Not freed so far: {size} in {blocks} from {stacks}"),
        Kind::Leaks => format!("Leaked {size} in {blocks} from {stacks}"),
        Kind::Peak => format!("Peak {size} in {blocks} from {stacks}{}", after_the_start(sums.peak_at_ns)),
        Kind::Temporary => {
            let share = percent(total.blocks, sums.allocations);
            format!("Temporary: {blocks} ({share} of all), {size}, from {stacks}")
        }
        Kind::Allocations => format!("Allocated {size} in {blocks} from {stacks}"),
    }
}

fn paragraph(
    look: &Look,
    (report, labels): (&Report<'_>, &[Label]),
    entry: &Entry,
    rank: usize,
    depth: usize,
) -> String {
    let profile = report.selection.profile();
    let share = percent(entry.bytes, report.total().bytes);
    let stack = report.stack(entry);
    let function = stack.and_then(|stack| stack.function).map_or("?", |function| function.name());
    let blocks = noun(report.kind, entry.blocks);
    let title = format!("#{rank}  {}  {share}  {blocks} from {function}", bytes(entry.bytes));
    let mut text = look.bold(&title) + "\n";
    match stack.filter(|stack| !stack.frames.is_empty()) {
        Some(stack) => text += &stack::frames(look, profile, stack, depth),
        None => text += "      [unknown]\n",
    }
    for line in wrap(&origin(report, labels, entry), look.dot(), look.width.saturating_sub(6)) {
        text += &look.dim(&format!("      {line}\n"));
    }
    text
}

/// When and where a stack allocated.
fn origin(report: &Report<'_>, labels: &[Label], entry: &Entry) -> Vec<String> {
    let profile = report.selection.profile();
    let mut parts = Vec::new();
    // The times are of the whole capture.
    if profile.span.is_none() {
        parts.push(if entry.first_ns == entry.last_ns {
            format!("at {}", duration(entry.first_ns))
        } else {
            format!("first at {}, last at {}", duration(entry.first_ns), duration(entry.last_ns))
        });
    }
    if let Some(fate) = entry.fate() {
        let share = percent(entry.allocations.saturating_sub(entry.blocks), entry.allocations);
        parts.push(match fate.freed {
            Freed::Never => "never freed".to_owned(),
            freed => format!("{} freed ({share} of {})", freed.name(), counted(entry.allocations, "allocation")),
        });
        // What a program leaves behind in less than a second grows by nothing that could be said per minute.
        let long = entry.last_ns.saturating_sub(entry.first_ns) >= 1_000_000_000;
        if let Some(rate) = fate.blocks_per_minute.filter(|_| long) {
            parts.push(format!("grows by {} a minute", counted(rate.round() as u64, "block")));
        }
    }
    if report.kind == Kind::Temporary {
        let share = percent(entry.blocks, entry.allocations);
        parts.push(format!("{share} of its {}", counted(entry.allocations, "allocation")));
    }
    if profile.processes.len() > 1 {
        let process = profile.processes.get(entry.process as usize);
        parts.push(match process.filter(|_| entry.processes == 1) {
            Some(process) => match labels.get(entry.process as usize).map_or("", |label| &label.text) {
                "" => format!("process {}", process.index),
                label => format!("process {} ({})", process.index, clean(label)),
            },
            None => format!("{} processes", entry.processes),
        });
    }
    if profile.threads.len() > 1 {
        let thread = profile.threads.get(entry.thread as usize);
        parts.push(match thread.filter(|_| entry.threads == 1) {
            Some(thread) if thread.name.is_empty() => format!("thread {}", thread.index),
            Some(thread) => format!("thread {} ({})", thread.index, clean(&thread.name)),
            None => format!("{} threads", entry.threads),
        });
    }
    parts
}
