//! A span of a capture's time as a user writes it, and a profile narrowed to it.

use std::fmt;

use super::profile::{Metrics, Profile};
use super::quantity::scaled;
use super::slices::{Slices, Window};

/// A moment as it is written: `1.5s`, `250ms`, `90` (seconds), `2m`, `10%` of the capture, `-10s` before its end, `+9s`
/// after the span's beginning, `peak`, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nanoseconds after the start.
    After(u64),
    /// Nanoseconds before the end.
    BeforeEnd(u64),
    /// Nanoseconds after the beginning of the span.
    Later(u64),
    /// Millionths of the capture's duration.
    Share(u64),
    Peak,
    End,
}

/// What part of the time is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// One moment; the others are not used then.
    pub at: Option<Moment>,
    pub from: Option<Moment>,
    pub to: Option<Moment>,
}

/// A part of a capture's time: events from `from_ns` on and before `to_ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub from_ns: u64,
    /// The capture's last moment when `open`.
    pub to_ns: u64,
    /// What happens at the end itself belongs to it, too.
    pub open: bool,
    /// It is about its end: one moment was asked for.
    pub moment: bool,
    /// That moment is the peak.
    pub peak: bool,
}

/// A span that a capture does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanError {
    /// It ends before it begins.
    Backwards { from_ns: u64, to_ns: u64 },
    /// `+9s` without a beginning that it could follow.
    NothingBefore,
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backwards { from_ns, to_ns } => {
                let seconds = |ns: &u64| *ns as f64 / 1e9;
                write!(f, "the time range is empty: from {:.6}s to {:.6}s", seconds(from_ns), seconds(to_ns))
            }
            Self::NothingBefore => f.write_str("only --to takes a time like +9s: it counts from --from"),
        }
    }
}

impl std::error::Error for SpanError {}

/// Reads a moment; `None` when it is none.
pub fn parse(text: &str) -> Option<Moment> {
    match text {
        "peak" => return Some(Moment::Peak),
        "end" => return Some(Moment::End),
        _ => {}
    }
    if let Some(share) = text.strip_suffix('%') {
        return Some(Moment::Share(scaled(share, 10_000)?.min(1_000_000)));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return duration(rest).map(Moment::BeforeEnd);
    }
    if let Some(rest) = text.strip_prefix('+') {
        return duration(rest).map(Moment::Later);
    }
    duration(text).map(Moment::After)
}

/// A duration in nanoseconds; seconds where no unit is given.
fn duration(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("", 1_000_000_000),
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    scaled(number, factor)
}

impl Asked {
    /// Whether nothing is: the whole capture.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The span of this profile's time.
    ///
    /// # Errors
    /// It is empty, or a moment has no meaning where it stands.
    pub fn resolve(&self, profile: &Profile) -> Result<Span, SpanError> {
        let end = profile.slices.bounds.last().copied().unwrap_or(profile.duration_ns);
        let place = |moment: Moment, from: Option<u64>| {
            Ok(match moment {
                Moment::After(ns) => ns,
                Moment::BeforeEnd(ns) => end.saturating_sub(ns),
                Moment::Later(ns) => from.ok_or(SpanError::NothingBefore)?.saturating_add(ns),
                Moment::Share(millionths) => {
                    u64::try_from(u128::from(end) * u128::from(millionths) / 1_000_000).unwrap_or(end)
                }
                Moment::Peak => profile.totals.peak_at_ns,
                Moment::End => end,
            }
            .min(end))
        };
        let from_ns = match self.from.filter(|_| self.at.is_none()) {
            Some(from) => place(from, None)?,
            None => 0,
        };
        let to_ns = match self.at.or(self.to) {
            Some(to) => place(to, self.at.is_none().then_some(from_ns))?,
            None => end,
        };
        let open = to_ns >= end;
        if from_ns >= to_ns && !open && self.at.is_none() {
            return Err(SpanError::Backwards { from_ns, to_ns });
        }
        Ok(Span { from_ns, to_ns, open, moment: self.at.is_some(), peak: self.at == Some(Moment::Peak) })
    }
}

impl Span {
    /// How many of a profile's own slices are over when the span ends, and when the last of them was.
    pub(super) fn slices_before_its_end(&self, bounds: &[u64]) -> Option<(u16, u64)> {
        let over = bounds.partition_point(|bound| *bound <= self.to_ns).checked_sub(1)?;
        Some((u16::try_from(over).ok()?, *bounds.get(over)?))
    }

