//! `memtrack check` as text: a line per budget; below a broken one what changed, and the worst stacks.

use tracker_core::budget::limit::Allowed;
use tracker_core::budget::{Level, Measure, Missing, Outcome, Verdict};
use tracker_core::report::name::UNKNOWN;
use tracker_core::report::profile::{Profile, StackId, State, Untracked};
use tracker_core::report::sums::Sums;

use super::clean::clean;
use super::look::{Look, columns};
use super::report::noun;
use super::stack::{name, name_and_place, place};
use super::units::{bytes, counted};
use super::{head, trust};

/// Columns that are left of a budget's name, whatever comes beside it.
const NAME_LEAST: usize = 12;

/// The judgement.
pub(crate) fn text(look: &Look, verdict: &Verdict<'_, '_>) -> String {
    let Some(first) = verdict.runs.first() else { return String::new() };
    let mut text = head::text(look, first);
    if verdict.runs.len() > 1 {
        text += &format!("the least of {}\n", counted(verdict.runs.len() as u64, "run"));
    }
    text.push('\n');
    text += &budgets(look, verdict);
    text.push('\n');
    text + &trust::text(look, first.profile(), &Sums::of(first))
}

/// The lines about the budgets alone.
pub(crate) fn budgets(look: &Look, verdict: &Verdict<'_, '_>) -> String {
    let measured = |outcome: &Outcome<'_>| match outcome.found {
        Ok(number) => outcome.limit.measure.show(number),
        Err(Missing::Nothing) => "-".to_owned(),
        Err(Missing::Unknown(_)) => "unknown".to_owned(),
    };
    let title = |outcome: &Outcome<'_>| clean(&outcome.title()).into_owned();
    let cells: Vec<[String; 3]> = verdict.outcomes.iter().map(|o| [title(o), measured(o), allowed(o)]).collect();
    let width =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|cell| columns(cell)).max().unwrap_or(0);
    let (found, limit) = (width(1), width(2));
    let marks = verdict.outcomes.iter().map(|outcome| columns(&mark(outcome))).max().unwrap_or(0);
    let name =
        width(0).min(look.width.saturating_sub(found + limit + marks + "  ".len() * 2 + "  of ".len()).max(NAME_LEAST));
    let mut text = String::new();
    for (outcome, [what, measured, allowed]) in verdict.outcomes.iter().zip(&cells) {
        let (what, mark) = (look.fit(what, name), painted(look, outcome));
        text += &format!("{what:<name$}  {measured:>found$}  of {allowed:<limit$}  {mark}\n");
        if outcome.suppressed > 0 {
            let apart = outcome.limit.measure.show(outcome.suppressed);
            text += &look.dim(&format!("{:name$}  {apart} suppressed\n", ""));
        }
        if let Some(profile) = verdict.profile(outcome).filter(|_| !outcome.kept()) {
            text += &details(look, profile, outcome);
        }
    }
    text
}

fn mark(outcome: &Outcome<'_>) -> String {
    let word = match outcome.rule.level {
        Level::Fail => "FAILED",
        Level::Warn => "WARNING",
    };
    match outcome.found {
        Err(Missing::Nothing) => "nothing to judge".to_owned(),
        Ok(found) if !outcome.kept() => {
            let over = outcome.limit.measure.show(found.saturating_sub(outcome.allowed));
            format!("{word} by {over}")
        }
        Ok(_) => "ok".to_owned(),
        Err(Missing::Unknown(_)) => word.to_owned(),
    }
}

fn painted(look: &Look, outcome: &Outcome<'_>) -> String {
    let mark = mark(outcome);
    match (outcome.found, outcome.kept(), outcome.rule.level) {
        (Err(Missing::Nothing), ..) => look.dim(&mark),
        (_, true, _) => look.green(&mark),
        (_, false, Level::Fail) => look.red(&mark),
        (_, false, Level::Warn) => look.yellow(&mark),
    }
}

