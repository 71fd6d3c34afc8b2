//! Judging: measures each rule's scope in one or several recordings of a program and compares that with its limits.

use std::collections::BTreeMap;

use super::baseline::{Baseline, BaselineError, Change, changes};
use super::growth::growth;
use super::limit::{Allowed, Limit};
use super::measure::{Measure, Unit};
use super::rule::{After, Budget, Level, Rule, Scope};
use super::subject::{Subject, subjects};
use crate::report::filter::Selection;
use crate::report::metric::Metric;
use crate::report::profile::{Profile, State};
use crate::report::rows::{Entry, Limits, Order, Report};
use crate::report::span::Asked;
use crate::report::sums::Sums;
use crate::report::suppress::Applied;

/// Why there is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Nothing in the capture is what the rule is about: it is kept.
    Nothing,
    /// It cannot be known from this capture: the limit is not kept.
    Unknown(&'static str),
}

impl Missing {
    /// In words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Nothing => "nothing in the capture is what the rule is about",
            Self::Unknown(why) => why,
        }
    }
}

/// A recording, and which of its leaks are set apart.
#[derive(Debug, Clone)]
pub struct Run<'p, 's> {
    pub selection: Selection<'p>,
    pub suppressed: Applied<'s>,
}

/// A scope, measured.
pub(super) struct Measured<'p> {
    pub(super) found: Result<u64, Missing>,
    /// Number of the recording that the number is of.
    run: usize,
    /// What in it the number is of.
    subject: Option<Subject<'p>>,
    /// Part of a leak that suppressions set apart.
    suppressed: u64,
}

/// How one limit fared.
#[derive(Debug, Clone)]
pub struct Outcome<'b> {
    pub rule: &'b Rule,
    pub limit: &'b Limit,
    /// The number found.
    pub found: Result<u64, Missing>,
    /// The number allowed, where the found one can be compared with it.
    pub allowed: u64,
    /// The baseline's number, if the limit is relative to one.
    pub baseline: Option<u64>,
    /// Part of a leak that suppressions set apart; not in `found`.
    pub suppressed: u64,
    /// Number of the recording that was judged: the one with the least.
    pub run: usize,
    /// What in it was judged, where the rule is about several: the one with the most.
    pub subject: Option<String>,
    /// The largest contributors, when the limit is broken.
    pub worst: Vec<Entry>,
    /// What grew most since the baseline, when the limit is broken.
    pub changes: Vec<Change>,
}

impl Outcome<'_> {
    /// The number found.
    pub fn measured(&self) -> Option<u64> {
        self.found.ok()
    }

    /// Whether the limit is kept.
    pub fn kept(&self) -> bool {
        match self.found {
            Ok(found) => found <= self.allowed,
            Err(Missing::Nothing) => true,
            Err(Missing::Unknown(_)) => false,
        }
    }

    /// Whether the judgement does not fail for it.
    pub fn passed(&self) -> bool {
        self.kept() || self.rule.level == Level::Warn
    }

    /// What is limited, in a line of a report.
    pub fn title(&self) -> String {
        let measure = self.limit.measure.name();
        if self.rule.name == super::rule::PROCESS {
            measure.to_owned()
        } else {
            format!("{}: {measure}", self.rule.name)
        }
    }
}

/// All limits judged.
#[derive(Debug, Clone)]
pub struct Verdict<'p, 'b> {
    /// The recordings.
    pub runs: Vec<Selection<'p>>,
    /// In the order of the rules and their limits.
    pub outcomes: Vec<Outcome<'b>>,
}

impl<'p> Verdict<'p, '_> {
    /// Whether nothing fails.
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(Outcome::passed)
    }

    /// The capture that an outcome's stacks are of.
    pub fn profile(&self, outcome: &Outcome<'_>) -> Option<&'p Profile> {
        self.runs.get(outcome.run).map(Selection::profile)
    }

    /// Whether a capture is not the whole story, so that keeping a limit proves nothing.
    pub fn is_partial(&self) -> bool {
        self.runs.iter().any(|run| run.profile().state != State::Complete)
    }
}

