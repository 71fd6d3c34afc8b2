//! Finds and opens the capture a command reads. The only place that knows how captures are opened.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tracker_core::capture::block::{FILE_HEADER_LEN, FileHeader, FileHeaderError};
use tracker_core::report::profile::{Profile, Pymalloc};
use tracker_core::report::span::Asked;
use tracker_core::report::verify::Verified;
use tracker_core::report::{self, OpenOptions, narrow, open};
use tracker_core::symbol::SymbolOptions;

use crate::error::Error;
use crate::output::clean::clean;
use crate::output::progress::Progress;
use crate::output::{note, trust, units};

/// A capture that was read.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) path: PathBuf,
    pub(crate) profile: Profile,
}

/// Reads the named capture, or the newest in this folder and says which on stderr.
///
/// # Errors
/// There is none, or it cannot be read; the message names the file and the reason.
pub(crate) fn read(named: Option<&Path>, pymalloc: Pymalloc) -> Result<Capture, Error> {
    let path = find(named)?;
    let profile = summed(&path, pymalloc)?;
    Ok(Capture { path, profile })
}

/// Reads all of the named captures, or the newest in this folder.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_all(named: &[PathBuf], pymalloc: Pymalloc) -> Result<Vec<Capture>, Error> {
    match named {
        [] => Ok(vec![read(None, pymalloc)?]),
        named => named.iter().map(|path| read(Some(path), pymalloc)).collect(),
    }
}

impl Capture {
    /// Narrows the numbers to a part of the time, if one is asked for.
    ///
    /// # Errors
    /// The capture has no such part, or cannot be read any more.
    pub(crate) fn within(self, asked: Asked) -> Result<Self, Error> {
        if asked.is_nothing() {
            return Ok(self);
        }
        let pymalloc = self.profile.pymalloc.unwrap_or_default();
        let whole = if self.profile.slices.is_empty() { profile(&self.path, pymalloc)? } else { self.profile };
        let span = asked.resolve(&whole).map_err(|error| Error::usage(error.to_string()))?;
        let mut progress = Progress::new("reading");
        let mut step = |done, all| progress.step(done, all);
        let options = OpenOptions { pymalloc, ..OpenOptions::default() };
        let profile =
            narrow(&self.path, whole, span, &options, &mut step).map_err(|error| Error::capture(error.to_string()))?;
        Ok(Self { path: self.path, profile })
    }
}

/// The named capture's path, or that of the newest in this folder.
///
/// # Errors
/// There is none.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, Error> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => newest(Path::new(".")),
    }
}

/// Opens the capture at `path`, and seals it if it is not.
///
/// # Errors
/// It cannot be read.
pub(crate) fn profile(path: &Path, pymalloc: Pymalloc) -> Result<Profile, Error> {
    opened(path, pymalloc, true)
}

/// The same without what happened over time, which a sealed capture's profile loads when somebody asks for a part of it.
///
/// # Errors
/// It cannot be read.
pub(crate) fn summed(path: &Path, pymalloc: Pymalloc) -> Result<Profile, Error> {
    opened(path, pymalloc, false)
}

fn opened(path: &Path, pymalloc: Pymalloc, slices: bool) -> Result<Profile, Error> {
    let mut progress = Progress::new("reading");
    let options = OpenOptions { pymalloc, slices, seal: true, ..OpenOptions::default() };
    open(path, &options, &mut |done, all| progress.step(done, all)).map_err(|error| Error::capture(error.to_string()))
}

/// Seals the capture at `path`. Answers the bytes of its index, and whether it had that already.
///
/// # Errors
/// It cannot be read, or not be written.
pub(crate) fn seal(path: &Path) -> Result<(u64, bool), Error> {
    let mut progress = Progress::new("sealing");
    let sealed = report::seal(path, &OpenOptions::default(), &mut |done, all| progress.step(done, all))
        .map_err(|error| Error::capture(error.to_string()))?;
    sealed.map_err(|error| Error::capture(format!("{} {error}", path.display())))
}

/// Names the frames of the capture at `path` once more. Answers its profile, and the bytes that were appended.
///
/// # Errors
/// It cannot be read, or not be written.
pub(crate) fn symbolize(path: &Path, symbol_files: SymbolOptions) -> Result<(Profile, u64), Error> {
    let mut progress = Progress::new("naming");
    let options = OpenOptions { symbol_files, ..OpenOptions::default() };
    let named = report::symbolize(path, &options, &mut |done, all| progress.step(done, all))
        .map_err(|error| Error::capture(error.to_string()))?;
    named.map_err(|error| Error::capture(format!("{} {error}", path.display())))
}

/// Compares all of the capture at `path` with its check sums and its index.
///
/// # Errors
/// It cannot be read.
pub(crate) fn verify(path: &Path) -> Result<Verified, Error> {
    let mut progress = Progress::new("verifying");
    report::verify(path, &OpenOptions::default(), &mut |done, all| progress.step(done, all))
        .map_err(|error| Error::capture(error.to_string()))
}

