//! A profile as a few lines of text, for comparing.

use std::fmt::Write as _;

use tracker_core::report::profile::{Metrics, Profile, Row, State, Totals};

/// Everything a replay is judged by. `blocks/bytes` throughout; what is zero is left out.
pub(crate) fn show(profile: &Profile) -> String {
    let mut text = String::new();
    if profile.state != State::Complete {
        let _ = writeln!(text, "{:?}", profile.state);
    }
    let _ = writeln!(text, "{}", totals(&profile.totals));
    if profile.processes.len() > 1 {
        for process in &profile.processes {
            let parent = process.parent.map_or(String::new(), |parent| format!(" of {parent}"));
            let _ = writeln!(text, "process {}{parent}: {}", process.index, totals(&process.totals));
        }
    }
    let mut rows: Vec<String> = profile.rows.iter().map(|r| row(profile, r)).collect();
    rows.sort();
    rows.iter().for_each(|row| text += row);
    profile.warnings.iter().for_each(|warning| {
        let _ = writeln!(text, "! {warning}");
    });
    text
}

fn amount(text: &mut String, word: &str, blocks: u64, bytes: u64) {
    if blocks != 0 || bytes != 0 {
        let _ = write!(text, " {word} {blocks}/{bytes}");
    }
}

fn metrics(m: &Metrics) -> String {
    let mut text = format!("{}/{}", m.allocations, m.allocated_bytes);
    amount(&mut text, "peak", m.peak_blocks, m.peak_bytes);
    if (m.process_peak_blocks, m.process_peak_bytes) != (m.peak_blocks, m.peak_bytes) {
        amount(&mut text, "own-peak", m.process_peak_blocks, m.process_peak_bytes);
    }
    amount(&mut text, "leaked", m.leaked_blocks, m.leaked_bytes);
    amount(&mut text, "temporary", m.temporary_allocations, m.temporary_bytes);
    text
}

fn totals(t: &Totals) -> String {
    let mut text = metrics(&t.metrics);
    let numbers = [
        ("frees", t.frees),
        ("reallocations", t.reallocations),
        ("inherited", t.inherited_frees),
        ("unmatched", t.unmatched_frees),
        ("lost", t.lost_events),
        ("truncated", t.truncated_stacks),
        ("unresolved", t.unresolved_frames),
        ("peak-at", t.peak_at_ns),
        ("error", t.peak_error_bytes),
    ];
    for (word, number) in numbers.into_iter().filter(|(_, number)| *number != 0) {
        let _ = write!(text, " {word} {number}");
    }
    text
}

fn row(profile: &Profile, row: &Row) -> String {
    let thread = &profile.threads[row.thread as usize];
    assert_eq!(thread.process, row.process + 1);
    let name = |id: &tracker_core::report::profile::FrameId| {
        let frame = &profile.frames[id.0 as usize];
        match (&frame.function, frame.module) {
            (Some(function), _) => function.clone(),
            (None, Some(module)) => {
                format!("[{}+{:#x}]", profile.modules[module as usize].path, frame.address)
            }
            (None, None) => format!("[{:#x}]", frame.address),
        }
    };
    let frames: Vec<String> = profile.stacks[row.stack.0 as usize].frames.iter().rev().map(name).collect();
    let times = if row.last_ns > 0 { format!(" at {}-{}", row.first_ns, row.last_ns) } else { String::new() };
    format!("p{}.t{} {}: {}{times}\n", thread.process, thread.tid, frames.join(">"), metrics(&row.metrics))
}