/// Baselines by the names that rules have for them.
pub type Baselines = BTreeMap<String, Baseline>;

/// Judges recordings of one program, at least one. A broken limit comes with its `worst` largest contributors.
///
/// # Errors
/// A limit is relative to a baseline that is not there, or has no such number.
pub fn evaluate<'p, 'b>(
    runs: &[Run<'p, '_>],
    budget: &'b Budget,
    baselines: &Baselines,
    worst: usize,
) -> Result<Verdict<'p, 'b>, BaselineError> {
    let mut outcomes = Vec::new();
    for rule in &budget.rules {
        let baseline = rule.baseline.as_ref().and_then(|path| baselines.get(path));
        for limit in &rule.limits {
            outcomes.push(judge(runs, (rule, limit), baseline, worst)?);
        }
    }
    Ok(Verdict { runs: runs.iter().map(|run| run.selection.clone()).collect(), outcomes })
}

fn judge<'b>(
    runs: &[Run<'_, '_>],
    (rule, limit): (&'b Rule, &'b Limit),
    baseline: Option<&Baseline>,
    worst: usize,
) -> Result<Outcome<'b>, BaselineError> {
    let Measured { found, run, subject, suppressed } = measure(runs, &rule.scope, limit.measure);
    let millionths =
        |of: u64, part: u64| u64::try_from(u128::from(of) * u128::from(part) / 1_000_000).unwrap_or(u64::MAX);
    // What does not occur needs no number to be compared with.
    let none = || BaselineError::NoNumber {
        origin: rule.origin.to_string(),
        baseline: baseline.and(rule.baseline.clone()),
        rule: rule.name.clone(),
        measure: limit.measure.name(),
    };
    let before = match limit.allowed.is_relative() && found.is_ok() {
        false => None,
        true => Some(baseline.and_then(|of| of.number(&rule.name, limit.measure)).ok_or_else(none)?),
    };
    let allowed = match limit.allowed {
        Allowed::Number(number) => number,
        Allowed::Share(part) => {
            let whole = subject.as_ref().zip(limit.measure.whole());
            whole.map_or(0, |(subject, whole)| millionths(subject.selection.total(whole), part))
        }
        Allowed::More(number) => before.unwrap_or_default().saturating_add(number),
        Allowed::MoreShare(part) => {
            let before = before.unwrap_or_default();
            before.saturating_add(millionths(before, part))
        }
    };
    let mut outcome = Outcome {
        rule,
        limit,
        found,
        allowed,
        baseline: before,
        suppressed,
        run,
        subject: subject.as_ref().and_then(|subject| subject.name.clone()),
        worst: Vec::new(),
        changes: Vec::new(),
    };
    if let (false, Ok(_), Some(subject)) = (outcome.kept(), found, subject) {
        let suppressed = runs.get(run).map(|run| &run.suppressed);
        let report = suppressed.and_then(|suppressed| report(&subject.selection, limit.measure, suppressed, worst));
        outcome.worst = report.map_or_else(Vec::new, |report| report.entries);
        if rule.scope.per_stack {
            outcome.worst.retain(|entry| of_entry(limit.measure, entry) > allowed);
        }
        if let Some(baseline) = baseline {
            outcome.changes = changes(&subject.selection, baseline, limit.measure, worst);
        }
    }
    Ok(outcome)
}

/// The least of several recordings; in each the largest of its subjects.
pub(super) fn measure<'p>(runs: &[Run<'p, '_>], scope: &Scope, measure: Measure) -> Measured<'p> {
    let mut least: Option<Measured<'p>> = None;
    for (run, Run { selection: whole, suppressed: apart }) in runs.iter().enumerate() {
        let mut most = Measured { found: Err(Missing::Nothing), run, subject: None, suppressed: 0 };
        for subject in subjects(scope, whole) {
            let (found, suppressed) = number(&subject.selection, scope, measure, apart);
            // What cannot be known is worse than any number.
            let rank = |found: Result<u64, Missing>| match found {
                Err(Missing::Nothing) => (0, 0),
                Ok(number) => (1, number),
                Err(Missing::Unknown(_)) => (2, 0),
            };
            if rank(found) > rank(most.found) {
                most = Measured { found, run, subject: Some(subject), suppressed };
            }
        }
        let less = |least: &Measured<'_>| match (most.found, least.found) {
            (Ok(now), Ok(before)) => now < before,
            (now, before) => now.is_ok() && before.is_err(),
        };
        if least.as_ref().is_none_or(less) {
            least = Some(most);
        }
    }
    least.unwrap_or(Measured { found: Err(Missing::Nothing), run: 0, subject: None, suppressed: 0 })
}

