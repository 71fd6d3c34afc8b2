//! A baseline: what was measured once and committed, small enough to be read in a review.
//!
//! The numbers of each rule, of the whole process in any case, and of the stacks that matter most, so that a later
//! failure can say what changed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::evaluate::{Run, measure};
use super::fingerprint::{fingerprint, without_cargo_hash};
use super::measure::Measure;
use super::rule::{Budget, PROCESS, Scope};
use crate::report::filter::Selection;
use crate::report::metric::Metric;
use crate::report::name::{UNKNOWN, base_name};
use crate::report::profile::{Profile, StackId};

const SCHEMA: &str = "memtrack.baseline/1";
/// So many stacks of each kind of number are kept.
const STACKS: usize = 50;
/// The numbers of stacks.
const OF_STACKS: [Metric; 4] = [Metric::Peak, Metric::Leaked, Metric::Allocations, Metric::Temporary];

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    schema: String,
    /// What ran, by [`program_name`].
    pub program: String,
    /// By rule, by measure.
    budgets: BTreeMap<String, BTreeMap<String, u64>>,
    /// Whether smaller stacks were left out.
    smaller_stacks: bool,
    stacks: Vec<StackNumbers>,
}

/// One stack, wherever it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StackNumbers {
    stack: String,
    /// For people: the function that is blamed, and its file's name.
    function: String,
    file: String,
    peak: u64,
    leaked: u64,
    allocs: u64,
    temporary: u64,
}

/// A file that is no baseline, or one of something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaselineError {
    /// It is no JSON of this shape.
    Unreadable { line: usize, reason: String },
    /// It is another kind of file, or from another version of memtrack.
    Schema(String),
    /// It is of another program.
    Program { of: String, now: String },
    /// A limit, written there, is relative to it, and it has no such number, as of a rule that is newer; or there is none.
    NoNumber { origin: String, baseline: Option<String>, rule: String, measure: &'static str },
}

impl fmt::Display for BaselineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line, reason } => write!(f, "line {line}: this is no baseline: {reason}"),
            Self::Schema(found) => {
                write!(f, "has schema {found:?}, not {SCHEMA:?}; write it anew with `memtrack baseline save`")
            }
            Self::Program { of, now } => {
                write!(
                    f,
                    "is a baseline of {of:?}, and this is {now:?}; name another, or use %n for the program's name"
                )
            }
            Self::NoNumber { origin, baseline: Some(path), rule, measure } => write!(
                f,
                "{origin}: the baseline {path} has no {measure} of the rule {rule:?}; write it anew with `memtrack baseline save`"
            ),
            Self::NoNumber { origin, baseline: None, rule, measure } => {
                write!(f, "{origin}: {measure} of the rule {rule:?} needs a baseline: give --baseline FILE")
            }
        }
    }
}

impl std::error::Error for BaselineError {}

impl Baseline {
    /// Measures captures of the same program: the whole process, and each rule of `budget`.
    pub fn of(runs: &[Run<'_, '_>], budget: &Budget) -> Self {
        let mut budgets: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        let mut keep = |name: &str, scope: &Scope, measured: Measure| {
            let found = measure(runs, scope, measured).found.ok();
            if let Some(number) = found {
                budgets.entry(name.to_owned()).or_default().insert(measured.name().to_owned(), number);
            }
        };
        let whole = Scope::default();
        Measure::KEPT.into_iter().for_each(|measure| keep(PROCESS, &whole, measure));
        for rule in &budget.rules {
            rule.limits.iter().for_each(|limit| keep(&rule.name, &rule.scope, limit.measure));
        }
        let (stacks, smaller_stacks) = runs.first().map_or((Vec::new(), false), |run| largest(&run.selection));
        let program = runs.first().map_or_else(String::new, |run| program_name(run.selection.profile()));
        Self { schema: SCHEMA.to_owned(), program, budgets, smaller_stacks, stacks }
    }

    /// Reads a baseline file.
    ///
    /// # Errors
    /// It is none, or of another schema.
    pub fn parse(text: &str) -> Result<Self, BaselineError> {
        #[derive(Deserialize)]
        struct Any {
            schema: Option<String>,
        }
        let unreadable =
            |error: serde_json::Error| BaselineError::Unreadable { line: error.line(), reason: error.to_string() };
        let any: Any = serde_json::from_str(text).map_err(unreadable)?;
        match any.schema {
            Some(schema) if schema == SCHEMA => serde_json::from_str(text).map_err(unreadable),
            schema => Err(BaselineError::Schema(schema.unwrap_or_default())),
        }
    }

