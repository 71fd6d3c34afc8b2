//! One limit: a measure and what is allowed of it, as it is written in a budget file or after `--max`.

use std::fmt;

use super::measure::{Measure, Unit};
use super::suggest::nearest;
use crate::report::quantity::{scaled, size, whole};

/// What a limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// In the measure's unit.
    Number(u64),
    /// Millionths of the [whole](Measure::whole).
    Share(u64),
    /// So much more than the baseline, in the measure's unit.
    More(u64),
    /// So many millionths more than the baseline.
    MoreShare(u64),
}

impl Allowed {
    /// Whether it means nothing without a baseline.
    pub const fn is_relative(self) -> bool {
        matches!(self, Self::More(_) | Self::MoreShare(_))
    }
}

/// One limit, as in `peak = "256MiB"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub measure: Measure,
    /// How.
    pub allowed: Allowed,
    /// The value as it was written.
    pub text: String,
}

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitError {
    /// No `=` in it.
    NoValue(String),
    /// The key is none of [`Measure::ALL`].
    UnknownKey(String),
    /// The value is none, or has a unit that does not fit the key.
    BadValue { measure: Measure, value: String },
    /// A percentage of something that is no part of anything.
    NoPercentage(Measure),
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue(text) => {
                write!(f, "budget {text:?} has no value: write KEY=VALUE, for example peak=256MiB")
            }
            Self::UnknownKey(key) => {
                let names = Measure::ALL.map(Measure::name);
                let known = names.join(", ");
                match nearest(key, names) {
                    Some(near) => write!(f, "unknown budget {key:?}; did you mean {near:?}? Known are {known}"),
                    None => write!(f, "unknown budget {key:?}; known are {known}"),
                }
            }
            Self::BadValue { measure, value } => {
                let (what, example) = match measure.unit() {
                    Unit::Bytes => ("size", "256MiB, 1.5GB or 2_000_000"),
                    Unit::Count => ("count", "2_000_000"),
                    Unit::Share => ("percentage", "12.5%"),
                    Unit::Rate => ("rate", "1MiB/min"),
                };
                write!(f, "budget {}: {value:?} is no {what}; write for example {example}", measure.name())
            }
            Self::NoPercentage(measure) => write!(
                f,
                "budget {} cannot be a percentage; leaked, leaked_blocks and temporary can; \
                 \"+5%\" is 5% more than a baseline",
                measure.name()
            ),
        }
    }
}

impl std::error::Error for LimitError {}

impl Limit {
    /// Reads `KEY=VALUE`.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, LimitError> {
        let (key, value) = text.split_once('=').ok_or_else(|| LimitError::NoValue(text.to_owned()))?;
        let key = key.trim();
        let measure = Measure::from_name(key).ok_or_else(|| LimitError::UnknownKey(key.to_owned()))?;
        Self::new(measure, value)
    }

    /// Reads a value: a size (`256MiB`, `1.5GB`, plain bytes), a count (`2_000_000`), a rate (`1MiB/min`), a percentage
    /// (`leaked` of the allocated bytes, `leaked_blocks` and `temporary` of the allocations), or with a `+` in front what
    /// may be more than in the baseline: `+5%`, `+64KiB`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn new(measure: Measure, value: &str) -> Result<Self, LimitError> {
        let value = value.trim();
        let bad = || LimitError::BadValue { measure, value: value.to_owned() };
        let (relative, rest) = value.strip_prefix('+').map_or((false, value), |rest| (true, rest));
        let allowed = match rest.strip_suffix('%') {
            Some(number) => {
                let share = scaled(number, 10_000).ok_or_else(bad)?;
                match (relative, measure.unit(), measure.whole()) {
                    (true, ..) => Allowed::MoreShare(share),
                    (false, Unit::Share, _) => Allowed::Number(share),
                    (false, _, Some(_)) => Allowed::Share(share),
                    (false, _, None) => return Err(LimitError::NoPercentage(measure)),
                }
            }
            None => {
                let number = match measure.unit() {
                    Unit::Bytes => size(rest),
                    Unit::Count => whole(rest),
                    Unit::Share => None,
                    Unit::Rate => rate(rest),
                };
                let number = number.ok_or_else(bad)?;
                if relative { Allowed::More(number) } else { Allowed::Number(number) }
            }
        };
        Ok(Self { measure, allowed, text: value.to_owned() })
    }
}

/// A size per second, minute, hour or day, in bytes per minute. Nothing needs no unit.
fn rate(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (amount, time) = text.rsplit_once('/')?;
    let amount = u128::from(size(amount.trim())?);
    let per_minute = match time.trim() {
        "s" => amount.checked_mul(60)?,
        "min" => amount,
        "h" => amount / 60,
        "d" => amount / (24 * 60),
        _ => return None,
    };
    u64::try_from(per_minute).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        for (text, allowed) in [
            ("peak=256MiB", Allowed::Number(256 << 20)),
            (" allocs = 2_000_000 ", Allowed::Number(2_000_000)),
            ("leaked=1%", Allowed::Share(10_000)),
            ("temporary=12.5%", Allowed::Share(125_000)),
            ("temporary_ratio=30%", Allowed::Number(300_000)),
            ("peak=+5%", Allowed::MoreShare(50_000)),
            ("peak=+64KiB", Allowed::More(65_536)),
            ("allocs=+10", Allowed::More(10)),
            ("growth=1MiB/min", Allowed::Number(1 << 20)),
            ("growth=1KiB/s", Allowed::Number(60 << 10)),
            ("growth=60MiB/h", Allowed::Number(1 << 20)),
            ("growth=0", Allowed::Number(0)),
        ] {
            assert_eq!(Limit::parse(text).unwrap().allowed, allowed, "{text}");
        }
    }

    #[test]
    fn bad_limits_say_what_is_right() {
        let known = "peak, peak_blocks, rss, leaked, leaked_blocks, allocs, alloc_bytes, temporary, temporary_ratio, largest, growth";
        for (text, message) in [
            ("peak", "budget \"peak\" has no value: write KEY=VALUE, for example peak=256MiB".to_owned()),
            ("speed=9", format!("unknown budget \"speed\"; known are {known}")),
            ("peek=9", format!("unknown budget \"peek\"; did you mean \"peak\"? Known are {known}")),
            (
                "peak=lots",
                "budget peak: \"lots\" is no size; write for example 256MiB, 1.5GB or 2_000_000".to_owned(),
            ),
            ("peak=-1", "budget peak: \"-1\" is no size; write for example 256MiB, 1.5GB or 2_000_000".to_owned()),
            ("allocs=1MiB", "budget allocs: \"1MiB\" is no count; write for example 2_000_000".to_owned()),
            ("allocs=", "budget allocs: \"\" is no count; write for example 2_000_000".to_owned()),
            ("growth=1MiB", "budget growth: \"1MiB\" is no rate; write for example 1MiB/min".to_owned()),
            ("temporary_ratio=3", "budget temporary_ratio: \"3\" is no percentage; write for example 12.5%".to_owned()),
            (
                "peak=5%",
                "budget peak cannot be a percentage; leaked, leaked_blocks and temporary can; \"+5%\" is 5% more than a baseline"
                    .to_owned(),
            ),
        ] {
            assert_eq!(Limit::parse(text).unwrap_err().to_string(), message);
        }
    }
}
