//! Rules: which part of a recording is limited, and how.

use std::fmt;

use super::limit::Limit;
use super::matcher::Matcher;
use crate::report::span::Moment;

/// What a broken limit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    #[default]
    Fail,
    /// It is told, and decides nothing.
    Warn,
}

impl Level {
    /// Its name in files and results.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
        }
    }
}

/// Where a rule was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line.
    Flag,
    /// In the program, for the region of this name.
    Region(String),
    /// In a file, on a line counted from 1.
    File { path: String, line: usize },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("the command line"),
            Self::Region(name) => write!(f, "the program, in region {name:?}"),
            Self::File { path, line } => write!(f, "{path}:{line}"),
        }
    }
}

/// When a program has warmed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// At this moment.
    Moment(Moment),
    /// When the region of this name first ended.
    Region(String),
}

/// Which part of a recording is measured. Everything unless narrowed.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Each process image whose program's file name matches, on its own.
    pub exe: Option<Matcher>,
    /// Each test or region whose name matches, on its own.
    pub test: Option<Matcher>,
    /// Stacks that such a function is part of.
    pub under: Option<Matcher>,
    /// Stacks that are blamed on such a function: the innermost that is no allocator and no runtime library.
    pub own: Option<Matcher>,
    /// Stacks through such a library or program.
    pub module: Option<Matcher>,
    /// Stacks with a frame in such a source file.
    pub file: Option<Matcher>,
    /// Each stack on its own.
    pub per_stack: bool,
    /// Only what comes after the warm-up.
    pub after: Option<After>,
}

impl Scope {
    /// Whether only some stacks count.
    pub const fn selects_stacks(&self) -> bool {
        self.under.is_some() || self.own.is_some() || self.module.is_some() || self.file.is_some()
    }
}

/// In the words of a budget file; `process` when it is everything.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("exe", &self.exe),
            ("test", &self.test),
            ("under", &self.under),
            ("self", &self.own),
            ("module", &self.module),
            ("file", &self.file),
        ];
        let mut words: Vec<String> =
            parts.iter().filter_map(|(key, m)| Some(format!("{key} {}", m.as_ref()?))).collect();
        if self.per_stack {
            words.push("per stack".to_owned());
        }
        f.write_str(&if words.is_empty() { PROCESS.to_owned() } else { words.join(", ") })
    }
}

/// What the whole process is called where rules have names.
pub const PROCESS: &str = "process";

/// Limits on one scope.
#[derive(Debug, Clone)]
pub struct Rule {
    /// As its author calls it, or else its scope in words.
    pub name: String,
    pub scope: Scope,
    pub limits: Vec<Limit>,
    pub level: Level,
    pub origin: Origin,
    /// The file with the baseline that its relative limits mean; may hold `%n` for the program's name.
    pub baseline: Option<String>,
}

/// All that is asked of a recording.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    pub rules: Vec<Rule>,
    /// Suppression files, relative to the budget file's folder, and where they are named.
    pub suppressions: Vec<(String, Origin)>,
    /// How often the program is run; the least of each number counts.
    pub repeat: Option<u32>,
    /// How often it is run before that without being recorded.
    pub warmup: Option<u32>,
}
