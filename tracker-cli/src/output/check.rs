//! `memtrack check` as text: a line per budget, the worst stacks below a broken one.

use tracker_core::report::budget::{Outcome, Verdict};
use tracker_core::report::name::UNKNOWN;
use tracker_core::report::profile::{Profile, State};
use tracker_core::report::rows::{Entry, Kind};
use tracker_core::report::sums::Sums;

use super::look::{Look, columns};
use super::report::noun;
use super::stack::{name, name_and_place, place};
use super::units::{bytes, count};
use super::{head, trust};

/// The judgement.
pub(crate) fn text(look: &Look, verdict: &Verdict<'_, '_>) -> String {
    let profile = verdict.selection.profile();
    let mut text = head::text(look, &verdict.selection);
    text.push('\n');
    text += &budgets(look, verdict);
    text.push('\n');
    text + &trust::text(look, profile, &Sums::of(&verdict.selection))
}

/// The lines about the budgets alone.
pub(crate) fn budgets(look: &Look, verdict: &Verdict<'_, '_>) -> String {
    let profile = verdict.selection.profile();
    let number = |outcome: &Outcome<'_>, n: u64| {
        if outcome.limit.what.is_bytes() { bytes(n) } else { count(n) }
    };
    let measured =
        |outcome: &Outcome<'_>| outcome.measured.map_or_else(|| "unknown".to_owned(), |n| number(outcome, n));
    let cells: Vec<[String; 3]> =
        verdict.outcomes.iter().map(|o| [o.limit.what.name().to_owned(), measured(o), allowed(o, &number)]).collect();
    let width =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|cell| columns(cell)).max().unwrap_or(0);
    let (name, found, limit) = (width(0), width(1), width(2));
    let mut text = String::new();
    for (outcome, [what, measured, allowed]) in verdict.outcomes.iter().zip(&cells) {
        let mark = match (outcome.passed(), outcome.measured) {
            (true, _) => look.green("ok"),
            (false, Some(measured)) => {
                let over = measured.saturating_sub(outcome.allowed);
                look.red(&format!("FAILED by {}", number(outcome, over)))
            }
            (false, None) => look.red("FAILED: the capture has no such number"),
        };
        text += &format!("{what:<name$}  {measured:>found$}  of {allowed:<limit$}  {mark}\n");
        if outcome.suppressed > 0 {
            let apart = number(outcome, outcome.suppressed);
            text += &look.dim(&format!("{:name$}  {apart} suppressed\n", ""));
        }
        if let Some(kind) = outcome.limit.what.kind() {
            for entry in &outcome.worst {
                text += &worst(look, profile, kind, entry);
            }
        }
    }
    text
}

fn allowed(outcome: &Outcome<'_>, number: &impl Fn(&Outcome<'_>, u64) -> String) -> String {
    let allowed = number(outcome, outcome.allowed);
    match outcome.limit.text() {
        text if text.ends_with('%') => format!("{allowed} ({text})"),
        _ => allowed,
    }
}

fn worst(look: &Look, profile: &Profile, kind: Kind, entry: &Entry) -> String {
    let stack = profile.stacks.get(entry.stack.0 as usize);
    let frame = stack.and_then(|stack| profile.blamed(stack));
    let numbers = format!("    {:>10}  {:>14}  ", bytes(entry.bytes), noun(kind, entry.blocks));
    let room = look.width.saturating_sub(columns(&numbers));
    let what = match frame {
        Some(frame) => name_and_place(look, &name(profile, frame), &place(profile, frame), room),
        None => UNKNOWN.to_owned(),
    };
    format!("{numbers}{what}\n")
}

/// Why keeping a budget proves nothing with this capture; `None` when it does.
pub(crate) fn partial(profile: &Profile) -> Option<&'static str> {
    match profile.state {
        State::Complete if profile.is_blank() => Some("holds nothing, because the program could not be recorded"),
        State::Complete => None,
        State::Running => Some("is still being recorded"),
        State::Cut => Some("is cut or damaged"),
    }
}
