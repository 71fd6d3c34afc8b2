//! Which leaks are set apart: files that are named, and what programs carry themselves.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tracker_core::budget::rule::Origin;
use tracker_core::report::profile::Profile;
use tracker_core::report::suppress::{Applied, Suppressions};
use tracker_core::symbol::default_suppressions;

use crate::error::Error;

/// Bytes of a suppression file.
const MAX_BYTES: u64 = 1 << 20;

/// Leaks that are not to be counted.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Suppressions")]
pub(crate) struct SuppressionArgs {
    /// File with `leak:PATTERN` lines, as LeakSanitizer takes them, or with valgrind's suppressions; may be given several
    /// times
    #[arg(long, value_name = "FILE")]
    suppressions: Vec<PathBuf>,
    /// Count the blocks that libc, ld.so, libstdc++ and CPython take once and keep, too
    #[arg(long)]
    no_builtin_suppressions: bool,
}

impl SuppressionArgs {
    /// Whether any of them is given.
    pub(crate) fn are_used(&self) -> bool {
        !self.suppressions.is_empty() || self.no_builtin_suppressions
    }

    /// Reads the files, and before them `more`, with the places where they are named.
    ///
    /// # Errors
    /// A file that cannot be read, or a line in it that is no suppression.
    pub(crate) fn load(&self, more: &[(PathBuf, &Origin)]) -> Result<Suppressions, Error> {
        let builtin = !self.no_builtin_suppressions;
        let mut all = if builtin { Suppressions::builtin() } else { Suppressions::none() };
        let more = more.iter().map(|(path, origin)| (path, format!("{origin}: ")));
        for (path, named) in more.chain(self.suppressions.iter().map(|path| (path, String::new()))) {
            let origin = format!("{named}suppression file {}", path.display());
            let failed = |error: &dyn std::fmt::Display| Error::usage(format!("{origin}: {error}"));
            let mut bytes = Vec::new();
            let file = File::open(path).map_err(|error| failed(&error))?;
            file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
            if bytes.len() as u64 > MAX_BYTES {
                return Err(failed(&"it is larger than 1 MiB"));
            }
            all.add_file(&origin, &String::from_utf8_lossy(&bytes)).map_err(|error| Error::usage(error.to_string()))?;
        }
        Ok(all)
    }

    /// The same, and what the programs of `profile` carry.
    ///
    /// # Errors
    /// As [`Self::load`] and [`with_carried`].
    pub(crate) fn load_for(&self, profile: &Profile) -> Result<Suppressions, Error> {
        with_carried(self.load(&[])?, [profile])
    }
}

/// Adds what the programs of `profiles` carry in `__lsan_default_suppressions`, while their files are there.
///
/// # Errors
/// A line that is no suppression.
pub(crate) fn with_carried<'p>(
    mut all: Suppressions,
    profiles: impl IntoIterator<Item = &'p Profile>,
) -> Result<Suppressions, Error> {
    let mut programs = Vec::new();
    for profile in profiles {
        for program in profile.processes.iter().map(|process| process.exe.as_str()) {
            let recorded = profile.modules.iter().find(|module| module.path == program);
            programs.extend(recorded.map(|module| (program, module.build_id.as_slice())));
        }
    }
    programs.sort_unstable();
    programs.dedup();
    for (program, build_id) in programs {
        if let Some(text) = default_suppressions(Path::new(program), build_id) {
            let origin = format!("__lsan_default_suppressions of {program}");
            all.add_file(&origin, &text).map_err(|error| Error::usage(error.to_string()))?;
        }
    }
    Ok(all)
}

/// What `suppressions` set apart in `profile`.
///
/// # Errors
/// There are too many for it.
pub(crate) fn applied<'s>(suppressions: &'s Suppressions, profile: &Profile) -> Result<Applied<'s>, Error> {
    suppressions.apply(profile).map_err(|error| Error::usage(error.to_string()))
}
