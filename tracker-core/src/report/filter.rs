//! Which rows of a profile a view shows. Filters select; they never move the peak and never change a row.

use std::fmt;

use super::metric::{Metric, PeakOf};
use super::pattern::Pattern;
use super::profile::{Metrics, Process, Profile, Region, Row, Stack, StackId};

/// What a user asked to see. The default selects everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Index number of a process row.
    pub process: Option<u32>,
    /// A thread's index number, or a pattern for its name.
    pub thread: Option<String>,
    /// Exactly the name of a region, of whose numbers the rows are then.
    pub region: Option<String>,
    /// Every pattern must match a frame's function.
    pub functions: Vec<Pattern>,
    /// Every pattern must match the path of a frame's module.
    pub modules: Vec<Pattern>,
}

/// Which stacks the patterns of a filter match: decided for whole stacks, whatever frames of them are shown later.
#[derive(Debug, Clone, Default)]
pub struct Matching(Option<Vec<bool>>);

impl Matching {
    /// Of a profile whose stacks, in order, match or do not.
    pub(super) fn told(stacks: Vec<bool>) -> Self {
        Self(Some(stacks))
    }

    /// Whether the filter has no patterns, so that every stack matches.
    pub(super) fn is_of_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a stack matches.
    pub(super) fn matches(&self, stack: StackId) -> bool {
        self.0.as_ref().is_none_or(|stacks| stacks.get(stack.0 as usize) == Some(&true))
    }
}

/// A filter that names something the capture does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterError {
    /// No process row has this number; the capture's have 1 to `last`.
    NoProcess { asked: u32, last: usize },
    /// No thread has this number or name.
    NoThread { asked: String },
    /// No region of the process, or of any, has this name; `names` are those there are.
    NoRegion { asked: String, names: Vec<String> },
    /// Several processes have such a region, each with a peak of its own: these index numbers.
    RegionOfSeveral { asked: String, processes: Vec<u32> },
    /// A region's numbers are not known for a part of the time.
    RegionInSpan,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProcess { asked, last: 0 } => {
                write!(f, "no process {asked}: the capture has no process at all")
            }
            Self::NoProcess { asked, last: 1 } => {
                write!(f, "no process {asked}: the capture has only process 1")
            }
            Self::NoProcess { asked, last } => {
                write!(f, "no process {asked}: the capture has processes 1 to {last}")
            }
            Self::NoThread { asked } => {
                write!(
                    f,
                    "no thread {asked:?}: give its index number or a part of its name, as `memtrack summary` shows them"
                )
            }
            Self::NoRegion { asked, names } if names.is_empty() => {
                write!(f, "no region {asked:?}: nothing in the capture is marked as one")
            }
            Self::NoRegion { asked, names } => {
                let known: Vec<String> = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
                write!(f, "no region {asked:?}: there are {}", known.join(", "))?;
                match names.len().saturating_sub(LISTED) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more, see `memtrack summary --json`"),
                }
            }
            Self::RegionOfSeveral { asked, processes } => {
                let known: Vec<String> = processes.iter().take(LISTED).map(u32::to_string).collect();
                write!(f, "processes {} have a region {asked:?}: choose one with --process", known.join(", "))
            }
            Self::RegionInSpan => f.write_str("a region is a part of the time: leave --at, --from and --to out"),
        }
    }
}

/// Names in a message.
const LISTED: usize = 20;

impl std::error::Error for FilterError {}

/// The rows of a profile that a filter selects.
#[derive(Debug, Clone)]
pub struct Selection<'p> {
    profile: &'p Profile,
    rows: Vec<&'p Row>,
    part: Part<'p>,
    metrics: Metrics,
    /// Whether anything narrower than a process was asked for.
    narrowed: bool,
}

/// What has rows of its own, or a peak.
#[derive(Debug, Clone, Copy, Default)]
struct Part<'p> {
    process: Option<&'p Process>,
    region: Option<&'p Region>,
}

