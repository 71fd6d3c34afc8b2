//! Every event of a capture, in the order of the replay, for files that hold events.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use super::open::{OpenError, file};
use super::profile::Profile;
use crate::capture::reader::{Capture, Progress, ReadError};
use crate::capture::source::Source;
use crate::replay;
use crate::replay::Pymalloc;
use crate::replay::journal::Listener;
pub use crate::replay::journal::{Ending, Happening};
use crate::replay::slices::Cuts;

/// Where events come from. Their rows are those of a profile.
pub trait Events {
    /// Tells all of them.
    ///
    /// # Errors
    /// Those of `hear`, which end it, and those of reading.
    fn tell(&mut self, hear: &mut dyn FnMut(&Happening) -> io::Result<()>) -> io::Result<()>;
}

/// Events written by hand.
impl Events for Vec<Happening> {
    fn tell(&mut self, hear: &mut dyn FnMut(&Happening) -> io::Result<()>) -> io::Result<()> {
        self.iter().try_for_each(hear)
    }
}

/// Those of a capture, which is replayed once more for them.
pub struct Recorded<'a, S> {
    source: S,
    profile: &'a Profile,
    progress: Progress<'a>,
    /// Why the capture could not be read.
    failure: Option<ReadError>,
}

impl<S> fmt::Debug for Recorded<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded").field("failure", &self.failure).finish_non_exhaustive()
    }
}

impl<'a> Recorded<'a, File> {
    /// `profile` was opened from `path`, with its slices.
    ///
    /// # Errors
    /// The file cannot be opened any more.
    pub fn open(path: &Path, profile: &'a Profile, progress: Progress<'a>) -> Result<Self, OpenError> {
        file(path).map(|source| Self::new(source, profile, progress))
    }
}

impl<'a, S> Recorded<'a, S> {
    /// `profile` was read from `source`, with its slices.
    pub fn new(source: S, profile: &'a Profile, progress: Progress<'a>) -> Self {
        Self { source, profile, progress, failure: None }
    }

    /// Why the capture could not be read, if it could not.
    pub fn failure(self) -> Option<ReadError> {
        self.failure
    }
}

/// The event with the profile's row in place of the replay's; `None` for one that does not count, or was recorded after the
/// profile was made.
fn known(origins: &[Option<u32>], happening: Happening) -> Option<Happening> {
    let place = |row: u32| *origins.get(row as usize)?;
    Some(match happening {
        Happening::Allocated { row, time, address, size, realloc } => {
            Happening::Allocated { row: place(row)?, time, address, size, realloc }
        }
        Happening::Ended { row, time, address, size, ending } => {
            Happening::Ended { row: place(row)?, time, address, size, ending }
        }
        Happening::Shrunk { row, time, address, size, before } => {
            Happening::Shrunk { row: place(row)?, time, address, size, before }
        }
        Happening::Unknown { .. } => happening,
    })
}

impl<S: Source> Events for Recorded<'_, S> {
    fn tell(&mut self, hear: &mut dyn FnMut(&Happening) -> io::Result<()>) -> io::Result<()> {
        let Self { source, profile, progress, failure } = self;
        let origins = &profile.slices.origins;
        let mut refused = None;
        let mut listener = |happenings: &[Happening]| {
            let mut known = happenings.iter().filter_map(|happening| known(origins, *happening));
            known.try_for_each(|happening| hear(&happening)).map_err(|error| {
                refused = Some(error);
                io::Error::other("nobody listens any more")
            })
        };
        let told = told(&*source, profile.pymalloc, *progress, &mut listener);
        match (refused, told) {
            (Some(refused), _) => Err(refused),
            (None, Err(error)) => {
                let text = error.to_string();
                *failure = Some(error);
                Err(io::Error::other(text))
            }
            (None, Ok(())) => Ok(()),
        }
    }
}

fn told(
    source: impl Source,
    pymalloc: Option<Pymalloc>,
    progress: Progress<'_>,
    listener: &mut Listener<'_>,
) -> Result<(), ReadError> {
    // Neither sums nor slices are asked for, and rows are numbered alike whatever the other options.
    let pymalloc = pymalloc.unwrap_or_default();
    let options = replay::Options { pymalloc, temporary_distance: 0, cuts: Cuts::At(Vec::new()), checkpoints: false };
    let mut capture = Capture::open(source, &mut *progress)?;
    replay::replay_to(&mut capture, &options, progress, listener)?;
    Ok(())
}
