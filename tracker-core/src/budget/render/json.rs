//! `memtrack.check/1`.

use std::io;

use serde::{Serialize, Serializer};

use super::{Format, Judged};
use crate::budget::evaluate::{Missing, Outcome, Verdict};
use crate::report::escaping;
use crate::report::profile::{Profile, StackId};
use crate::report::sums::Sums;
use crate::report::{RowsJson, StackJson};

pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        escaping::to_writer(&mut *out, judged.verdict)?;
        out.write_all(b"\n")
    }
}

#[derive(Serialize)]
struct ChangeJson<'p> {
    before: u64,
    now: u64,
    stack: StackJson<'p>,
}

#[derive(Serialize)]
struct BudgetJson<'v, 'p> {
    budget: &'static str,
    rule: &'v str,
    origin: String,
    level: &'static str,
    limit: &'v str,
    allowed: u64,
    measured: Option<u64>,
    baseline: Option<u64>,
    suppressed: u64,
    /// Whether the limit is kept; one whose level is `warn` fails nothing.
    passed: bool,
    /// Which process or test was judged, where the rule is about several.
    subject: Option<&'v str>,
    /// Why there is no number.
    note: Option<&'static str>,
    worst: Option<RowsJson<'v, 'p>>,
    changes: Vec<ChangeJson<'p>>,
}

fn stack(profile: &Profile, id: StackId) -> StackJson<'_> {
    StackJson(profile, profile.stacks.get(id.0 as usize))
}

impl<'v, 'p> BudgetJson<'v, 'p> {
    fn new(verdict: &'v Verdict<'p, '_>, outcome: &'v Outcome<'_>) -> Self {
        let changes = outcome.changes.iter().filter_map(|change| {
            let profile = verdict.profile(outcome)?;
            Some(ChangeJson { before: change.before, now: change.now, stack: stack(profile, change.stack) })
        });
        Self {
            budget: outcome.limit.measure.name(),
            rule: &outcome.rule.name,
            origin: outcome.rule.origin.to_string(),
            level: outcome.rule.level.name(),
            limit: &outcome.limit.text,
            allowed: outcome.allowed,
            measured: outcome.measured(),
            baseline: outcome.baseline,
            suppressed: outcome.suppressed,
            passed: outcome.kept(),
            subject: outcome.subject.as_deref(),
            note: outcome.found.err().map(Missing::text),
            worst: verdict.runs.get(outcome.run).map(|run| RowsJson(run, &outcome.worst)),
            changes: changes.collect(),
        }
    }
}

impl Serialize for Verdict<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'v, 'p> {
            schema: &'static str,
            /// Of the worst recording.
            state: &'static str,
            passed: bool,
            /// How many recordings were judged; the sums are the first one's.
            runs: usize,
            #[serde(flatten)]
            sums: Option<Sums>,
            budgets: Vec<BudgetJson<'v, 'p>>,
        }
        let partial = self.runs.iter().map(|run| run.profile().state).find(|state| state.name() != "complete");
        let json = Json {
            schema: "memtrack.check/1",
            state: partial.map_or("complete", |state| state.name()),
            passed: self.passed(),
            runs: self.runs.len(),
            sums: self.runs.first().map(Sums::of),
            budgets: self.outcomes.iter().map(|outcome| BudgetJson::new(self, outcome)).collect(),
        };
        json.serialize(serializer)
    }
}
