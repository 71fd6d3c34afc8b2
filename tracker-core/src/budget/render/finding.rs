//! What all formats tell of a broken limit: sentences, and the places in the source that it is about.

use crate::budget::evaluate::{Missing, Outcome, Verdict};
use crate::budget::fingerprint::fingerprint;
use crate::budget::measure::Measure;
use crate::budget::rule::Level;
use crate::report::name::{UNKNOWN, is_of_package};
use crate::report::profile::{Profile, Stack, StackId};
use crate::report::quantity::{bytes, count};

/// Longest name of a function that results show.
const LONGEST_NAME: usize = 200;

/// A file of the project and a line in it, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) line: u32,
}

/// A stack that a broken limit is about.
#[derive(Debug)]
pub(super) struct Site {
    /// The blamed function.
    pub(super) function: String,
    /// The innermost line of the project from there on.
    pub(super) place: Option<Place>,
    /// What it has to do with the limit.
    pub(super) numbers: String,
    /// The stack's name across builds.
    pub(super) fingerprint: String,
}

impl Site {
    /// In a line.
    pub(super) fn text(&self) -> String {
        match &self.place {
            Some(place) => format!("{} in {} ({}:{})", self.numbers, self.function, place.path, place.line),
            None => format!("{} in {}", self.numbers, self.function),
        }
    }
}

/// A limit that is not kept.
#[derive(Debug)]
pub(super) struct Finding<'v, 'b> {
    pub(super) outcome: &'v Outcome<'b>,
    /// The stacks that grew where a baseline tells, else the largest ones; largest first.
    pub(super) sites: Vec<Site>,
}

impl Finding<'_, '_> {
    /// Whether it fails the judgement.
    pub(super) fn fails(&self) -> bool {
        self.outcome.rule.level == Level::Fail
    }
}

/// The limits that are not kept. `root`: the folder of the project.
pub(super) fn findings<'v, 'b>(verdict: &'v Verdict<'_, 'b>, root: &str) -> Vec<Finding<'v, 'b>> {
    let broken = verdict.outcomes.iter().filter(|outcome| !outcome.kept());
    broken.map(|outcome| Finding { outcome, sites: sites(verdict, outcome, root) }).collect()
}

fn sites(verdict: &Verdict<'_, '_>, outcome: &Outcome<'_>, root: &str) -> Vec<Site> {
    let Some(profile) = verdict.profile(outcome) else { return Vec::new() };
    let site = |id: StackId, numbers: String| {
        let stack = profile.stacks.get(id.0 as usize)?;
        let function = profile.blamed(stack).map_or(UNKNOWN.into(), |frame| profile.frame_name(frame));
        let function = shortened(&function);
        Some(Site { function, place: place(profile, stack, root), numbers, fingerprint: fingerprint(profile, stack) })
    };
    let measure = outcome.limit.measure;
    let changed = outcome.changes.iter().filter_map(|change| {
        let more = measure.show_of_stack(change.now.saturating_sub(change.before));
        let before = match change.before {
            0 => "new".to_owned(),
            before => format!("was {}", measure.show_of_stack(before)),
        };
        site(change.stack, format!("+{more} ({before})"))
    });
    let worst = outcome.worst.iter().filter_map(|entry| {
        if measure == Measure::Largest {
            return site(entry.stack, format!("{} at once", bytes(entry.largest_bytes)));
        }
        let what = match measure {
            Measure::Allocs | Measure::AllocBytes | Measure::Temporary | Measure::TemporaryRatio => "allocation",
            _ => "block",
        };
        let plural = if entry.blocks == 1 { "" } else { "s" };
        site(entry.stack, format!("{} in {} {what}{plural}", bytes(entry.bytes), count(entry.blocks)))
    });
    if outcome.changes.is_empty() { worst.collect() } else { changed.collect() }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or(name)),
        None => name.to_owned(),
    }
}

/// From the blamed frame on outwards, the first line that lies in the project: what a library of others allocates is
/// shown where it was asked to.
fn place(profile: &Profile, stack: &Stack, root: &str) -> Option<Place> {
    let blamed = profile.blamed(stack);
    let frames = stack.frames.iter().filter_map(|&id| profile.frame(id));
    let mut outer = frames.skip_while(|frame| blamed.is_some_and(|blamed| blamed != *frame));
    outer.find_map(|frame| {
        let path = inside(frame.file.as_deref()?, root)?;
        Some(Place { path: path.to_owned(), line: frame.line.filter(|line| *line > 0)? })
    })
}

/// The path as seen from `root`, if it lies there and is no package's: environments often lie in the project.
pub(super) fn inside<'f>(file: &'f str, root: &str) -> Option<&'f str> {
    let path = match file.strip_prefix('/') {
        Some(_) => file.strip_prefix(root.trim_end_matches('/'))?.strip_prefix('/')?,
        None => file.trim_start_matches("./"),
    };
    let outside =
        path.is_empty() || is_of_package(file) || path.starts_with('<') || path.split('/').any(|part| part == "..");
    (!outside).then_some(path)
}

/// What is wrong, in a sentence without names of functions.
pub(super) fn sentence(outcome: &Outcome<'_>) -> String {
    let measure = outcome.limit.measure;
    let what = match &outcome.subject {
        Some(subject) => format!("{} in {subject}", outcome.title()),
        None => outcome.title(),
    };
    match outcome.found {
        Ok(found) => {
            let over = measure.show(found.saturating_sub(outcome.allowed));
            format!("{what} is {} of {} allowed, {over} too much", measure.show(found), allowed(outcome))
        }
        Err(missing) => format!("{what} is unknown: {}", missing.text()),
    }
}

/// The limit, as a number and, where it was written in another way, as that.
pub(super) fn allowed(outcome: &Outcome<'_>) -> String {
    let number = outcome.limit.measure.show(outcome.allowed);
    let is_share = outcome.limit.text.ends_with('%') && outcome.limit.measure.whole().is_some();
    match (outcome.baseline, is_share) {
        (Some(before), _) => format!("{number} ({} {})", outcome.limit.measure.show(before), outcome.limit.text),
        (None, true) => format!("{number} ({})", outcome.limit.text),
        (None, false) => number,
    }
}

/// One word for how a limit fared.
pub(super) fn word(outcome: &Outcome<'_>) -> &'static str {
    match (outcome.found, outcome.kept(), outcome.rule.level) {
        (Err(Missing::Nothing), ..) => "nothing to judge",
        (_, true, _) => "ok",
        (_, false, Level::Fail) => "failed",
        (_, false, Level::Warn) => "warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    #[test]
    fn lines_of_the_project_are_found() {
        for (stack, expected) in [
            ("malloc: read@/src/app/a.c:7 main@/src/app/m.c:9", Some(("a.c", 7))),
            ("malloc: read@/usr/src/lib/a.c:7 main@/src/app/sub/m.c:9", Some(("sub/m.c", 9))),
            ("malloc: strdup!/lib/libc.so.6 read@./a.c:7 main", Some(("a.c", 7))),
            ("malloc: get@/src/app/.venv/lib/site-packages/x.py:7 main@/src/app/m.py:9", Some(("m.py", 9))),
            ("malloc: read@../other/a.c:7 main@/src/application/m.c:9", None),
            ("malloc: read@/src/app/a.c main", None),
            ("malloc:", None),
        ] {
            let profile = Sketch::new("./app").row(stack, Numbers::default()).build();
            let found = place(&profile, &profile.stacks[0], "/src/app");
            let expected = expected.map(|(path, line)| Place { path: path.to_owned(), line });
            assert_eq!(found, expected, "{stack}");
        }
    }
}
