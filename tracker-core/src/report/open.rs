//! From a file to a [`Profile`]: the one door that every reading command goes through.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::build::build;
use super::index;
use super::known::{Better, KnownNames};
use super::names::{NoSymbols, Symbols};
use super::profile::{Profile, State};
use super::remarks;
use super::resolve::FileSymbols;
use super::seal::{self, Turn, Unsealed};
use super::verify::{IndexState, Verified, blocks, differences};
use crate::capture::index::{Index, Prefix};
use crate::capture::reader::{Capture, Progress, ReadError, file_header};
use crate::capture::source::Source;
use crate::replay::checkpoint::Checkpoints;
use crate::replay::slices::Cuts;
use crate::replay::{self, Outcome, Pymalloc, replay};
use crate::symbol::SymbolOptions;

/// What can be chosen when a capture is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// What counts of memory that is recorded twice.
    pub pymalloc: Pymalloc,
    /// A block is temporary when its thread allocated at most this many others before it was freed.
    pub temporary_distance: u64,
    /// Look up functions, files and lines. Without, frames are addresses in modules.
    pub symbols: bool,
    /// Where files with symbols are.
    pub symbol_files: SymbolOptions,
    /// Where slices of time begin and end.
    pub cuts: Cuts,
    /// Take the slices from an index, too. Without, a sealed capture's profile has none, and is there sooner.
    pub slices: bool,
    /// Append the index if the capture has none and the file can be written.
    pub seal: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            pymalloc: Pymalloc::Objects,
            temporary_distance: 1,
            symbols: true,
            symbol_files: SymbolOptions::default(),
            cuts: Cuts::Even,
            slices: true,
            seal: false,
        }
    }
}

/// Why a capture cannot be opened. Its text names the file and the way out.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    problem: Problem,
}

/// What is wrong with the file.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be opened.
    Unavailable(io::Error),
    /// It is a folder, a pipe or a device.
    NotAFile,
    /// It is no capture that can be read.
    Unreadable(ReadError),
}

impl OpenError {
    pub(super) fn unreadable(path: &Path, error: ReadError) -> Self {
        Self { path: path.to_owned(), problem: Problem::Unreadable(error) }
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.problem {
            Problem::Unavailable(error) if error.kind() == io::ErrorKind::NotFound => {
                write!(f, "{path}: there is no such file; `memtrack run -o FILE PROGRAM` records one")
            }
            Problem::Unavailable(error) => write!(f, "{path} cannot be opened: {error}"),
            Problem::NotAFile => {
                write!(f, "{path} is not a regular file; name a capture that `memtrack run` wrote")
            }
            Problem::Unreadable(error) => {
                let way_out = match error {
                    ReadError::Empty => "; record again with `memtrack run`",
                    ReadError::NotACapture => "; name a file that `memtrack run` wrote",
                    ReadError::Damaged | ReadError::Gone => "; restore it from a copy or record again",
                    ReadError::Version { .. } => "; open it with the memtrack that recorded it",
                    ReadError::Io(_) => "",
                };
                write!(f, "{path} {error}{way_out}")
            }
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Unavailable(error) => Some(error),
            Problem::NotAFile => None,
            Problem::Unreadable(error) => Some(error),
        }
    }
}

/// Opens the capture at `path`: by its index, or else by replaying and naming it. `progress` gets bytes done and bytes
/// to do.
pub fn open(path: &Path, options: &OpenOptions, progress: Progress<'_>) -> Result<Profile, OpenError> {
    let file = file(path)?;
    if let Some(profile) = seal::load(&file, options) {
        return Ok(profile);
    }
    let capture = Capture::open(&file, progress).map_err(|error| OpenError::unreadable(path, error))?;
    let turn = if options.seal && capture.facts.end.is_some() { Turn::wait(&file) } else { None };
    if turn.is_some()
        && let Some(profile) = seal::load(&file, options)
    {
        return Ok(profile);
    }
    // The index is of what counts by default; its names hold for the rest, too.
    let default = OpenOptions { pymalloc: Pymalloc::default(), slices: false, ..options.clone() };
    let known = if options.pymalloc == default.pymalloc { None } else { seal::load(&file, &default) };
    let mut fresh = fresh(path, capture, known.as_ref(), (options, options.seal), progress)?;
    if options.seal && seal::is_of(&fresh.profile) {
        // Without an index the next reader has to do what this one did; that is all.
        let _ = seal::append(path, &file, &mut fresh, turn.as_ref(), options);
    }
    Ok(fresh.profile)
}