impl<'p> Part<'p> {
    fn rows(self, profile: &'p Profile) -> &'p [Row] {
        self.region.map_or(&profile.rows, |region| &region.rows)
    }
}

impl Filter {
    /// Applies it.
    ///
    /// # Errors
    /// A process, thread or region that is not there, or not alone. A function or module that never occurs selects nothing.
    pub fn select<'p>(&self, profile: &'p Profile) -> Result<Selection<'p>, FilterError> {
        self.select_matching(profile, &self.matching(profile))
    }

    /// The stacks of a profile that its patterns match.
    pub fn matching(&self, profile: &Profile) -> Matching {
        if self.functions.is_empty() && self.modules.is_empty() {
            return Matching::default();
        }
        let functions = self.functions.iter().map(|p| frames_by_function(profile, p));
        let frames: Vec<_> = functions.chain(self.modules.iter().map(|p| frames_by_module(profile, p))).collect();
        let matches = |stack: &Stack| {
            frames.iter().all(|frames| stack.frames.iter().any(|id| frames.get(id.0 as usize) == Some(&true)))
        };
        Matching::told(profile.stacks.iter().map(matches).collect())
    }

    /// Applies it, its patterns having been decided on before.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub fn select_matching<'p>(&self, profile: &'p Profile, matching: &Matching) -> Result<Selection<'p>, FilterError> {
        let process = self.process.map(|asked| find_process(profile, asked)).transpose()?;
        let region = self.region.as_deref().map(|asked| find_region(profile, asked, process)).transpose()?;
        let threads = self.thread.as_deref().map(|asked| find_threads(profile, asked)).transpose()?;
        let shown = |row: &&Row| {
            process.is_none_or(|(at, _)| row.process as usize == at)
                && threads.as_ref().is_none_or(|set| set.get(row.thread as usize) == Some(&true))
                && matching.matches(row.stack)
        };
        let part = Part { process: process.map(|(_, process)| process), region };
        let rows = part.rows(profile).iter().filter(shown).collect();
        let narrowed = region.is_some() || threads.is_some() || !matching.is_of_all();
        Ok(Selection::new(profile, rows, part, narrowed))
    }
}

fn find_process(profile: &Profile, asked: u32) -> Result<(usize, &Process), FilterError> {
    let found = profile.processes.iter().enumerate().find(|(_, process)| process.index == asked);
    found.ok_or(FilterError::NoProcess { asked, last: profile.processes.len() })
}

fn find_region<'p>(
    profile: &'p Profile,
    asked: &str,
    process: Option<(usize, &Process)>,
) -> Result<&'p Region, FilterError> {
    if profile.span.is_some() {
        return Err(FilterError::RegionInSpan);
    }
    let there = || profile.regions.iter().filter(|region| process.is_none_or(|(at, _)| region.process as usize == at));
    let mut found = there().filter(|region| region.name == asked);
    match (found.next(), found.next()) {
        (Some(region), None) => Ok(region),
        (Some(_), Some(_)) => {
            let numbers = there().filter(|region| region.name == asked);
            let number = |region: &Region| profile.processes.get(region.process as usize).map(|process| process.index);
            let processes = numbers.filter_map(number).collect();
            Err(FilterError::RegionOfSeveral { asked: asked.into(), processes })
        }
        (None, _) => {
            let mut names: Vec<String> = there().map(|region| region.name.clone()).collect();
            names.sort_unstable();
            names.dedup();
            Err(FilterError::NoRegion { asked: asked.into(), names })
        }
    }
}

fn find_threads(profile: &Profile, asked: &str) -> Result<Vec<bool>, FilterError> {
    let pattern = Pattern::new(asked);
    let number = asked.parse::<u32>().ok();
    let found: Vec<bool> = profile
        .threads
        .iter()
        .map(|thread| match number {
            Some(index) => thread.index == index,
            None => pattern.matches(&thread.name),
        })
        .collect();
    if found.contains(&true) { Ok(found) } else { Err(FilterError::NoThread { asked: asked.into() }) }
}

fn frames_by_function(profile: &Profile, pattern: &Pattern) -> Vec<bool> {
    profile.frames.iter().map(|frame| pattern.matches(&profile.frame_name(frame))).collect()
}

fn frames_by_module(profile: &Profile, pattern: &Pattern) -> Vec<bool> {
    let modules: Vec<bool> = profile.modules.iter().map(|m| pattern.matches(&m.path)).collect();
    let in_module = |module: Option<u32>| module.is_some_and(|m| modules.get(m as usize) == Some(&true));
    profile.frames.iter().map(|frame| in_module(frame.module)).collect()
}

