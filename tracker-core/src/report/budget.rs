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
fn scaled(text: &str, factor: u64) -> Option<u64> {
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
