//! What a person should know before trusting the numbers, in words.

use crate::capture::facts::Facts;
use crate::capture::reader::Damage;
use crate::format::python::InterpreterState;
use crate::replay::Outcome;
use crate::report::profile::State;

/// Whether the capture is whole. `held`: its collector still has the file.
pub(super) fn state(facts: &Facts, damage: &Damage, outcome: &Outcome, held: bool) -> State {
    let damaged = damage.holes > 0
        || damage.metas > 0
        || !outcome.missing.is_none()
        || outcome.state.lost_definitions > 0
        || facts.session.is_none();
    match (&facts.end, &facts.stopped) {
        (None, _) if held => State::Running,
        (Some(_), None) if !damaged && damage.tail_bytes == 0 => State::Complete,
        _ => State::Cut,
    }
}

/// A clock that goes back by less, in nanoseconds, changes no picture.
const NOTED_CLOCK_BACK: u64 = 1_000_000_000;

/// The remarks, most general first. `cut_stacks`: stacks whose middle was left out to save memory;
/// `unmerged`: whose Python frames were.
pub(super) fn remarks(
    facts: &Facts,
    damage: &Damage,
    outcome: &Outcome,
    state: State,
    (cut_stacks, unmerged): (usize, usize),
) -> Vec<String> {
    let mut remarks = facts.warnings.clone();
    let mut say = |condition: bool, text: String| {
        if condition {
            remarks.push(text);
        }
    };
    let missing = &outcome.missing;
    if let Some((time, reason, _)) = &facts.stopped {
        let seconds = *time as f64 / 1e9;
        say(
            true,
            format!(
                "recording stopped {seconds:.3} s after the start ({reason}): what came later is missing, and blocks \
                 freed later count as leaked"
            ),
        );
    }
    say(
        facts.end.is_none() && facts.stopped.is_none() && state == State::Cut,
        "the capture has no end: its collector was killed, or the file was cut".to_owned(),
    );
    say(
        damage.tail_bytes > 0 && state == State::Cut,
        format!("the file ends inside a block: its last {} bytes are not used", damage.tail_bytes),
    );
    say(
        damage.holes > 0,
        format!("{} bytes in {} of the file are damaged", damage.hole_bytes, count(u64::from(damage.holes), "place")),
    );
    say(damage.metas > 0, format!("{} with metadata are damaged", count(damage.metas, "block")));
    say(facts.session.is_none(), "the description of the recorded program is missing".to_owned());
    say(
        missing.blocks > 0,
        format!(
            "{} of events with {} cannot be read",
            count(missing.blocks, "block"),
            count(missing.records, "record")
        ),
    );
    say(missing.gaps > 0, format!("events are missing in {} of the threads' streams", count(missing.gaps, "place")));
    say(missing.broken > 0, format!("{} of events end with bytes that are no record", count(missing.broken, "block")));
    let jumps = outcome.state.lost_definitions;
    say(jumps > 0, format!("records are missing in {} where stacks are defined", count(jumps, "place")));
    let lost = outcome.state.lost_stacks;
    say(
        lost > 0,
        format!("the stacks of {} are unknown, because their definition is missing", count(lost, "allocation")),
    );
    say(
        outcome.state.stacks_full,
        "there are more stacks than a capture of this size can hold: some are unknown".to_owned(),
    );
    let back = outcome.state.clock_back;
    say(
        back >= NOTED_CLOCK_BACK,
        format!(
            "the clock went back by {:.0} s in the recording (was the program moved to another machine?): times around \
             that are wrong, numbers are not",
            back as f64 / 1e9
        ),
    );
    say(
        cut_stacks > 0,
        format!("the middle of {} was left out to save memory", count(cut_stacks as u64, "very deep stack")),
    );
    say(unmerged > 0, format!("the Python frames of {} were left out to save memory", count(unmerged as u64, "stack")));
    for &(state, version) in &outcome.state.python.interpreters {
        let (known, python) = (InterpreterState::from_number(state), python_version(version));
        let text = known.map_or("a later memtrack knows why", InterpreterState::text);
        say(known != Some(InterpreterState::Recorded), format!("the stacks of {python} are native only: {text}"));
    }
    let ignored = outcome.state.heap.regions.ignored;
    say(
        ignored > 0,
        format!(
            "{} of regions are not in their numbers: there are too many, or they are too deep",
            count(ignored, "part")
        ),
    );
    let differences = facts.end.map_or(0, |end| end.2);
    say(differences > 0, format!("the unwinder's self-check found {}", count(differences, "difference")));
    remarks
}

/// A `PY_VERSION_HEX` in words. Zero: older than 3.8. Only its first two parts are known of versions before 3.11.
fn python_version(version: u32) -> String {
    let [major, minor, micro, _] = version.to_be_bytes();
    match (major, minor) {
        (0, _) => "a Python before 3.8".to_owned(),
        (3, ..11) => format!("Python {major}.{minor}"),
        _ => format!("Python {major}.{minor}.{micro}"),
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
