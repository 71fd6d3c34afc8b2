//! Where the budget file is.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracker_core::budget::{Budget, file};

use crate::error::Error;
use crate::output::clean::clean;

/// Where a folder may have a budget, the first one counts.
const NAMES: [&str; 4] = ["memtrack.toml", ".config/memtrack.toml", "pyproject.toml", "Cargo.toml"];

/// A budget file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) budget: Budget,
    /// What paths in it are relative to.
    pub(super) folder: PathBuf,
}

/// The budget file that the environment names.
pub(super) fn of_environment() -> Option<PathBuf> {
    env::var_os("MEMTRACK_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Reads the named budget file, or the nearest one: in the working folder or above it.
///
/// # Errors
/// It cannot be read or understood.
pub(super) fn find(named: Option<&Path>) -> Result<Option<Found>, Error> {
    if let Some(path) = named {
        let budget = read(path, path)?.ok_or_else(|| {
            let hint = match path.file_name().is_some_and(|name| name == "Cargo.toml") {
                true => "[package.metadata.memtrack.budget]",
                false => "[tool.memtrack.budget]",
            };
            Error::usage(format!("{} has no budget: write it below {hint}", shown(path)))
        })?;
        return Ok(Some(Found { budget, folder: folder_of(path) }));
    }
    let here = env::current_dir().map_err(|error| Error::usage(format!("cannot look for a budget file: {error}")))?;
    for folder in here.ancestors() {
        for name in NAMES {
            let path = folder.join(name);
            if !path.is_file() {
                continue;
            }
            // People know where they are.
            let short = path.strip_prefix(&here).unwrap_or(&path);
            if let Some(budget) = read(&path, short)? {
                let folder = if folder == here { PathBuf::new() } else { folder.to_owned() };
                return Ok(Some(Found { budget, folder }));
            }
        }
    }
    Ok(None)
}

fn read(path: &Path, name: &Path) -> Result<Option<Budget>, Error> {
    let failed = |error: io::Error| Error::usage(format!("cannot read the budget file {}: {error}", shown(name)));
    let bytes = fs::read(path).map_err(failed)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text")))?;
    file::parse(&shown(name), &text).map_err(|error| Error::usage(clean(&error.to_string()).into_owned()))
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new(""));
    let in_config = folder.file_name().is_some_and(|name| name == ".config")
        && path.file_name().is_some_and(|name| name == "memtrack.toml");
    if in_config { folder.parent().unwrap_or(Path::new("")).to_owned() } else { folder.to_owned() }
}

fn shown(path: &Path) -> String {
    clean(&path.to_string_lossy()).into_owned()
}