/// What a replay of a file has given.
pub(super) struct Fresh {
    pub(super) profile: Profile,
    /// Empty where they were not asked for.
    pub(super) checkpoints: Checkpoints,
    /// Bytes of the file that were replayed.
    pub(super) covers: u64,
}

/// Replays and names a capture, whether it is sealed or not. `known`: a profile whose names are used where the files have no
/// better ones. `to_seal`: checkpoints are wanted.
fn fresh(
    path: &Path,
    capture: Capture<&File>,
    known: Option<&Profile>,
    (options, to_seal): (&OpenOptions, bool),
    progress: Progress<'_>,
) -> Result<Fresh, OpenError> {
    // One with an end has no collector any more, but perhaps somebody who seals it.
    let held = capture.facts.end.is_none() && is_held(capture.source);
    let mut replayed = Replayed::new(capture, held, (options, to_seal), progress)
        .map_err(|error| OpenError::unreadable(path, error.into()))?;
    let (covers, checkpoints) = (replayed.capture.size, replayed.take_checkpoints());
    if !options.symbols {
        return Ok(Fresh { profile: replayed.profile(&mut NoSymbols), checkpoints, covers });
    }
    let modules = replayed.outcome.state.census.modules.clone();
    let files = FileSymbols::new(&replayed.capture, &modules, &options.symbol_files);
    let (capture, outcome, state) = (&replayed.capture, replayed.outcome, replayed.state);
    let profile = match known {
        Some(known) => build(capture, outcome, state, &mut Better(files, KnownNames::new(known))),
        None => build(capture, outcome, state, &mut { files }),
    };
    Ok(Fresh { profile, checkpoints, covers })
}

/// Seals the capture at `path`. Answers the bytes of its index, and whether it had that already.
///
/// # Errors
/// It cannot be opened; [`Unsealed`] says why it could not be sealed.
pub fn seal(
    path: &Path,
    options: &OpenOptions,
    progress: Progress<'_>,
) -> Result<Result<(u64, bool), Unsealed>, OpenError> {
    let file = file(path)?;
    if seal::load(&file, options).is_some()
        && let Ok(Some(index)) = Index::open(&file)
    {
        return Ok(Ok((index.size(), true)));
    }
    let capture = Capture::open(&file, progress).map_err(|error| OpenError::unreadable(path, error))?;
    let mut fresh = fresh(path, capture, None, (options, true), progress)?;
    Ok(seal::append(path, &file, &mut fresh, None, options).map(|bytes| (bytes, false)))
}

/// Names the frames of the capture at `path` once more, with the files that there are now, and keeps what was known.
/// Answers the profile, and the bytes of the index that was appended; 0 where that brought nothing new.
///
/// # Errors
/// As [`seal()`].
pub fn symbolize(
    path: &Path,
    options: &OpenOptions,
    progress: Progress<'_>,
) -> Result<Result<(Profile, u64), Unsealed>, OpenError> {
    let file = file(path)?;
    let known = seal::load(&file, options);
    let capture = Capture::open(&file, progress).map_err(|error| OpenError::unreadable(path, error))?;
    let mut fresh = fresh(path, capture, known.as_ref(), (options, true), progress)?;
    if known.is_some_and(|known| differences(&known, &fresh.profile).is_empty()) {
        return Ok(Ok((fresh.profile, 0)));
    }
    let appended = seal::append(path, &file, &mut fresh, None, options);
    Ok(appended.map(|bytes| (fresh.profile, bytes)))
}

