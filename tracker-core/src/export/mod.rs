//! Profiles in the file formats of other tools: one file per format, each behind [`Exporter`].

use std::fmt::{self, Debug};
use std::io;

use crate::report::events::Events;
use crate::report::filter::Selection;
use crate::report::metric::Metric;

mod collapsed;
mod csv;
mod firefox;
mod heaptrack;
mod ndjson;
mod pprof;
mod speedscope;
mod stacks;
mod svg;
mod wire;

/// What a file is to hold.
pub struct Request<'a, 'p> {
    pub selection: &'a Selection<'p>,
    /// The number that the file is about or, in files that hold all of them, that a reader sees first.
    pub metric: Metric,
    /// Where formats that hold events have them from.
    pub events: &'a mut dyn Events,
}

impl Debug for Request<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("metric", &self.metric).finish_non_exhaustive()
    }
}

/// Writes one format.
pub trait Exporter: Debug + Sync {
    /// The name a user types.
    fn name(&self) -> &'static str;

    /// What it is good for, in a few words.
    fn about(&self) -> &'static str;

    /// What can be asked for.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Whether it holds the course of time, which the profile must have its slices for.
    fn needs_time(&self) -> bool {
        false
    }

    /// Writes what is asked for. Nothing is left out but rows without a value and, in pictures, what could not be seen.
    ///
    /// # Errors
    /// Those of `out`, and of the events where the format has them.
    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()>;
}

/// Every format there is. A new one is one file and one line here.
pub const ALL: [&dyn Exporter; 8] = [
    &collapsed::Collapsed,
    &pprof::Pprof,
    &speedscope::Speedscope,
    &firefox::Firefox,
    &heaptrack::Heaptrack,
    &svg::Svg,
    &csv::Csv,
    &ndjson::Ndjson,
];

/// The format of this name.
pub fn by_name(name: &str) -> Option<&'static dyn Exporter> {
    ALL.into_iter().find(|exporter| exporter.name() == name)
}

/// What a format has no place for. The default has a place for everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// It always holds the same numbers, so that no metric can be chosen.
    pub all_metrics: bool,
    /// Metrics it cannot hold.
    pub not: &'static [Metric],
    /// It holds the course of time, of which it cannot begin in the middle.
    pub whole_time: bool,
    /// What happened in a range of time has a place, what was live at one moment has not.
    pub no_moment: bool,
    /// It holds one process, all of it.
    pub one_process: bool,
}

/// A request that the format has no place for. Its text names the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Whether `exporter` has a place for this selection and, if one was chosen, for this metric.
///
/// # Errors
/// It has not.
pub fn check(exporter: &dyn Exporter, selection: &Selection<'_>, metric: Option<Metric>) -> Result<(), Refusal> {
    let (name, limits) = (exporter.name(), exporter.limits());
    let refuse = |text: &str| Err(Refusal(format!("{name} {text}")));
    if let Some(metric) = metric {
        if limits.all_metrics {
            return refuse("holds all numbers: leave --metric out");
        }
        if limits.not.contains(&metric) {
            return refuse(&format!("has no place for {}: choose another --metric", metric.name()));
        }
    }
    let profile = selection.profile();
    match profile.span {
        Some(_) if limits.whole_time => {
            return refuse("holds the whole course of time: leave --at, --from and --to out and choose in its viewer");
        }
        Some(span) if span.moment && limits.no_moment => {
            return refuse("holds what happened in a range of time: use --from and --to in place of --at");
        }
        _ => {}
    }
    if exporter.needs_time() && selection.region().is_some() {
        return refuse("holds the course of time, and only a region's sums are kept: leave --region out");
    }
    if limits.one_process {
        if selection.process().is_none() && profile.processes.len() > 1 {
            let last = profile.processes.len();
            return refuse(&format!("holds one process, and the capture has 1 to {last}: choose with --process"));
        }
        if selection.is_narrowed() {
            return refuse("finds the peak itself, so it needs all of a process: leave other filters out");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::filter::Filter;
    use crate::report::profile::Region;
    use crate::report::sketch::{Numbers, Sketch};
    use crate::report::span::Span;

    /// What `check` says of each format, by name, for a capture of two processes.
    #[track_caller]
    fn refused(filter: Filter, span: Option<Span>, metric: Option<Metric>) -> Vec<&'static str> {
        let sketch = Sketch::new("./app").row("malloc: main", Numbers::default());
        let region = Region { name: "r".into(), ..Region::default() };
        let sketch = sketch.process("/bin/cat", Vec::new()).with(|profile| profile.span = span);
        let profile = sketch.with(|profile| profile.regions.push(region)).build();
        let selection = filter.select(&profile).unwrap();
        let refused = |exporter: &&dyn Exporter| check(*exporter, &selection, metric).is_err();
        ALL.into_iter().filter(refused).map(|exporter| exporter.name()).collect()
    }

    #[test]
    fn formats_say_what_they_have_no_place_for() {
        let one = || Filter { process: Some(1), ..Filter::default() };
        assert_eq!(refused(Filter::default(), None, None), ["heaptrack"], "several processes");
        assert_eq!(refused(one(), None, None), [""; 0]);
        assert_eq!(refused(Filter { thread: Some("main".into()), ..one() }, None, None), ["heaptrack"]);
        assert_eq!(
            refused(Filter { region: Some("r".into()), ..one() }, None, None),
            ["firefox", "heaptrack", "ndjson"]
        );
        let all = ["firefox", "heaptrack", "csv", "ndjson"];
        assert_eq!(refused(one(), None, Some(Metric::Peak)), all);
        assert_eq!(refused(one(), None, Some(Metric::Temporary)), ["pprof", "firefox", "heaptrack", "csv", "ndjson"]);
        let range = Span { from_ns: 1, to_ns: 2, open: false, moment: false, peak: false };
        assert_eq!(refused(one(), Some(range), None), ["firefox", "heaptrack"]);
        assert_eq!(refused(one(), Some(Span { moment: true, ..range }), None), ["firefox", "heaptrack", "ndjson"]);
    }
}
