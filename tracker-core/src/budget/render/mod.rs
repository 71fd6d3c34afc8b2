//! A verdict in the formats that CI systems read: one file per format.

mod finding;
mod github;
mod gitlab;
mod json;
mod junit;
mod markdown;
mod sarif;

use std::io;

use super::evaluate::Verdict;
use github::Github;
use gitlab::Gitlab;
use json::Json;
use junit::Junit;
use markdown::Markdown;
use sarif::Sarif;

/// A verdict, and what formats need to know beside it.
#[derive(Debug)]
pub struct Judged<'v, 'p, 'b> {
    pub verdict: &'v Verdict<'p, 'b>,
    /// The recorded program's capture, as its user calls it.
    pub capture: &'v str,
    /// The folder that paths in results are relative to.
    pub root: &'v str,
}

/// One format.
pub trait Format: Sync {
    /// Its name after `--format`.
    fn name(&self) -> &'static str;

    /// Writes all of it.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()>;
}

/// All of them, in the order in which help texts list them.
pub static FORMATS: [&dyn Format; 6] = [&Json, &Markdown, &Github, &Gitlab, &Junit, &Sarif];

/// From its name.
pub fn format(name: &str) -> Option<&'static dyn Format> {
    FORMATS.into_iter().find(|format| format.name() == name)
}
