//! From a profile of a whole capture to one of a span of its time: from its slices where the span ends at their bounds, else
//! from another replay, which begins at the last checkpoint before the span and ends with it.

use std::path::Path;

use super::open::{OpenError, OpenOptions, file};
use super::profile::Profile;
use super::seal;
use super::span::Span;
use crate::capture::reader::{Capture, Progress, ReadError};
use crate::capture::source::Source;
use crate::replay::replay_range;

/// The numbers of a span of the capture at `path`, which `profile` was [opened](super::open()) from with the same options.
/// Exact wherever the span begins and ends.
///
/// # Errors
/// The file cannot be read any more.
pub fn narrow(
    path: &Path,
    profile: Profile,
    span: Span,
    options: &OpenOptions,
    progress: Progress<'_>,
) -> Result<Profile, OpenError> {
    let file = file(path)?;
    narrow_in(&file, profile, span, options, progress).map_err(|error| OpenError::unreadable(path, error))
}

/// The same for any source.
///
/// # Errors
/// It is not what the profile was made from, or cannot be read.
pub fn narrow_in(
    source: impl Source,
    profile: Profile,
    span: Span,
    options: &OpenOptions,
    progress: Progress<'_>,
) -> Result<Profile, ReadError> {
    let (slices, rows) = (&profile.slices, profile.rows.len());
    if let Some(range) = span.slices(&slices.bounds) {
        let window = slices.window(range, rows);
        return Ok(profile.within(span, &window));
    }
    // From the start on, all slices that are over say what has been: only the one that the span ends in is replayed.
    let over = if span.from_ns == 0 { span.slices_before_its_end(&slices.bounds) } else { None };
    let from = over.map_or(span.from_ns, |over| over.1);
    let resume = if seal::is_of(&profile) { seal::resume(&source, options, from) } else { None };
    let resume = resume.filter(|resume| resume.rows() == slices.rows_of_replay());
    let mut capture = Capture::open(&source, progress)?;
    let counted = (options.pymalloc, options.temporary_distance);
    let to = (!span.open).then_some(span.to_ns);
    let sliced = replay_range(&mut capture, counted, (from, to), resume.as_ref(), progress)?;
    let window = match over {
        Some((over, _)) => slices.followed_by(over, sliced).window(0..usize::from(over) + 1, rows),
        None => slices.recut(sliced).window(1..2, rows),
    };
    Ok(profile.within(span, &window))
}
