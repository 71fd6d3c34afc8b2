//! What a suppression asks of a stack: lines that its frames have to be like, from the allocation on.

use super::SuppressionError;
use crate::report::name::base_name;
use crate::report::pattern::Pattern;
use crate::symbol::demangle;

/// Steps that matching may take, so that no file of patterns can keep a reader busy for longer than a second or so.
#[derive(Debug)]
pub(super) struct Meter(u64);

impl Meter {
    /// So many that honest files and captures stay far below.
    pub(super) const FULL: u64 = 1 << 28;

    /// With so many left.
    pub(super) const fn new(steps: u64) -> Self {
        Self(steps)
    }

    pub(super) fn spend(&mut self, steps: usize) {
        self.0 = self.0.saturating_sub(steps as u64);
    }

    /// Whether there is none left, so that what was decided last means nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

/// What a frame has to be like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Test {
    /// A pattern of its function, source file or library.
    Name(Pattern),
    /// Its function. Files have the mangled name, where there is one; `readable` is what that means.
    Function { glob: String, readable: Option<String> },
    /// Its library or program.
    Object(String),
    /// Its source file, or file and line.
    Source(String),
}

impl Test {
    pub(super) fn function(glob: String) -> Self {
        let readable = Some(demangle(&glob)).filter(|readable| glob.starts_with("_Z") && *readable != glob);
        Self::Function { glob, readable }
    }

    /// Texts in every name that it accepts; where it accepts two kinds of names, of the one or the other.
    pub(super) fn pieces(&self) -> Vec<Vec<&str>> {
        match self {
            Self::Name(pattern) => vec![pattern.pieces().collect()],
            Self::Function { glob, readable } => {
                let readable = readable.as_deref().map(|readable| vec![readable]);
                [pieces(glob)].into_iter().chain(readable).collect()
            }
            Self::Object(glob) | Self::Source(glob) => vec![pieces(glob)],
        }
    }

    /// How many characters it names: the more, the fewer frames are like it.
    pub(super) fn weight(&self) -> usize {
        self.pieces().iter().map(|pieces| pieces.iter().map(|piece| piece.len()).sum()).min().unwrap_or(0)
    }

    pub(super) fn accepts_function(&self, name: &str, meter: &mut Meter) -> bool {
        match self {
            Self::Name(pattern) => is_like(pattern, name, meter),
            Self::Function { glob: pattern, readable } => {
                glob(pattern, name, meter) || readable.as_deref().is_some_and(|readable| readable == name)
            }
            Self::Object(_) | Self::Source(_) => false,
        }
    }

    pub(super) fn accepts_module(&self, path: &str, meter: &mut Meter) -> bool {
        match self {
            Self::Name(pattern) => is_like(pattern, path, meter),
            Self::Object(pattern) => glob(pattern, path, meter),
            Self::Function { .. } | Self::Source(_) => false,
        }
    }

    pub(super) fn accepts_file(&self, path: &str, line: Option<u32>, meter: &mut Meter) -> bool {
        match self {
            Self::Name(pattern) => is_like(pattern, path, meter),
            Self::Source(pattern) => {
                let file = base_name(path);
                glob(pattern, file, meter) || line.is_some_and(|line| glob(pattern, &format!("{file}:{line}"), meter))
            }
            Self::Function { .. } | Self::Object(_) => false,
        }
    }
}

/// Texts in every name that is as `glob` says.
fn pieces(glob: &str) -> Vec<&str> {
    glob.split(['*', '?']).collect()
}

fn is_like(pattern: &Pattern, name: &str, meter: &mut Meter) -> bool {
    meter.spend(16 + name.len() + pattern.as_str().len());
    pattern.matches(name)
}

/// One line of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Frame(Test),
    /// Any number of frames, none included.
    Any,
}

/// A suppression. Behind its last line a stack may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// What people call it.
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
    /// Where it is from, and on which line of that, from 1.
    pub(super) origin: String,
    pub(super) at: usize,
}

impl Rule {
    /// Any frame that is like `pattern`.
    pub(super) fn of_pattern(pattern: &str, origin: &str, at: usize) -> Self {
        let lines = vec![Line::Any, Line::Frame(Test::Name(Pattern::new(pattern)))];
        Self { name: pattern.to_owned(), lines, origin: origin.to_owned(), at }
    }

    /// Why it cannot be decided.
    pub(super) fn is_too_general(&self) -> SuppressionError {
        SuppressionError::too_general(&self.origin, self.at, &self.name)
    }

    /// Whether the lines are met from the place `start` of `end` on; `is`: the line of this number at a place.
    pub(super) fn is_path(
        &self,
        start: usize,
        end: usize,
        meter: &mut Meter,
        mut is: impl FnMut(usize, usize) -> bool,
    ) -> bool {
        let (mut at, mut line, mut again) = (start, 0, None);
        loop {
            meter.spend(1);
            match self.lines.get(line) {
                _ if meter.is_empty() => return false,
                None => return true,
                Some(Line::Any) => {
                    line += 1;
                    again = Some((line, at));
                }
                Some(_) if at < end && is(line, at) => (line, at) = (line + 1, at + 1),
                Some(_) => match again {
                    Some((after, from)) if from < end => {
                        again = Some((after, from + 1));
                        (line, at) = (after, from + 1);
                    }
                    _ => return false,
                },
            }
        }
    }
}

/// Whether all of `text` is as `pattern` says: `*` any characters, `?` one.
fn glob(pattern: &str, text: &str, meter: &mut Meter) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from, mut again) = (0, 0, None);
    meter.spend(16);
    loop {
        meter.spend(1);
        match (pattern.get(at), text.get(from)) {
            _ if meter.is_empty() => return false,
            (None, None) => return true,
            (Some(b'*'), _) => {
                at += 1;
                again = Some((at, from));
            }
            (Some(b'?'), Some(_)) => (at, from) = (at + 1, from + 1),
            (Some(a), Some(b)) if a == b => (at, from) = (at + 1, from + 1),
            _ => match again {
                Some((after, skipped)) if skipped < text.len() => {
                    again = Some((after, skipped + 1));
                    (at, from) = (after, skipped + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, is) in [
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*/libc.so*", "/lib/x/libc.so.6", true),
            ("?oo", "foo", true),
            ("", "", true),
            ("*a*b", "xaab", true),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text, &mut Meter::new(1000)), is, "{pattern} {text}");
        }
    }

    #[test]
    fn what_takes_too_long_is_given_up() {
        let mut meter = Meter::new(10_000);
        let (pattern, text) = (format!("*{}b", "a".repeat(500)), "a".repeat(4000));
        assert!(!glob(&pattern, &text, &mut meter));
        assert!(meter.is_empty());
    }
}
