//! Memory budgets: limits on a capture's numbers, for use in CI.

use std::fmt;

use super::filter::Selection;
use super::metric::Metric;
use super::profile::State;
use super::rows::{Entry, Kind, Limits, Order, Report};
use super::sums::Sums;
use super::suppress::Suppressions;

/// A number that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budgeted {
    Peak,
    PeakBlocks,
    Rss,
    Leaked,
    LeakedBlocks,
    Allocs,
    AllocBytes,
    Temporary,
}

impl Budgeted {
    /// All of them, in the order in which help texts list them.
    pub const ALL: [Self; 8] = [
        Self::Peak,
        Self::PeakBlocks,
        Self::Rss,
        Self::Leaked,
        Self::LeakedBlocks,
        Self::Allocs,
        Self::AllocBytes,
        Self::Temporary,
    ];

    /// The key a user types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::PeakBlocks => "peak_blocks",
            Self::Rss => "rss",
            Self::Leaked => "leaked",
            Self::LeakedBlocks => "leaked_blocks",
            Self::Allocs => "allocs",
            Self::AllocBytes => "alloc_bytes",
            Self::Temporary => "temporary",
        }
    }

    /// Whether it counts bytes.
    pub const fn is_bytes(self) -> bool {
        matches!(self, Self::Peak | Self::Rss | Self::Leaked | Self::AllocBytes)
    }

    /// What a percentage of it is of.
    const fn whole(self) -> Option<Metric> {
        match self {
            Self::Leaked => Some(Metric::Allocated),
            Self::LeakedBlocks | Self::Temporary => Some(Metric::Allocations),
            Self::Peak | Self::PeakBlocks | Self::Rss | Self::Allocs | Self::AllocBytes => None,
        }
    }

    /// The report that shows what it is made of.
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Peak | Self::PeakBlocks => Some(Kind::Peak),
            Self::Leaked | Self::LeakedBlocks => Some(Kind::Leaks),
            Self::Allocs | Self::AllocBytes => Some(Kind::Allocations),
            Self::Temporary => Some(Kind::Temporary),
            Self::Rss => None,
        }
    }
}

/// What a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// Bytes or a count.
    Number(u64),
    /// Millionths of the whole.
    Millionths(u64),
}

/// One limit, as in `peak=256MiB`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub what: Budgeted,
    allowed: Allowed,
    text: String,
}

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BudgetError {
    /// No `=` in it.
    NoValue(String),
    /// The key is none of [`Budgeted::ALL`].
    UnknownKey(String),
    /// The value is no number, or has a unit that does not fit the key.
    BadValue { key: &'static str, value: String, bytes: bool },
    /// A percentage of something that is no part of anything.
    NoPercentage { key: &'static str },
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue(text) => {
                write!(f, "budget {text:?} has no value: write KEY=VALUE, for example peak=256MiB")
            }
            Self::UnknownKey(key) => {
                let known = Budgeted::ALL.map(Budgeted::name).join(", ");
                write!(f, "unknown budget {key:?}; known are {known}")
            }
            Self::BadValue { key, value, bytes: true } => {
                write!(f, "budget {key}: {value:?} is no size; write for example 256MiB, 1.5GB or 2_000_000")
            }
            Self::BadValue { key, value, bytes: false } => {
                write!(f, "budget {key}: {value:?} is no count; write for example 2_000_000")
            }
            Self::NoPercentage { key } => {
                write!(f, "budget {key} cannot be a percentage; leaked, leaked_blocks and temporary can")
            }
        }
    }
}

impl std::error::Error for BudgetError {}

/// Reads `KEY=VALUE`. Values are sizes (`256MiB`, `1.5GB`, plain bytes), counts (`2_000_000`), or percentages: `leaked`
/// of the allocated bytes, `leaked_blocks` and `temporary` of the allocations.
///
/// # Errors
/// Says what is wrong and what would be right.
pub fn parse(text: &str) -> Result<Limit, BudgetError> {
    let (key, value) = text.split_once('=').ok_or_else(|| BudgetError::NoValue(text.to_owned()))?;
    let (key, value) = (key.trim(), value.trim());
    let what = Budgeted::ALL.into_iter().find(|what| what.name() == key);
    let what = what.ok_or_else(|| BudgetError::UnknownKey(key.to_owned()))?;
    let bad = || BudgetError::BadValue { key: what.name(), value: value.to_owned(), bytes: what.is_bytes() };
    let allowed = match value.strip_suffix('%') {
        Some(_) if what.whole().is_none() => {
            return Err(BudgetError::NoPercentage { key: what.name() });
        }
        Some(number) => Allowed::Millionths(scaled(number, 10_000).ok_or_else(bad)?),
        None if what.is_bytes() => Allowed::Number(size(value).ok_or_else(bad)?),
        None => Allowed::Number(count(value).ok_or_else(bad)?),
    };
    Ok(Limit { what, allowed, text: value.to_owned() })
}

