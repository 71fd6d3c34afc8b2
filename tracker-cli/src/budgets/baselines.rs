//! Baseline files: read, and written.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracker_core::budget::baseline::program_name;
use tracker_core::budget::{Baseline, Baselines, Run};
use tracker_core::capture::block::FILE_MAGIC;
use tracker_core::report::filter::Selection;
use tracker_core::report::profile::Profile;

use super::{Budgets, recorded};
use crate::error::Error;

/// Where a baseline is unless the budget says so, beside the budget file.
pub(super) const DEFAULT: &str = ".memtrack/baseline.json";

/// `%n` in a baseline's name is the program's, so that several programs of a project have one each.
fn expand(path: &str, profile: &Profile) -> PathBuf {
    PathBuf::from(path.replace("%n", &program_name(profile).replace(['/', ' '], "-")))
}

impl Budgets {
    /// Reads the baselines that rules name. One that is missing is an error where a limit means its numbers.
    pub(super) fn baselines(&self, runs: &[Run<'_, '_>]) -> Result<Baselines, Error> {
        let mut all = Baselines::new();
        let Some(profile) = runs.first().map(|run| run.selection.profile()) else { return Ok(all) };
        for rule in &self.budget.rules {
            let Some(name) = rule.baseline.as_ref().filter(|name| !all.contains_key(*name)) else { continue };
            let path = expand(name, profile);
            let needed = rule.limits.iter().any(|limit| limit.allowed.is_relative());
            match read(self, &path) {
                Ok(baseline) => {
                    refuse_stranger(&baseline, profile, &path)?;
                    all.insert(name.clone(), baseline);
                }
                Err(Unread::Missing) if !needed => {}
                Err(Unread::Missing) => {
                    return Err(Error::usage(format!(
                        "there is no baseline {}; `memtrack baseline save` writes it",
                        path.display()
                    )));
                }
                Err(Unread::Wrong(error)) => return Err(error),
            }
        }
        Ok(all)
    }
}

fn refuse_stranger(baseline: &Baseline, profile: &Profile, path: &Path) -> Result<(), Error> {
    baseline.fits(profile).map_err(|error| Error::usage(format!("{} {error}", path.display())))
}

enum Unread {
    Missing,
    Wrong(Error),
}

fn read(budgets: &Budgets, path: &Path) -> Result<Baseline, Unread> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Missing,
        _ => Unread::Wrong(Error::usage(format!("cannot read the baseline {shown}: {error}"))),
    })?;
    if bytes.starts_with(&FILE_MAGIC) {
        let profile = budgets.read(path).map_err(Unread::Wrong)?;
        let whole = [Selection::whole(&profile)];
        let suppressions = budgets.suppressions_of(&whole).map_err(Unread::Wrong)?;
        return Ok(Baseline::of(&recorded(&whole, &suppressions).map_err(Unread::Wrong)?, &budgets.budget));
    }
    Baseline::parse(&String::from_utf8_lossy(&bytes))
        .map_err(|error| Unread::Wrong(Error::usage(format!("{shown}: {error}"))))
}

/// Measures and writes.
pub(super) fn save(budgets: &Budgets, runs: &[Run<'_, '_>], path: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
    let Some(profile) = runs.first().map(|run| run.selection.profile()) else { return Ok(Vec::new()) };
    let text = Baseline::of(runs, &budgets.budget).to_text();
    let named = budgets.budget.rules.iter().filter_map(|rule| rule.baseline.as_deref());
    let named_by_budget = path.is_none();
    let mut paths: BTreeSet<PathBuf> = match path {
        Some(path) => [expand(&path.to_string_lossy(), profile)].into(),
        None => named.map(|name| expand(name, profile)).collect(),
    };
    if paths.is_empty() {
        paths.insert(expand(&budgets.default_baseline.to_string_lossy(), profile));
    }
    for path in &paths {
        let failed = |error: io::Error| Error::usage(format!("cannot write the baseline {}: {error}", path.display()));
        if is_capture(path) {
            let reason = io::Error::new(io::ErrorKind::AlreadyExists, "it is a capture; name a .json file");
            return Err(failed(reason));
        }
        // Where nobody named it here, it is no other program's.
        if named_by_budget
            && let Ok(before) = fs::read(path)
            && let Ok(before) = Baseline::parse(&String::from_utf8_lossy(&before))
        {
            refuse_stranger(&before, profile, path)?;
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // Beside it first: a run that reads it at the same time sees the old one or the new one.
        let fresh = path.with_extension(format!("json.{}", std::process::id()));
        fs::write(&fresh, &text).and_then(|()| fs::rename(&fresh, path)).map_err(|error| {
            let _ = fs::remove_file(&fresh);
            failed(error)
        })?;
    }
    Ok(paths.into_iter().collect())
}

fn is_capture(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_MAGIC.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == FILE_MAGIC
}