/// Says on stderr what is missing in a capture, for commands whose output has no place for it.
pub(crate) fn warn(path: &Path, profile: &Profile) {
    if let Some(missing) = trust::warning(profile) {
        note(&format!("{}: {missing} (memtrack summary tells more)", shown(path)));
    }
}

/// What pages call the capture: its file's name.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy()).into_owned()
}

fn shown(path: &Path) -> String {
    clean(&path.to_string_lossy()).into_owned()
}

/// The readable capture that started last, by its own header: copying a file changes its times.
fn newest(folder: &Path) -> Result<PathBuf, Error> {
    let failed = |error| Error::capture(format!("cannot list {}: {error}", folder.display()));
    let mut newest: Option<(u64, PathBuf)> = None;
    let mut unreadable = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)?.flatten() {
        let path = PathBuf::from(entry.file_name());
        if path.extension().is_none_or(|extension| extension != "mtk") {
            continue;
        }
        match start_of(&folder.join(&path)) {
            Ok(start) if newest.as_ref().is_none_or(|(newest, _)| start > *newest) => {
                newest = Some((start, path));
            }
            Ok(_) => {}
            Err(reason) => unreadable.push(format!("{} {reason}", shown(&path))),
        }
    }
    if let Some((start, path)) = newest {
        note(&format!("reading {} (newest here, {})", shown(&path), ago(start)));
        return Ok(path);
    }
    Err(Error::capture(match unreadable.as_slice() {
        [] => "no capture (*.mtk) in this folder; record one with `memtrack run PROGRAM`, or name one".to_owned(),
        [only] => format!("no readable capture in this folder: {only}"),
        [first, rest @ ..] => {
            format!("no readable capture in this folder: {first}, and {} more", rest.len())
        }
    }))
}

/// When the capture at `path` started, in nanoseconds since 1970; else what is wrong with it.
fn start_of(path: &Path) -> Result<u64, &'static str> {
    let mut bytes = Vec::with_capacity(FILE_HEADER_LEN);
    let file = File::open(path).map_err(|_| "cannot be opened")?;
    file.take(FILE_HEADER_LEN as u64).read_to_end(&mut bytes).map_err(|_| "cannot be read")?;
    if bytes.is_empty() {
        return Err("is empty");
    }
    FileHeader::decode(&bytes).map(|header| header.start_unix_ns).map_err(|error| match error {
        FileHeaderError::NotACapture => "is not a capture",
        FileHeaderError::Cut => "is cut inside its header",
        FileHeaderError::Damaged => "has a damaged header",
        FileHeaderError::Gone => "has no header any more",
        FileHeaderError::Version(_) => "was written by another version of memtrack",
    })
}

fn ago(start_unix_ns: u64) -> String {
    let start = UNIX_EPOCH + Duration::from_nanos(start_unix_ns);
    match SystemTime::now().duration_since(start) {
        Ok(span) => {
            let ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
            format!("started {} ago", units::duration(ns))
        }
        Err(_) => "started in the future".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(start_unix_ns: u64) -> Vec<u8> {
        let version = tracker_core::format::VERSION;
        FileHeader { version, session: [7; 16], start_unix_ns }.encode().to_vec()
    }

    /// A folder with these files; what `newest` answers.
    #[track_caller]
    fn check(name: &str, files: &[(&str, Vec<u8>)], expected: Result<&str, &str>) {
        let folder = std::env::temp_dir().join(format!("memtrack-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).unwrap();
        }
        let found = newest(&folder).map_err(|error| error.to_string());
        fs::remove_dir_all(&folder).unwrap();
        match (&found, expected) {
            (Ok(path), Ok(expected)) => assert_eq!(path, Path::new(expected)),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
            _ => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn the_newest_by_its_header() {
        let old = || ("z.mtk", header(1));
        check("two", &[old(), ("a.mtk", header(2))], Ok("a.mtk"));
        check("other", &[old(), ("notes.txt", header(9))], Ok("z.mtk"));
        check("bad", &[old(), ("bad.mtk", b"hello".to_vec())], Ok("z.mtk"));
    }

    #[test]
    fn none_is_an_error_that_says_why() {
        check("none", &[], Err("no capture (*.mtk) in this folder"));
        check("empty", &[("e.mtk", Vec::new())], Err("e.mtk is empty"));
        check("text", &[("t.mtk", b"text, not a capture".to_vec())], Err("t.mtk is not a capture"));
        check("cut", &[("c.mtk", header(1)[..20].to_vec())], Err("c.mtk is cut inside its header"));
        let newer = FileHeader { version: 99, session: [7; 16], start_unix_ns: 1 }.encode().to_vec();
        check("newer", &[("n.mtk", newer)], Err("another version"));
    }
}
