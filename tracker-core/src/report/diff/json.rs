//! `memtrack.diff/1`. Rows, `same` and `hidden` add up to the totals of the metric, capture by capture.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Change, Diff, Entry, Verdict};
use crate::report::StackJson;
use crate::report::filter::Selection;
use crate::report::metric::Metric;

#[derive(Serialize)]
struct ChangeJson<'d> {
    before: &'d [u64],
    after: &'d [u64],
    delta: i64,
    significant: Option<bool>,
}

impl<'d> ChangeJson<'d> {
    fn new(change: &'d Change) -> Self {
        let significant = match change.verdict() {
            Verdict::Significant => Some(true),
            Verdict::Noise => Some(false),
            Verdict::Unknown => None,
        };
        Self { before: &change.before, after: &change.after, delta: change.delta(), significant }
    }
}

/// By the names that metrics have everywhere.
struct TotalsJson<'d>(&'d [(Metric, Change)]);

impl Serialize for TotalsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (metric, change) in self.0 {
            map.serialize_entry(metric.name(), &ChangeJson::new(change))?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct RowJson<'d> {
    #[serde(flatten)]
    change: ChangeJson<'d>,
    stack: StackJson<'d>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack_before: Option<StackJson<'d>>,
}

impl<'d> RowJson<'d> {
    fn new(entry: &'d Entry<'_>) -> Self {
        let (profile, stack) = entry.shown;
        Self {
            change: ChangeJson::new(&entry.change),
            stack: StackJson(profile, Some(stack)),
            stack_before: entry.was.map(|(profile, stack)| StackJson(profile, Some(stack))),
        }
    }
}

#[derive(Serialize)]
struct CaptureJson {
    command: Vec<String>,
    start_unix_ns: u64,
    duration_ns: u64,
}

impl CaptureJson {
    fn new(selection: &Selection<'_>) -> Self {
        let profile = selection.profile();
        Self {
            command: profile.session.words().into_iter().map(Cow::into_owned).collect(),
            start_unix_ns: profile.session.start_unix_ns,
            duration_ns: profile.duration_ns,
        }
    }
}

impl Serialize for Diff<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Sum<'d> {
            stacks: u64,
            before: &'d [u64],
            after: &'d [u64],
        }
        fn sum((stacks, change): &(u64, Change)) -> Sum<'_> {
            Sum { stacks: *stacks, before: &change.before, after: &change.after }
        }
        #[derive(Serialize)]
        struct Renamed<'d> {
            before: &'d str,
            after: &'d str,
        }
        #[derive(Serialize)]
        struct Json<'d> {
            schema: &'static str,
            metric: &'static str,
            before: Vec<CaptureJson>,
            after: Vec<CaptureJson>,
            totals: TotalsJson<'d>,
            same: Sum<'d>,
            /// Of rows that were not asked for.
            #[serde(skip_serializing_if = "Option::is_none")]
            hidden: Option<Sum<'d>>,
            renamed: Vec<Renamed<'d>>,
            rows: Vec<RowJson<'d>>,
        }
        let same = (self.same.len() as u64, self.same_sum());
        let json = Json {
            schema: "memtrack.diff/1",
            metric: self.metric.name(),
            before: self.before.iter().map(CaptureJson::new).collect(),
            after: self.after.iter().map(CaptureJson::new).collect(),
            totals: TotalsJson(&self.totals),
            same: sum(&same),
            hidden: self.rest.as_ref().map(sum),
            renamed: self.renamed.iter().map(|(before, after)| Renamed { before, after }).collect(),
            rows: self.entries.iter().map(RowJson::new).collect(),
        };
        json.serialize(serializer)
    }
}