/// A whole number with `_` between digits.
fn count(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let digits = digits && text.starts_with(|first: char| first.is_ascii_digit());
    if digits { text.replace('_', "").parse().ok() } else { None }
}

/// A size in bytes with an optional unit; case does not matter, `MiB` is 1024² and `MB` 1000² bytes.
///
/// `None` when it is none, or more than a u64 holds.
pub fn size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("b", 1),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
    ];
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    scaled(number.trim_end(), factor)
}

/// `text`, a decimal number with `_` between digits, times `factor`, rounded down.
pub(super) fn scaled(text: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let mut value = u128::from(count(whole)?) * u128::from(factor);
    if !fraction.is_empty() {
        // More digits than these cannot change a size by a byte.
        let digits = fraction.get(..fraction.len().min(15))?;
        let scale = 10u128.pow(u32::try_from(digits.len()).ok()?);
        value += u128::from(count(digits)?) * u128::from(factor) / scale;
    }
    u64::try_from(value).ok()
}

/// How one limit fared.
#[derive(Debug, Clone)]
pub struct Outcome<'l> {
    /// The limit.
    pub limit: &'l Limit,
    /// The number found; `None` when the capture has none.
    pub measured: Option<u64>,
    /// The number allowed.
    pub allowed: u64,
    /// Part of a leak that suppressions set apart; not in `measured`.
    pub suppressed: u64,
    /// The largest contributors, when the limit is broken.
    pub worst: Vec<Entry>,
}

impl Outcome<'_> {
    /// Whether the number is known and within its limit.
    pub fn passed(&self) -> bool {
        self.measured.is_some_and(|measured| measured <= self.allowed)
    }
}

impl Limit {
    /// The value as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// All limits judged.
#[derive(Debug, Clone)]
pub struct Verdict<'p, 'l> {
    /// What was judged.
    pub selection: Selection<'p>,
    /// In the order of the limits.
    pub outcomes: Vec<Outcome<'l>>,
}

impl Verdict<'_, '_> {
    /// Whether every limit is kept.
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(Outcome::passed)
    }

    /// Whether the capture is not the whole story, so that keeping a limit proves nothing.
    pub fn is_partial(&self) -> bool {
        self.selection.profile().state != State::Complete
    }
}

/// Judges a selection. A broken limit comes with its `worst` largest contributors.
pub fn evaluate<'p, 'l>(
    selection: Selection<'p>,
    limits: &'l [Limit],
    suppressions: &Suppressions,
    worst: usize,
) -> Verdict<'p, 'l> {
    let sums = Sums::of(&selection);
    let judge = |limit| judge(&selection, &sums, limit, suppressions, worst);
    Verdict { outcomes: limits.iter().map(judge).collect(), selection }
}