/// What is known about a broken limit.
fn details(look: &Look, profile: &Profile, outcome: &Outcome<'_>) -> String {
    let mut text = String::new();
    if let Err(Missing::Unknown(why)) = outcome.found {
        text += &look.dim(&format!("    {why}\n"));
    }
    if let Some(subject) = &outcome.subject {
        text += &look.dim(&format!("    in {}\n", clean(subject)));
    }
    if let Some(kind) = outcome.limit.measure.kind() {
        for entry in &outcome.worst {
            let (size, many) = match outcome.limit.measure {
                Measure::Largest => (entry.largest_bytes, "at once".to_owned()),
                _ => (entry.bytes, noun(kind, entry.blocks)),
            };
            let numbers = format!("    {:>10}  {many:>14}  ", bytes(size));
            text += &line(look, profile, &numbers, entry.stack);
        }
    }
    if !outcome.changes.is_empty() {
        text += &look.dim("    since the baseline:\n");
    }
    for change in &outcome.changes {
        // Of stacks the baseline keeps bytes of what is measured in bytes.
        let number = |n: u64| outcome.limit.measure.show_of_stack(n);
        let more = format!("+{}", number(change.now.saturating_sub(change.before)));
        let numbers = match change.before {
            0 => format!("    {more:>10}  {:>14}  ", "new"),
            before => format!("    {more:>10}  {:>14}  ", format!("was {}", number(before))),
        };
        text += &line(look, profile, &numbers, change.stack);
    }
    text
}

fn line(look: &Look, profile: &Profile, numbers: &str, stack: StackId) -> String {
    let frame = profile.stacks.get(stack.0 as usize).and_then(|stack| profile.blamed(stack));
    let room = look.width.saturating_sub(columns(numbers));
    let what = match frame {
        Some(frame) => name_and_place(look, &name(profile, frame), &place(profile, frame), room),
        None => UNKNOWN.to_owned(),
    };
    format!("{numbers}{what}\n")
}

fn allowed(outcome: &Outcome<'_>) -> String {
    let limit = outcome.limit;
    let allowed = limit.measure.show(outcome.allowed);
    match (limit.allowed, outcome.baseline) {
        (Allowed::Share(_), _) => format!("{allowed} ({})", limit.text),
        (_, Some(before)) => format!("{allowed} ({} {})", limit.measure.show(before), limit.text),
        (Allowed::More(_) | Allowed::MoreShare(_), None) => limit.text.clone(),
        (Allowed::Number(_), None) => allowed,
    }
}

/// Why keeping a budget proves nothing with this capture; `None` when it does.
pub(crate) fn partial(profile: &Profile) -> Option<&'static str> {
    match profile.state {
        State::Complete if profile.is_blank() => Some("holds nothing, because the program could not be recorded"),
        State::Complete if profile.totals.lost_events > 0 => Some("lacks events, which were lost"),
        State::Complete if profile.untracked.iter().any(Untracked::is_unheard) => {
            Some("lacks a program, whose recording never began")
        }
        State::Complete => None,
        State::Running => Some("is still being recorded"),
        State::Cut => Some("is cut or damaged"),
    }
}

#[cfg(test)]
mod tests {
    use tracker_core::report::profile::{Profile, State, Untracked};
    use tracker_core::report::sketch::{Numbers, Sketch};

    use super::partial;

    #[test]
    fn only_a_whole_capture_proves_something() {
        let whole = || Sketch::new("./app").row("malloc: main", Numbers::default()).build();
        let with = |change: &dyn Fn(&mut Profile)| {
            let mut profile = whole();
            change(&mut profile);
            profile
        };
        let untracked = |pid| Untracked { pid, exe: "sudo".to_owned(), reason: "set-uid".to_owned() };
        assert_eq!(partial(&whole()), None);
        assert_eq!(partial(&with(&|profile| profile.untracked.push(untracked(7)))), None);
        for profile in [
            with(&|profile| profile.state = State::Cut),
            with(&|profile| profile.state = State::Running),
            with(&|profile| profile.totals.lost_events = 1),
            with(&|profile| profile.untracked.push(untracked(0))),
        ] {
            assert!(partial(&profile).is_some(), "{:?}", profile.state);
        }
    }
}
