//! Where the result of a judgement goes, and in which formats.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tracker_core::budget::Verdict;
use tracker_core::budget::render::{FORMATS, Format, Judged, format};

use crate::error::Error;
use crate::output::file::Target;
use crate::output::look::Look;
use crate::output::{self, check};

/// A format and a file; none is the terminal.
#[derive(Clone)]
pub(crate) struct Wanted {
    format: Option<&'static dyn Format>,
    file: Option<PathBuf>,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={:?}", self.format.map_or(TEXT, Format::name), self.file)
    }
}

const TEXT: &str = "text";

/// For `value_parser`: `FORMAT` or `FORMAT=FILE`.
pub(crate) fn wanted(text: &str) -> Result<Wanted, String> {
    let (name, file) = match text.split_once('=') {
        Some((name, file)) => (name, Some(file)),
        None => (text, None),
    };
    let found = match name {
        TEXT => None,
        name => Some(format(name).ok_or_else(|| {
            let known: Vec<_> = FORMATS.iter().map(|format| format.name()).collect();
            format!("known formats are {TEXT}, {}", known.join(", "))
        })?),
    };
    match file {
        Some("") => Err(format!("write {name}=FILE, or {name} alone")),
        file => Ok(Wanted { format: found, file: file.map(PathBuf::from) }),
    }
}

impl Wanted {
    /// A format for the terminal.
    pub(crate) fn here(name: &str) -> Self {
        Self { format: format(name), file: None }
    }
}

/// Who prints what goes to the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// A reading command: stdout.
    Stdout,
    /// `run`, whose stdout is the program's: stderr. Text only when `loud`.
    Stderr { loud: bool },
}

/// The folder that a CI system has checked the project out into, and that its paths are relative to: programs may be judged
/// in other folders, as the tests of a cargo workspace are.
fn checkout() -> Option<String> {
    let names = |variable| std::env::var(variable).ok().filter(|folder| folder.starts_with('/'));
    ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"].into_iter().find_map(names)
}

/// What a step of GitHub Actions shows without being asked: annotations, and a part of the step's summary.
fn for_github(judged: &Judged<'_, '_, '_>, terminal: Terminal) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::usage(format!("cannot write the step's summary: {error}"));
    let rendered = |name| {
        let mut bytes = Vec::new();
        format(name).map_or(Ok(()), |format| format.write(judged, &mut bytes)).map(|()| bytes).map_err(failed)
    };
    let annotations = rendered("github")?;
    match terminal {
        Terminal::Stdout => output::to_stdout(|out| out.write_all(&annotations))?,
        // The runner reads commands from there, too.
        Terminal::Stderr { .. } => output::print_note(&String::from_utf8_lossy(&annotations)),
    }
    if let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        let mut file = File::options().append(true).create(true).open(path).map_err(failed)?;
        file.write_all(&rendered("markdown")?).map_err(failed)?;
    }
    Ok(())
}

/// Tells the verdict in all formats that are wanted.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn tell(
    look: &Look,
    verdict: &Verdict<'_, '_>,
    capture: &Path,
    wanted: &[Wanted],
    terminal: Terminal,
) -> Result<(), Error> {
    let text = [Wanted { format: None, file: None }];
    let here = std::env::current_dir().unwrap_or_default().to_string_lossy().into_owned();
    let root = checkout().unwrap_or_else(|| here.clone());
    let capture = capture.to_string_lossy();
    let judged = Judged { verdict, capture: &capture, here: &here, root: &root };
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        for_github(&judged, terminal)?;
    }
    for wanted in if wanted.is_empty() { &text } else { wanted } {
        let bytes = match wanted.format {
            Some(format) => {
                let mut bytes = Vec::new();
                format.write(&judged, &mut bytes).map_err(|error| Error::usage(error.to_string()))?;
                bytes
            }
            None => {
                let look = if wanted.file.is_some() { &look.plain() } else { look };
                let text = match terminal {
                    Terminal::Stdout => check::text(look, verdict),
                    Terminal::Stderr { .. } => check::budgets(look, verdict),
                };
                text.into_bytes()
            }
        };
        match (&wanted.file, terminal) {
            // The result of an earlier run is what this file is for.
            (Some(path), _) => Target::new(path, true)?.write(|out| out.write_all(&bytes))?,
            (None, Terminal::Stdout) => output::to_stdout(|out| out.write_all(&bytes))?,
            (None, Terminal::Stderr { loud }) => {
                if loud || wanted.format.is_some() {
                    output::print_note(&String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
    Ok(())
}