    /// The range of a profile's own slices that is this span, if there is one.
    pub(super) fn slices(&self, bounds: &[u64]) -> Option<std::ops::Range<usize>> {
        // Of equal bounds the first: a capture may end where it begins.
        let from = bounds.partition_point(|bound| *bound < self.from_ns);
        bounds.get(from).filter(|bound| **bound == self.from_ns)?;
        let to = if self.open { bounds.len().checked_sub(1)? } else { bounds.binary_search(&self.to_ns).ok()? };
        (from <= to).then_some(from..to)
    }
}

impl Profile {
    /// The same rows with the numbers of a span. *Peak* is what was live at its end, *leaked* what was allocated in it
    /// and not freed in it; a profile that was narrowed has no slices.
    #[must_use]
    pub(super) fn within(mut self, span: Span, window: &Window) -> Self {
        for (row, numbers) in self.rows.iter_mut().zip(&window.rows) {
            let own = std::mem::replace(&mut row.metrics, *numbers);
            if span.peak {
                row.metrics.peak_blocks = own.peak_blocks;
                row.metrics.peak_bytes = own.peak_bytes;
                row.metrics.process_peak_blocks = own.process_peak_blocks;
                row.metrics.process_peak_bytes = own.process_peak_bytes;
            }
        }
        self.totals.metrics = Metrics::default();
        self.processes.iter_mut().for_each(|process| process.totals.metrics = Metrics::default());
        self.threads.iter_mut().for_each(|thread| thread.metrics = Metrics::default());
        for row in &self.rows {
            self.totals.metrics.add(&row.metrics);
            if let Some(process) = self.processes.get_mut(row.process as usize) {
                process.totals.metrics.add(&row.metrics);
            }
            if let Some(thread) = self.threads.get_mut(row.thread as usize) {
                thread.metrics.add(&row.metrics);
            }
        }
        if !span.peak {
            self.totals.peak_at_ns = span.to_ns;
            self.processes.iter_mut().for_each(|process| process.totals.peak_at_ns = span.to_ns);
        }
        // What the rows are in a replay stays true.
        self.slices = Slices { origins: std::mem::take(&mut self.slices.origins), ..Slices::default() };
        self.span = Some(span);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::Sketch;

    const MS: u64 = 1_000_000;

    #[test]
    fn moments_are_read() {
        for (text, moment) in [
            ("5", Some(Moment::After(5000 * MS))),
            ("1.5s", Some(Moment::After(1500 * MS))),
            ("250ms", Some(Moment::After(250 * MS))),
            ("0.5us", Some(Moment::After(500))),
            ("2m", Some(Moment::After(120_000 * MS))),
            ("-10s", Some(Moment::BeforeEnd(10_000 * MS))),
            ("+9s", Some(Moment::Later(9000 * MS))),
            ("12.5%", Some(Moment::Share(125_000))),
            ("200%", Some(Moment::Share(1_000_000))),
            ("peak", Some(Moment::Peak)),
            ("end", Some(Moment::End)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("--5s", None),
            ("1e3", None),
            ("99999999999999h", None),
        ] {
            assert_eq!(parse(text), moment, "{text}");
        }
    }

    /// `at`, or `from` and `to`, of a capture of one second with its peak at 400 ms.
    #[track_caller]
    fn check(at: &str, from: &str, to: &str, expected: Result<(u64, u64, bool), &str>) {
        let profile = Sketch::new("./app").with(|profile| profile.totals.peak_at_ns = 400 * MS).build();
        let moment = |text: &str| (!text.is_empty()).then(|| parse(text).unwrap());
        let asked = Asked { at: moment(at), from: moment(from), to: moment(to) };
        let found = asked.resolve(&profile).map(|span| (span.from_ns / MS, span.to_ns / MS, span.open));
        assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn spans_are_placed() {
        check("", "", "", Ok((0, 1000, true)));
        check("peak", "", "", Ok((0, 400, false)));
        check("end", "", "", Ok((0, 1000, true)));
        check("", "10%", "", Ok((100, 1000, true)));
        check("", "200ms", "+300ms", Ok((200, 500, false)));
        check("", "-300ms", "-100ms", Ok((700, 900, false)));
        check("", "peak", "7s", Ok((400, 1000, true)));
        check("0s", "", "", Ok((0, 0, false)));
        check("", "peak", "peak", Err("the time range is empty: from 0.400000s to 0.400000s"));
        check("", "+1s", "", Err("only --to takes a time like +9s: it counts from --from"));
        check("+1s", "", "", Err("only --to takes a time like +9s: it counts from --from"));
    }
}