    /// Its file: a line per rule and per stack, in an order of names, so that a change of it is easy to review.
    pub fn to_text(&self) -> String {
        let list = |lines: Vec<String>| {
            if lines.is_empty() { String::new() } else { format!("\n    {}\n  ", lines.join(",\n    ")) }
        };
        let budgets = self.budgets.iter().map(|(name, numbers)| format!("{}: {}", json(name), json(numbers))).collect();
        let stacks = self.stacks.iter().map(json).collect();
        format!(
            "{{\n  \"schema\": {},\n  \"program\": {},\n  \"budgets\": {{{}}},\n  \"smaller_stacks\": {},\n  \"stacks\": [{}]\n}}\n",
            json(&self.schema),
            json(&self.program),
            list(budgets),
            self.smaller_stacks,
            list(stacks),
        )
    }

    /// Whether it is one of this program.
    ///
    /// # Errors
    /// It is not.
    pub fn fits(&self, profile: &Profile) -> Result<(), BaselineError> {
        let now = program_name(profile);
        if self.program == now { Ok(()) } else { Err(BaselineError::Program { of: self.program.clone(), now }) }
    }

    /// A rule's number.
    pub(super) fn number(&self, rule: &str, measure: Measure) -> Option<u64> {
        self.budgets.get(rule)?.get(measure.name()).copied()
    }

    /// A stack's number; `None` when it was not kept, so that it may have been anything small.
    fn of_stack(&self, fingerprint: &str, metric: Metric) -> Option<u64> {
        match self.stacks.iter().find(|stack| stack.stack == fingerprint) {
            Some(stack) => Some(match metric {
                Metric::Peak => stack.peak,
                Metric::Leaked => stack.leaked,
                Metric::Temporary => stack.temporary,
                _ => stack.allocs,
            }),
            None => (!self.smaller_stacks).then_some(0),
        }
    }
}

/// Text and whole numbers become JSON without fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// How much a stack has now and had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// One of those that count as the same.
    pub stack: StackId,
    pub before: u64,
    pub now: u64,
}

/// The stacks of a selection that grew most since the baseline.
pub(super) fn changes(selection: &Selection<'_>, baseline: &Baseline, measure: Measure, most: usize) -> Vec<Change> {
    let metric = match measure {
        Measure::Peak | Measure::PeakBlocks => Metric::Peak,
        Measure::Leaked | Measure::LeakedBlocks => Metric::Leaked,
        Measure::Allocs | Measure::AllocBytes => Metric::Allocations,
        Measure::Temporary | Measure::TemporaryRatio => Metric::Temporary,
        Measure::Rss | Measure::Largest | Measure::Growth => return Vec::new(),
    };
    let now = by_stack(selection).into_iter().filter_map(|(fingerprint, (stack, numbers))| {
        let now = numbers.of(metric);
        let before = baseline.of_stack(&fingerprint, metric)?;
        (now > before).then_some(Change { stack, before, now })
    });
    let mut now: Vec<Change> = now.collect();
    now.sort_by_key(|change| std::cmp::Reverse(change.now - change.before));
    now.truncate(most);
    now
}

#[derive(Debug, Clone, Copy, Default)]
struct Numbers([u64; OF_STACKS.len()]);

impl Numbers {
    fn of(&self, metric: Metric) -> u64 {
        OF_STACKS.iter().zip(self.0).find(|(known, _)| **known == metric).map_or(0, |(_, value)| value)
    }
}

fn by_stack(selection: &Selection<'_>) -> BTreeMap<String, (StackId, Numbers)> {
    let profile = selection.profile();
    let mut names: BTreeMap<StackId, String> = BTreeMap::new();
    let mut found: BTreeMap<String, (StackId, Numbers)> = BTreeMap::new();
    for row in selection.rows() {
        let Some(stack) = profile.stacks.get(row.stack.0 as usize) else { continue };
        let name = names.entry(row.stack).or_insert_with(|| fingerprint(profile, stack)).clone();
        let (_, numbers) = found.entry(name).or_insert((row.stack, Numbers::default()));
        for (sum, metric) in numbers.0.iter_mut().zip(OF_STACKS) {
            *sum = sum.saturating_add(selection.value(metric, row));
        }
    }
    found
}

/// The largest stacks, by fingerprint, and whether there are others.
fn largest(selection: &Selection<'_>) -> (Vec<StackNumbers>, bool) {
    let profile = selection.profile();
    let all: Vec<(String, (StackId, Numbers))> = by_stack(selection).into_iter().collect();
    let mut kept = vec![false; all.len()];
    for metric in OF_STACKS {
        let mut order: Vec<usize> = (0..all.len()).collect();
        let value = |at: &usize| all.get(*at).map_or(0, |(_, (_, numbers))| numbers.of(metric));
        order.sort_by_key(|at| std::cmp::Reverse(value(at)));
        for at in order.into_iter().take(STACKS).filter(|at| value(at) > 0) {
            if let Some(kept) = kept.get_mut(at) {
                *kept = true;
            }
        }
    }
    let left_out = kept.iter().zip(&all).any(|(kept, (_, (_, numbers)))| !kept && numbers.0.iter().any(|n| *n > 0));
    let stacks = all.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|((stack, (id, numbers)), _)| {
        let blamed = profile.stacks.get(id.0 as usize).and_then(|stack| profile.blamed(stack));
        StackNumbers {
            stack,
            function: blamed.map_or_else(|| UNKNOWN.to_owned(), |frame| profile.frame_name(frame).into_owned()),
            file: blamed.and_then(|frame| frame.file.as_deref()).map_or_else(String::new, |f| base_name(f).to_owned()),
            peak: numbers.of(Metric::Peak),
            leaked: numbers.of(Metric::Leaked),
            allocs: numbers.of(Metric::Allocations),
            temporary: numbers.of(Metric::Temporary),
        }
    });
    (stacks.collect(), left_out)
}

