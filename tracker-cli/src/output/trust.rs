//! How far the numbers can be trusted, in a line under every report.

use tracker_core::report::filter::Selection;
use tracker_core::report::profile::{Profile, State};
use tracker_core::report::sums::Sums;

use super::clean::clean;
use super::look::Look;
use super::units::{bytes, count, counted, duration, percent};
use super::wrap::wrap;

/// Untracked programs and remarks shown one by one.
const SHOWN: usize = 3;

/// The trust line, remarks below it.
pub(crate) fn text(look: &Look, profile: &Profile, sums: &Sums) -> String {
    let problems = problems(profile, sums);
    let text = if problems.is_empty() {
        look.dim("Trust: the capture is complete, no event is missing") + "\n"
    } else {
        let label = "Trust: ";
        let lines = wrap(&problems, ", ", look.width.saturating_sub(label.len()));
        let lines = lines.join(&format!("\n{}", " ".repeat(label.len())));
        look.yellow(&format!("{label}{lines}")) + "\n"
    };
    let untracked = profile.untracked.iter().map(|untracked| {
        let exe = clean(&untracked.exe);
        let pid = if untracked.is_unheard() { String::new() } else { format!(" (pid {})", untracked.pid) };
        format!("not tracked: {exe}{pid}: {}", clean(&untracked.reason))
    });
    let warnings = profile.warnings.iter().map(|warning| clean(warning).into_owned());
    let counted = profile.pymalloc.map(|counted| counted.sentence().to_owned());
    text + &list(look, counted.into_iter()) + &list(look, untracked) + &list(look, warnings)
}

/// Why frames have no name, where some have none.
pub(crate) fn symbols(look: &Look, profile: &Profile, sums: &Sums) -> String {
    if sums.unresolved_frames == 0 || profile.symbol_notes.is_empty() {
        return String::new();
    }
    let notes = profile.symbol_notes.iter().map(|note| clean(note).into_owned());
    "Symbols:\n".to_owned() + &list(look, notes)
}

/// For `export` and the like, whose output cannot say it: what is missing, in one sentence; `None` when nothing is.
pub(crate) fn warning(profile: &Profile) -> Option<String> {
    let sums = Sums::of(&Selection::whole(profile));
    let whole = profile.state == State::Complete && sums.lost_events == 0 && profile.untracked.is_empty();
    (!whole).then(|| problems(profile, &sums).join(", "))
}

fn list(look: &Look, remarks: impl Iterator<Item = String>) -> String {
    let remarks: Vec<_> = remarks.collect();
    let mut text: String = remarks.iter().take(SHOWN).map(|remark| indented(look, remark)).collect();
    if let more @ 1.. = remarks.len().saturating_sub(SHOWN) {
        text += &indented(look, &format!("and {more} more like this, see `memtrack summary --json`"));
    }
    text
}

fn indented(look: &Look, remark: &str) -> String {
    let words: Vec<_> = remark.split(' ').map(str::to_owned).collect();
    let lines = wrap(&words, " ", look.width.saturating_sub(4));
    format!("  - {}\n", lines.join("\n    "))
}

fn problems(profile: &Profile, sums: &Sums) -> Vec<String> {
    let mut problems = Vec::new();
    match profile.state {
        State::Complete => {}
        State::Running => {
            problems.push(format!("still recording, as of {}", duration(profile.duration_ns)));
        }
        State::Cut => problems.push("the capture is cut or damaged: events are missing".into()),
    }
    if sums.lost_events > 0 {
        let events = sums.allocations.saturating_add(sums.frees.unwrap_or(0));
        let share = percent(sums.lost_events, events.saturating_add(sums.lost_events));
        problems.push(format!("{} lost ({share})", counted(sums.lost_events, "event")));
    }
    if sums.unmatched_frees > 0 {
        problems.push(format!("{} of unknown blocks", counted(sums.unmatched_frees, "free")));
    }
    if sums.truncated_stacks > 0 {
        problems.push(format!("{} cut short", counted(sums.truncated_stacks, "stack")));
    }
    if sums.unresolved_frames > 0 {
        problems.push(format!("{} without a name", counted(sums.unresolved_frames, "frame")));
    }
    if sums.peak_error_bytes > 0 {
        problems.push(format!("the peak is exact to {}", bytes(sums.peak_error_bytes)));
    }
    if !profile.untracked.is_empty() {
        problems.push(format!("{} not tracked", counted(profile.untracked.len() as u64, "program")));
    }
    if !profile.warnings.is_empty() {
        problems.push(counted(profile.warnings.len() as u64, "remark"));
    }
    problems
}

/// The lost events in words, for the end of a recording.
pub(crate) fn lost(profile: &Profile, sums: &Sums) -> String {
    match sums.lost_events {
        0 if profile.state == State::Cut => "unknown: the capture is cut or damaged".to_owned(),
        0 => "0".to_owned(),
        lost => {
            let all = sums.allocations.saturating_add(sums.frees.unwrap_or(0)).saturating_add(lost);
            format!("{} ({})", count(lost), percent(lost, all))
        }
    }
}