fn judge<'l>(
    selection: &Selection<'_>,
    sums: &Sums,
    limit: &'l Limit,
    suppressions: &Suppressions,
    worst: usize,
) -> Outcome<'l> {
    let report = |count| {
        let order = if limit.what.is_bytes() { Order::Bytes } else { Order::Blocks };
        let limits = Limits { count: Some(count), order, ..Limits::default() };
        limit.what.kind().map(|kind| Report::new(selection.clone(), kind, &limits, suppressions))
    };
    let mut suppressed = 0;
    let measured = match limit.what {
        Budgeted::Peak => Some(sums.peak_bytes),
        Budgeted::PeakBlocks => Some(sums.peak_blocks),
        // Even an idle process is resident somewhere: 0 means that no sample was taken.
        Budgeted::Rss => sums.peak_rss_bytes.filter(|&bytes| bytes > 0),
        Budgeted::Allocs => Some(sums.allocations),
        Budgeted::AllocBytes => Some(sums.allocated_bytes),
        Budgeted::Temporary => Some(sums.temporary_allocations),
        Budgeted::Leaked | Budgeted::LeakedBlocks => report(0).map(|report| {
            let bytes = limit.what == Budgeted::Leaked;
            let apart = report.suppressed_sum();
            suppressed = if bytes { apart.bytes } else { apart.blocks };
            if bytes { report.sum.bytes } else { report.sum.blocks }
        }),
    };
    let allowed = match (limit.allowed, limit.what.whole()) {
        (Allowed::Number(number), _) => number,
        (Allowed::Millionths(part), Some(whole)) => {
            let allowed = u128::from(selection.total(whole)) * u128::from(part) / 1_000_000;
            u64::try_from(allowed).unwrap_or(u64::MAX)
        }
        (Allowed::Millionths(_), None) => 0,
    };
    let mut outcome = Outcome { limit, measured, allowed, suppressed, worst: Vec::new() };
    if !outcome.passed() {
        outcome.worst = report(worst).map_or_else(Vec::new, |report| report.entries);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    #[test]
    fn limits_are_read() {
        let allowed = |text| parse(text).unwrap().allowed;
        for (text, number) in [
            ("peak=256MiB", 256 << 20),
            ("peak=1.5GiB", 3 << 29),
            ("peak=1.5 kB", 1500),
            ("rss=10mb", 10_000_000),
            ("leaked=0", 0),
            ("alloc_bytes=12B", 12),
            (" allocs = 2_000_000 ", 2_000_000),
            ("leaked=0.000000000000000001TiB", 0),
            ("peak=16777215TiB", 16_777_215 << 40),
        ] {
            assert_eq!(allowed(text), Allowed::Number(number), "{text}");
        }
        assert_eq!(allowed("leaked=1%"), Allowed::Millionths(10_000));
        assert_eq!(allowed("temporary=12.5%"), Allowed::Millionths(125_000));
    }

    #[test]
    fn bad_limits_say_what_is_right() {
        for (text, message) in [
            ("peak", "budget \"peak\" has no value: write KEY=VALUE, for example peak=256MiB"),
            (
                "speed=9",
                "unknown budget \"speed\"; known are peak, peak_blocks, rss, leaked, leaked_blocks, allocs, alloc_bytes, temporary",
            ),
            ("peak=lots", "budget peak: \"lots\" is no size; write for example 256MiB, 1.5GB or 2_000_000"),
            ("peak=-1", "budget peak: \"-1\" is no size; write for example 256MiB, 1.5GB or 2_000_000"),
            ("peak=1.2.3MiB", "budget peak: \"1.2.3MiB\" is no size; write for example 256MiB, 1.5GB or 2_000_000"),
            (
                "peak=99999999999TiB",
                "budget peak: \"99999999999TiB\" is no size; write for example 256MiB, 1.5GB or 2_000_000",
            ),
            ("allocs=1MiB", "budget allocs: \"1MiB\" is no count; write for example 2_000_000"),
            ("allocs=", "budget allocs: \"\" is no count; write for example 2_000_000"),
            ("peak=5%", "budget peak cannot be a percentage; leaked, leaked_blocks and temporary can"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }

    /// `KEY=VALUE` → `measured of allowed ok|broken`, and the worst stacks.
    #[track_caller]
    fn check(limit: &str, expected: &str) {
        let numbers = |n: u64| Numbers {
            allocated: (n * 10, n * 1000),
            leaked: (n, n * 100),
            peak: (n, n * 500),
            temporary: (n * 5, n),
            ..Numbers::default()
        };
        let profile = Sketch::new("./app")
            .row("malloc: small main", numbers(1))
            .row("malloc: large main", numbers(3))
            .row("malloc: _IO_file_doallocate!/lib/libc.so.6 main", Numbers { leaked: (1, 4096), ..Numbers::default() })
            .build();
        let limits = [parse(limit).unwrap()];
        let verdict = evaluate(Selection::whole(&profile), &limits, &Suppressions::builtin(), 1);
        let outcome = &verdict.outcomes[0];
        let mut text = format!("{:?} of {}", outcome.measured, outcome.allowed);
        text += if verdict.passed() { " ok" } else { " broken" };
        for entry in &outcome.worst {
            let blamed = profile.blamed(&profile.stacks[entry.stack.0 as usize]).unwrap();
            text += &format!(" {}", profile.frame_name(blamed));
        }
        assert_eq!(text, expected, "{limit}");
    }

    #[test]
    fn budgets_are_judged() {
        check("peak=2000", "Some(2000) of 2000 ok");
        check("peak=1999", "Some(2000) of 1999 broken large");
        check("leaked=400", "Some(400) of 400 ok");
        check("leaked=9%", "Some(400) of 360 broken large");
        check("leaked_blocks=10%", "Some(4) of 4 ok");
        check("temporary=49.9%", "Some(20) of 19 broken large");
        check("allocs=40", "Some(40) of 40 ok");
        check("alloc_bytes=3kB", "Some(4000) of 3000 broken large");
        check("rss=1GiB", "None of 1073741824 broken");
    }
}