impl<'p> Selection<'p> {
    /// Everything.
    pub fn whole(profile: &'p Profile) -> Self {
        Self::new(profile, profile.rows.iter().collect(), Part::default(), false)
    }

    fn new(profile: &'p Profile, rows: Vec<&'p Row>, part: Part<'p>, narrowed: bool) -> Self {
        let mut metrics = Metrics::default();
        rows.iter().for_each(|row| metrics.add(&row.metrics));
        Self { profile, rows, part, metrics, narrowed }
    }

    /// What it selects from.
    pub fn profile(&self) -> &'p Profile {
        self.profile
    }

    /// The rows, in no particular order.
    pub fn rows(&self) -> &[&'p Row] {
        &self.rows
    }

    /// The one process it was narrowed to.
    pub fn process(&self) -> Option<&'p Process> {
        self.part.process
    }

    /// The one region it was narrowed to: its rows are the region's and not the profile's, and so is its peak.
    pub fn region(&self) -> Option<&'p Region> {
        self.part.region
    }

    /// Whether it is the whole capture, or the whole of one process, for all of its time.
    pub fn is_whole(&self) -> bool {
        !self.narrowed && self.profile.span.is_none()
    }

    /// Whether it is less than the whole of the capture or of one process.
    pub fn is_narrowed(&self) -> bool {
        self.narrowed
    }

    /// For each row of the profile whether it is selected. None of them is where a region is.
    pub fn mask(&self) -> Vec<bool> {
        // The rows are some of the profile's, in its order.
        let mut selected = self.rows.iter().peekable();
        self.profile.rows.iter().map(|row| selected.next_if(|next| std::ptr::eq(**next, row)).is_some()).collect()
    }

    /// Whose peak its peak is: the process's own as soon as one is named.
    pub fn peak_of(&self) -> PeakOf {
        if self.part.process.is_some() { PeakOf::Process } else { PeakOf::Capture }
    }

    /// One number of a row.
    pub fn value(&self, metric: Metric, row: &Row) -> u64 {
        metric.of(&row.metrics, self.peak_of())
    }

    /// The sums over its rows.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The part of it in one process, an index into the profile's; its peak is the process's own.
    #[must_use]
    pub fn of_process(&self, at: u32) -> Self {
        let rows = self.rows.iter().copied().filter(|row| row.process == at).collect();
        let part = Part { process: self.profile.processes.get(at as usize), ..self.part };
        Self::new(self.profile, rows, part, self.narrowed)
    }

    /// What happened in a region of the profile.
    pub fn of_region(profile: &'p Profile, region: &'p Region) -> Self {
        let part = Part { process: None, region: Some(region) };
        Self::new(profile, part.rows(profile).iter().collect(), part, true)
    }

    /// The part of it that `keep` accepts.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&Row) -> bool) -> Self {
        let rows = self.rows.iter().copied().filter(|row| keep(row)).collect();
        Self::new(self.profile, rows, self.part, true)
    }

    /// One number's sum.
    pub fn total(&self, metric: Metric) -> u64 {
        metric.of(&self.metrics, self.peak_of())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};
    use crate::report::span::Span;

    fn profile() -> Profile {
        let n =
            |n| Numbers { allocated: (n, n * 10), peak: (n, n), process_peak: Some((n, 2 * n)), ..Numbers::default() };
        Sketch::new("./app")
            .row("malloc: read parse main", n(1))
            .row("malloc: ?!/opt/libx.so main", n(2))
            .thread("worker")
            .row("malloc: read parse main", n(4))
            .process("/bin/cat", Vec::new())
            .thread("cat")
            .row("malloc: read!/bin/cat main!/bin/cat", n(8))
            .build()
    }

    /// Allocations and peak of what `filter` selects.
    #[track_caller]
    fn check(filter: Filter, allocations: u64, peak: u64) {
        let profile = profile();
        let selection = filter.select(&profile).unwrap();
        let found = (selection.total(Metric::Allocations), selection.total(Metric::Peak));
        assert_eq!(found, (allocations, peak), "{filter:?}");
    }

    #[test]
    fn filters_select_rows() {
        let none = Filter::default;
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text)).collect::<Vec<_>>();
        check(none(), 15, 15);
        check(Filter { thread: Some("2".into()), ..none() }, 4, 4);
        check(Filter { thread: Some("work".into()), ..none() }, 4, 4);
        check(Filter { functions: patterns(&["parse"]), ..none() }, 5, 5);
        check(Filter { functions: patterns(&["parse", "libx"]), ..none() }, 0, 0);
        check(Filter { functions: patterns(&["[libx.so"]), ..none() }, 2, 2);
        check(Filter { modules: patterns(&["/bin/cat"]), ..none() }, 8, 8);
        check(Filter { modules: patterns(&["libx"]), functions: patterns(&["^main$"]), ..none() }, 2, 2);
    }

    #[test]
    fn a_process_has_its_own_peak() {
        check(Filter { process: Some(2), ..Filter::default() }, 8, 16);
        check(Filter { process: Some(1), thread: Some("2".into()), ..Filter::default() }, 4, 8);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let profile = profile();
        let error = |filter: Filter| filter.select(&profile).map(|_| ()).unwrap_err().to_string();
        let process = error(Filter { process: Some(9), ..Filter::default() });
        assert_eq!(process, "no process 9: the capture has processes 1 to 2");
        let thread = error(Filter { thread: Some("idle".into()), ..Filter::default() });
        assert!(thread.starts_with("no thread \"idle\": "), "{thread}");
        let region = error(Filter { region: Some("import".into()), ..Filter::default() });
        assert_eq!(region, "no region \"import\": nothing in the capture is marked as one");
    }

    /// The profile, with a region of what its first two rows did half of, and others without rows.
    fn marked() -> Profile {
        let mut profile = profile();
        let half = |row: &Row| {
            let half = |number: u64| number.div_ceil(2);
            let Metrics { allocations, peak_bytes, .. } = row.metrics;
            let metrics =
                Metrics { allocations: half(allocations), peak_bytes, process_peak_bytes: peak_bytes, ..row.metrics };
            Row { metrics, ..*row }
        };
        let rows = profile.rows.iter().take(2).map(half).collect();
        let region = |name: &str, process| Region { name: name.into(), process, ..Region::default() };
        profile.regions =
            vec![Region { rows, ..region("import", 0) }, region("serve", 0), region("serve", 1), region("flush", 1)];
        profile
    }

    #[test]
    fn a_region_has_rows_and_a_peak_of_its_own() {
        let profile = marked();
        let import = || Filter { region: Some("import".into()), ..Filter::default() };
        for (filter, allocations, peak) in [
            (import(), 2, 3),
            (Filter { process: Some(1), ..import() }, 2, 3),
            (Filter { functions: vec![Pattern::new("parse")], ..import() }, 1, 1),
            (Filter { thread: Some("worker".into()), ..import() }, 0, 0),
            (Filter { process: Some(2), region: Some("serve".into()), ..Filter::default() }, 0, 0),
        ] {
            let selection = filter.select(&profile).unwrap();
            let found = (selection.total(Metric::Allocations), selection.total(Metric::Peak));
            assert_eq!(found, (allocations, peak), "{filter:?}");
            assert!(selection.is_narrowed() && selection.region().is_some());
        }
    }

    #[test]
    fn regions_that_are_not_there_alone_are_errors() {
        let mut profile = marked();
        let error = |profile: &Profile, region: &str, process: Option<u32>| {
            let filter = Filter { region: Some(region.into()), process, ..Filter::default() };
            filter.select(profile).map(|_| ()).unwrap_err().to_string()
        };
        for (region, process, message) in [
            ("Import", None, "no region \"Import\": there are \"flush\", \"import\", \"serve\""),
            ("import", Some(2), "no region \"import\": there are \"flush\", \"serve\""),
            ("serve", None, "processes 1, 2 have a region \"serve\": choose one with --process"),
        ] {
            assert_eq!(error(&profile, region, process), message);
        }
        let numbered = |n: usize| Region { name: format!("r{n:02}"), ..Region::default() };
        profile.regions = (0..22).map(numbered).collect();
        let message = error(&profile, "x", None);
        assert!(message.ends_with("\"r19\" and 2 more, see `memtrack summary --json`"), "{message}");
        profile.span = Some(Span { from_ns: 1, to_ns: 2, open: false, moment: false, peak: false });
        assert_eq!(error(&profile, "r01", None), "a region is a part of the time: leave --at, --from and --to out");
    }
}