/// Reads all of the capture at `path` and compares its index with what its events say.
///
/// # Errors
/// It cannot be read at all.
pub fn verify(path: &Path, options: &OpenOptions, progress: Progress<'_>) -> Result<Verified, OpenError> {
    let file = file(path)?;
    let unreadable = |error| OpenError { path: path.to_owned(), problem: Problem::Unreadable(error) };
    file_header(&&file).map_err(unreadable)?;
    let (blocks, damaged) = blocks(&&file).map_err(|error| unreadable(error.into()))?;
    let index = match (Index::open(&file), seal::load(&file, options)) {
        (Ok(Some(index)), Some(sealed)) => {
            let covered = Prefix::new(&file, index.seal.covers);
            let capture = Capture::open(&covered, progress).map_err(unreadable)?;
            let mut replayed =
                Replayed::new(capture, false, (options, true), progress).map_err(|error| unreadable(error.into()))?;
            let fresh = replayed.take_checkpoints();
            let mut parts = differences(&sealed, &replayed.profile(&mut KnownNames::new(&sealed)));
            // An index may do without.
            let found = index::checkpoints(|section| index.section(section).ok()?);
            if found.is_none_or(|found| found != fresh && found != Checkpoints::default()) {
                parts.push("checkpoints");
            }
            if parts.is_empty() { IndexState::Equal } else { IndexState::Differs(parts) }
        }
        _ => IndexState::None,
    };
    Ok(Verified { blocks, damaged, index })
}

/// Opens the file of a capture.
pub(super) fn file(path: &Path) -> Result<File, OpenError> {
    let fail = |problem| OpenError { path: path.to_owned(), problem };
    let metadata = path.metadata().map_err(|error| fail(Problem::Unavailable(error)))?;
    // Before opening: a pipe would wait for its writer.
    if !metadata.is_file() {
        return Err(fail(Problem::NotAFile));
    }
    File::open(path).map_err(|error| fail(Problem::Unavailable(error)))
}

/// As [`open()`], for any source and any names. `held`: its collector is still at work.
pub fn read(
    source: &impl Source,
    held: bool,
    options: &OpenOptions,
    symbols: &mut dyn Symbols,
    progress: Progress<'_>,
) -> Result<Profile, ReadError> {
    let capture = Capture::open(source, progress)?;
    Ok(Replayed::new(capture, held, (options, false), progress)?.profile(symbols))
}

/// A capture whose events are replayed and whose addresses have no names yet.
struct Replayed<S> {
    capture: Capture<S>,
    outcome: Outcome,
    state: State,
}

impl<S: Source> Replayed<S> {
    fn new(
        mut capture: Capture<S>,
        held: bool,
        (options, checkpoints): (&OpenOptions, bool),
        progress: Progress<'_>,
    ) -> io::Result<Self> {
        let &OpenOptions { pymalloc, temporary_distance, ref cuts, .. } = options;
        let chosen = replay::Options { pymalloc, temporary_distance, cuts: cuts.clone(), checkpoints };
        let outcome = replay(&mut capture, &chosen, progress)?;
        let state = remarks::state(&capture.facts, &capture.damage, &outcome, held);
        Ok(Self { capture, outcome, state })
    }

    fn take_checkpoints(&mut self) -> Checkpoints {
        std::mem::take(&mut self.outcome.checkpoints)
    }

    fn profile(self, symbols: &mut dyn Symbols) -> Profile {
        build(&self.capture, self.outcome, self.state, symbols)
    }
}

/// Whether the collector, which locks the file it writes, still has it. Where files cannot be locked, it has not.
fn is_held(file: &File) -> bool {
    match file.try_lock_shared() {
        Ok(()) => {
            // Closing the file does it too; until then the lock would be in the way of others.
            drop(file.unlock());
            false
        }
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => false,
    }
}