fn report<'p>(
    selection: &Selection<'p>,
    measure: Measure,
    suppressed: &Applied<'_>,
    count: usize,
) -> Option<Report<'p>> {
    let order = match measure {
        Measure::Largest => Order::Largest,
        _ if measure.unit() == Unit::Bytes => Order::Bytes,
        _ => Order::Blocks,
    };
    let limits = Limits { count: Some(count), order, ..Limits::default() };
    measure.kind().map(|kind| Report::new(selection.clone(), kind, &limits, suppressed))
}

/// A stack's own number.
fn of_entry(measure: Measure, entry: &Entry) -> u64 {
    match measure.unit() {
        Unit::Bytes if measure == Measure::Largest => entry.largest_bytes,
        Unit::Bytes => entry.bytes,
        Unit::Share => ratio(entry.blocks, entry.allocations),
        Unit::Count | Unit::Rate => entry.blocks,
    }
}

fn ratio(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 1_000_000 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

/// A number, and what of a leak was set apart.
fn number(
    selection: &Selection<'_>,
    scope: &Scope,
    measure: Measure,
    apart: &Applied<'_>,
) -> (Result<u64, Missing>, u64) {
    if scope.selects_stacks() && selection.rows().is_empty() {
        return (Err(Missing::Nothing), 0);
    }
    let is_leak = matches!(measure, Measure::Leaked | Measure::LeakedBlocks);
    let mut suppressed = 0;
    let leaks = if is_leak || scope.per_stack {
        let count = if scope.per_stack { usize::MAX } else { 0 };
        report(selection, measure, apart, count)
    } else {
        None
    };
    if let Some(report) = leaks.as_ref().filter(|_| is_leak) {
        let sum = report.suppressed_sum();
        suppressed = if measure == Measure::Leaked { sum.bytes } else { sum.blocks };
    }
    if scope.per_stack {
        let entries = leaks.iter().flat_map(|report| &report.entries);
        return (Ok(entries.map(|entry| of_entry(measure, entry)).max().unwrap_or(0)), suppressed);
    }
    let sums = Sums::of(selection);
    let found = match measure {
        Measure::Peak => Ok(sums.peak_bytes),
        Measure::PeakBlocks => Ok(sums.peak_blocks),
        // Even an idle process is resident somewhere: 0 means that no sample was taken.
        Measure::Rss => {
            sums.peak_rss_bytes.filter(|&bytes| bytes > 0).ok_or(Missing::Unknown("the capture has no such number"))
        }
        Measure::Allocs => Ok(sums.allocations),
        Measure::AllocBytes => Ok(sums.allocated_bytes),
        Measure::Temporary => Ok(sums.temporary_allocations),
        Measure::TemporaryRatio => Ok(ratio(sums.temporary_allocations, selection.total(Metric::Allocations))),
        Measure::Leaked => Ok(leaks.map_or(0, |report| report.sum.bytes)),
        Measure::LeakedBlocks => Ok(leaks.map_or(0, |report| report.sum.blocks)),
        Measure::Largest => Ok(selection.rows().iter().map(|row| row.largest_bytes).max().unwrap_or(0)),
        Measure::Growth => grown(selection, scope),
    };
    (found, suppressed)
}

fn grown(selection: &Selection<'_>, scope: &Scope) -> Result<u64, Missing> {
    if selection.is_narrowed() {
        return Err(Missing::Unknown("growth is known of whole processes only"));
    }
    let profile = selection.profile();
    let after = match &scope.after {
        None => 0,
        Some(After::Moment(moment)) => {
            let asked = Asked { from: Some(*moment), ..Asked::default() };
            let span = asked.resolve(profile).map_err(|_| Missing::Unknown("the program ended before its warm-up"))?;
            span.from_ns
        }
        Some(After::Region(name)) => {
            let region = profile.regions.iter().find(|region| region.name == *name);
            region.ok_or(Missing::Unknown("the capture has no region of that name"))?.end_ns
        }
    };
    let process = selection.process().and_then(|process| process.index.checked_sub(1));
    growth(profile, process, after).map_err(Missing::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::file;
    use crate::report::sketch::{Numbers, Sketch};

    /// Two stacks of 1 and `large` parts, a stack of libc's, and another process.
    fn profile(large: u64) -> Profile {
        let numbers = |n: u64| Numbers {
            allocated: (n * 10, n * 1000),
            leaked: (n, n * 100),
            peak: (n, n * 500),
            temporary: (n * 5, n),
            largest: n * 600,
            ..Numbers::default()
        };
        let libc = Numbers { leaked: (1, 4096), ..Numbers::default() };
        Sketch::new("./app --exact a::big")
            .row("malloc: small main", numbers(1))
            .row("malloc: large main", numbers(large))
            .row("malloc: _IO_file_doallocate!/lib/libc.so.6 main", libc)
            .process("/bin/worker", Vec::new())
            .thread("w")
            .row("malloc: work main!/bin/worker", Numbers { process_peak: Some((7, 7000)), ..Numbers::default() })
            .build()
    }

    /// Rules in the budget file's words → `measured of allowed ok|broken|nothing`, the worst stacks and the changes.
    #[track_caller]
    fn check(rules: &str, runs: &[u64], expected: &str) {
        let budget = file::parse("memtrack.toml", rules).unwrap().unwrap();
        let (profiles, before): (Vec<_>, _) = (runs.iter().map(|large| profile(*large)).collect(), profile(2));
        let run = |profile| Run { selection: Selection::whole(profile), suppressed: Applied::builtin(profile) };
        let baseline = Baseline::of(&[run(&before)], &budget);
        let baselines = Baselines::from([("base.json".to_owned(), baseline)]);
        let runs: Vec<_> = profiles.iter().map(run).collect();
        let verdict = evaluate(&runs, &budget, &baselines, 1).unwrap();
        let mut texts = Vec::new();
        for outcome in &verdict.outcomes {
            let name = |id: crate::report::profile::StackId| {
                let profile = verdict.profile(outcome).unwrap();
                profile.frame_name(profile.blamed(&profile.stacks[id.0 as usize]).unwrap()).into_owned()
            };
            let mut text = match outcome.found {
                Ok(found) => format!("{found} of {}", outcome.allowed),
                Err(missing) => missing.text().to_owned(),
            };
            text += if outcome.kept() { " ok" } else { " broken" };
            if !outcome.kept() && outcome.passed() {
                text += " (warning)";
            }
            outcome.subject.iter().for_each(|subject| text += &format!(" in {subject}"));
            outcome.worst.iter().for_each(|entry| text += &format!(" {}", name(entry.stack)));
            outcome.changes.iter().for_each(|c| text += &format!(" {} {}→{}", name(c.stack), c.before, c.now));
            texts.push(text);
        }
        let failed = verdict.outcomes.iter().any(|outcome| !outcome.passed());
        assert_eq!(verdict.passed(), !failed);
        assert_eq!(texts.join("; "), expected, "{rules}");
    }

    #[test]
    fn the_whole_process() {
        let whole = |limit: &str, expected| check(&format!("[budget]\n{limit}"), &[3], expected);
        whole("peak = 2000", "2000 of 2000 ok");
        whole("peak = 1999", "2000 of 1999 broken large");
        whole("leaked = 400", "400 of 400 ok");
        whole("leaked = '9%'", "400 of 360 broken large");
        whole("leaked_blocks = '10%'", "4 of 4 ok");
        whole("temporary = '49.9%'", "20 of 19 broken large");
        whole("temporary_ratio = '49.9%'", "500000 of 499000 broken large");
        whole("temporary_ratio = '50%'", "500000 of 500000 ok");
        whole("allocs = 40", "40 of 40 ok");
        whole("alloc_bytes = '3kB'", "4000 of 3000 broken large");
        whole("largest = 1800", "1800 of 1800 ok");
        whole("largest = '1kB'", "1800 of 1000 broken large");
        whole("rss = '1GiB'", "the capture has no such number broken");
        whole("growth = 0", "the time after the warm-up is too short to tell broken");
        whole("peak = 1\nlevel = 'warn'", "2000 of 1 broken (warning) large");
    }

    #[test]
    fn parts_of_it() {
        let rule = |limit: &str, expected| check(&format!("[[budget.rule]]\n{limit}"), &[3], expected);
        rule("under = 'small'\npeak = 500", "500 of 500 ok");
        rule("under = 'main'\npeak = 1", "2000 of 1 broken large");
        rule("under = 'none'\npeak = 0", "nothing in the capture is what the rule is about ok");
        rule("per = 'stack'\nleaked = 300", "300 of 300 ok");
        rule("per = 'stack'\nleaked = 299", "300 of 299 broken large");
        rule("per = 'stack'\nleaked = 99\nallocs = 9", "30 of 9 broken large; 300 of 99 broken large");
        rule("per = 'stack'\nlargest = 600", "1800 of 600 broken large");
        rule("under = 'small'\nlargest = 600", "600 of 600 ok");
        rule("per = 'stack'\nunder = 'small'\nallocs = 10", "10 of 10 ok");
        rule("per = 'stack'\ntemporary_ratio = '49%'", "500000 of 490000 broken large");
        rule("exe = 'worker'\nallocs = 0", "0 of 0 ok in process 2 (worker)");
        rule("exe = 'worker'\npeak = 1", "7000 of 1 broken in process 2 (worker) work");
        rule("exe = 'nobody'\npeak = 0", "nothing in the capture is what the rule is about ok");
        rule("test = 'a::*'\nallocs = 39", "40 of 39 broken in a::big large");
        rule("test = 'b::*'\nallocs = 0", "nothing in the capture is what the rule is about ok");
    }

    #[test]
    fn the_least_of_several_runs_counts() {
        check("[budget]\npeak = 2000", &[9, 3, 5], "2000 of 2000 ok");
        check("[budget]\npeak = 1000", &[9, 3, 5], "2000 of 1000 broken large");
        check("[[budget.rule]]\nper = 'stack'\nleaked = 299", &[9, 3], "300 of 299 broken large");
    }

    #[test]
    fn against_a_baseline() {
        let rule = |limit: &str, expected| check(&format!("[budget]\nbaseline = 'base.json'\n{limit}"), &[3], expected);
        rule("peak = '+500B'", "2000 of 2000 ok");
        rule("peak = '+499B'", "2000 of 1999 broken large large 1000→1500");
        rule("allocs = '+34%'", "40 of 40 ok");
        rule("allocs = '+33%'", "40 of 39 broken large large 20→30");
        rule("leaked = 0", "400 of 0 broken large large 200→300");
        check(
            "[budget]\nbaseline = 'base.json'\n[[budget.rule]]\nname = 'one'\nunder = 'small'\npeak = '+0%'",
            &[3],
            "500 of 500 ok",
        );
    }

    #[test]
    fn a_baseline_without_the_number_is_an_error() {
        let budget =
            file::parse("memtrack.toml", "[budget]\nbaseline = 'b'\ntemporary_ratio = '+5%'").unwrap().unwrap();
        let now = profile(3);
        let runs = [Run { selection: Selection::whole(&now), suppressed: Applied::default() }];
        let baseline = Baseline::of(&runs, &Budget::default());
        for (baselines, text) in [
            (Baselines::new(), "memtrack.toml:1: temporary_ratio of the rule \"process\" needs a baseline"),
            (
                Baselines::from([("b".to_owned(), baseline)]),
                "memtrack.toml:1: the baseline b has no temporary_ratio of the rule \"process\"",
            ),
        ] {
            let error = evaluate(&runs, &budget, &baselines, 1).unwrap_err();
            assert!(error.to_string().starts_with(text), "{error}");
        }
    }
}