/// What a program is called whichever build of it ran: its file's name without the hash that cargo puts behind it; of
/// a Python program also its script or module, whatever the version of the interpreter.
pub fn program_name(profile: &Profile) -> String {
    let mut words = profile.session.words().into_iter();
    let first = words.next().unwrap_or_default();
    let name = without_cargo_hash(base_name(&first));
    let version = name.strip_prefix("python");
    if version.is_none_or(|version| !version.bytes().all(|b| b.is_ascii_digit() || b == b'.')) {
        return name.to_owned();
    }
    let script = loop {
        match words.next() {
            Some(word) if word == "-m" => break words.next(),
            Some(word) if word == "-X" || word == "-W" => drop(words.next()),
            Some(word) if word.starts_with('-') => {}
            word => break word,
        }
    };
    script.map_or_else(|| "python".to_owned(), |script| format!("python {}", base_name(&script)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers as Row, Sketch};
    use crate::report::suppress::Applied;

    fn baseline(profile: &Profile) -> Baseline {
        let run = Run { selection: Selection::whole(profile), suppressed: Applied::default() };
        Baseline::of(&[run], &Budget::default())
    }

    fn profile(large: u64) -> Profile {
        let row = |n: u64| Row { allocated: (n, n * 10), leaked: (n / 10, n), peak: (n, n * 10), ..Row::default() };
        Sketch::new("./app-0123456789abcdef -v")
            .row("malloc: small@src/a.c:3 main", row(10))
            .row("malloc: large@src/a.c:9 main", row(large))
            .row("malloc: nothing main", row(0))
            .build()
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let profile = profile(20);
        let baseline = baseline(&profile);
        let text = baseline.to_text();
        assert_eq!(Baseline::parse(&text).unwrap(), baseline);
        assert_eq!(text.lines().count(), 12, "{text}");
        assert!(text.contains("\"program\": \"app\""), "{text}");
        assert!(
            text.contains(
                "\"process\": {\"alloc_bytes\":300,\"allocs\":30,\"largest\":0,\"leaked\":30,\"leaked_blocks\":3,\"peak\":300,"
            ),
            "{text}"
        );
        assert!(
            text.contains("\"function\":\"large\",\"file\":\"a.c\",\"peak\":200,\"leaked\":20,\"allocs\":20,"),
            "{text}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn what_grew_is_found() {
        let (before, now) = (profile(20), profile(50));
        let baseline = baseline(&before);
        let now = Selection::whole(&now);
        let found = changes(&now, &baseline, Measure::Peak, 5);
        assert_eq!(found, [Change { stack: StackId(1), before: 200, now: 500 }]);
        assert_eq!(changes(&now, &baseline, Measure::Growth, 5), []);
    }

    #[test]
    fn others_are_refused() {
        for (text, message) in [
            ("{\n\"schema\": 1}", "line 2: this is no baseline: "),
            ("{}", "has schema \"\", not \"memtrack.baseline/1\""),
            ("{\"schema\": \"memtrack.baseline/2\"}", "has schema \"memtrack.baseline/2\""),
            ("{\"schema\": \"memtrack.baseline/1\"}", "line 1: this is no baseline: missing field"),
        ] {
            let error = Baseline::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
        let (ours, other) = (profile(1), Sketch::new("other").build());
        let baseline = baseline(&ours);
        assert_eq!(baseline.fits(&ours), Ok(()));
        let error = baseline.fits(&other).unwrap_err().to_string();
        assert!(error.contains("is a baseline of \"app\", and this is \"other\""), "{error}");
    }

    #[test]
    fn programs_have_one_name() {
        for (command, name) in [
            ("/a/b/app-0123456789abcdef x", "app"),
            ("python3.11 -X dev -m pytest -q", "python pytest"),
            ("python3 -m pytest -q", "python pytest"),
            ("/usr/bin/python tools/run.py", "python run.py"),
            ("python3", "python"),
            ("pythonista x", "pythonista"),
        ] {
            assert_eq!(program_name(&Sketch::new(command).build()), name, "{command}");
        }
    }
}
