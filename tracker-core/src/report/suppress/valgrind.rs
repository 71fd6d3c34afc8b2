//! Suppressions as valgrind writes and reads them: blocks in braces with the functions, libraries and source files of a
//! stack from the leaf on, as far as it has to be like that.
//!
//! Kinds of leaks are valgrind's and not told apart here, so `match-leak-kinds` means nothing.

use super::SuppressionError;
use crate::report::name::base_name;
use crate::report::profile::{Frame, Profile, Stack};
use crate::symbol::demangle;

/// What one frame has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Function(String),
    Object(String),
    Source(String),
    /// Any number of frames, none included.
    Any,
}

/// A block that is about leaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StackRule {
    name: String,
    lines: Vec<Line>,
}

const FRAME: &str = "fun:, obj:, src: or ...";

/// Reads the block that began on line `start`; `None` when it is for another tool or error.
pub(super) fn block<'t>(
    start: usize,
    lines: &mut impl Iterator<Item = (usize, &'t str)>,
) -> Result<Option<StackRule>, SuppressionError> {
    let open = || SuppressionError::new(start, "a `}` for it", "{");
    let (number, name) = lines.next().ok_or_else(open)?;
    if name == "}" {
        return Err(SuppressionError::new(number, "a name", name));
    }
    let (number, kind) = lines.next().ok_or_else(open)?;
    let (tools, error) = match kind.split_once(':') {
        Some(("fun" | "obj" | "src", _)) | None => return Err(SuppressionError::new(number, "TOOL:KIND", kind)),
        Some(parts) => parts,
    };
    let about_leaks = tools.split(',').any(|tool| tool.trim() == "Memcheck") && error.trim() == "Leak";
    let mut rule = StackRule { name: name.to_owned(), lines: Vec::new() };
    loop {
        let (number, line) = lines.next().ok_or_else(open)?;
        let unknown = || SuppressionError::new(number, FRAME, line);
        match line {
            "}" if about_leaks && rule.lines.is_empty() => return Err(unknown()),
            "}" => return Ok(about_leaks.then_some(rule)),
            _ if !about_leaks => {}
            "..." => rule.lines.push(Line::Any),
            line => {
                let (kind, pattern) = line.split_once(':').ok_or_else(unknown)?;
                let pattern = pattern.trim().to_owned();
                match kind {
                    "fun" => rule.lines.push(Line::Function(pattern)),
                    "obj" => rule.lines.push(Line::Object(pattern)),
                    "src" => rule.lines.push(Line::Source(pattern)),
                    "match-leak-kinds" => {}
                    _ => return Err(unknown()),
                }
            }
        }
    }
}

impl StackRule {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The rule, decided for the frames of `profile`.
    pub(super) fn paths(&self, profile: &Profile) -> Paths<'_> {
        let frames = |line: &Line| match line {
            Line::Any => Vec::new(),
            line => profile.frames.iter().map(|frame| line.is(profile, frame)).collect(),
        };
        Paths { rule: self, frames: self.lines.iter().map(frames).collect() }
    }
}

impl Line {
    fn is(&self, profile: &Profile, frame: &Frame) -> bool {
        match self {
            Self::Function(pattern) => frame.function.as_deref().is_some_and(|name| is_function(pattern, name)),
            Self::Object(pattern) => profile.module_path(frame).is_some_and(|path| glob(pattern, path)),
            Self::Source(pattern) => frame.file.as_deref().is_some_and(|file| {
                let file = base_name(file);
                match frame.line {
                    _ if glob(pattern, file) => true,
                    Some(line) => glob(pattern, &format!("{file}:{line}")),
                    None => false,
                }
            }),
            Self::Any => true,
        }
    }
}

/// Functions are listed by their mangled names, where they have one.
fn is_function(pattern: &str, name: &str) -> bool {
    glob(pattern, name) || (pattern.starts_with("_Z") && demangle(pattern) == name)
}

/// A rule and, line by line, which frames are as it says.
#[derive(Debug)]
pub(super) struct Paths<'r> {
    rule: &'r StackRule,
    frames: Vec<Vec<bool>>,
}

impl<'r> Paths<'r> {
    pub(super) fn name(&self) -> &'r str {
        &self.rule.name
    }

    /// valgrind's stacks begin with the allocator function, but for those that stand for it, like `operator new`.
    pub(super) fn matches(&self, stack: &Stack) -> bool {
        let allocator = stack.function.map(|function| function.name());
        let is = |line: usize, at: usize| match (at.checked_sub(1), self.rule.lines.get(line)) {
            (None, Some(Line::Function(pattern))) => allocator.is_some_and(|name| glob(pattern, name)),
            (None, _) => false,
            (Some(at), _) => {
                let id = stack.frames.get(at).map(|id| id.0 as usize);
                let frames = self.frames.get(line).zip(id);
                frames.is_some_and(|(frames, id)| frames.get(id) == Some(&true))
            }
        };
        let end = stack.frames.len() + 1;
        self.is_path(0, end, &is) || self.is_path(1, end, &is)
    }

    /// Whether frames from `at` on are as the lines say; behind the last line there may be more.
    fn is_path(&self, mut at: usize, end: usize, is: &impl Fn(usize, usize) -> bool) -> bool {
        let lines = &self.rule.lines;
        let (mut line, mut again) = (0, None);
        loop {
            match lines.get(line) {
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
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut from, mut again) = (0, 0, None);
    loop {
        match (pattern.get(at), text.get(from)) {
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
    use crate::report::suppress::Suppressions;
    use crate::report::suppress::tests::rule;

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
            assert_eq!(glob(pattern, text), is, "{pattern} {text}");
        }
    }

    #[track_caller]
    fn check(lines: &str, stack: &str, is: bool) {
        let mut suppressions = Suppressions::none();
        let lines = lines.replace(' ', "\n   ");
        let other = "{\n cond\n Memcheck:Cond\n fun:whatever\n}\n";
        suppressions.add_file(&format!("{other}{{\n  known\n  Memcheck:Leak\n   {lines}\n}}\n")).unwrap();
        assert_eq!(rule(&suppressions, stack, 1).is_some(), is, "{lines} {stack}");
    }

    #[test]
    fn stacks_from_the_leaf_on() {
        let stack = "malloc: grow@src/list.c:12 push!/opt/libx.so.1 main";
        check("match-leak-kinds:definite fun:malloc fun:grow", stack, true);
        check("fun:malloc fun:push", stack, false);
        check("fun:malloc ... fun:push fun:main", stack, true);
        check("fun:grow obj:*/libx.so*", stack, true);
        check("fun:malloc src:list.c:12 fun:pu?h", stack, true);
        check("src:list.c", stack, true);
        check("... fun:nobody", stack, false);
        check("fun:calloc ...", stack, false);
        check("fun:malloc ... ... fun:main ...", stack, true);
        check("fun:malloc fun:grow fun:push fun:main fun:_start", stack, false);
        check("fun:_ZN3app4loadEv", "malloc: app::load() main", true);
    }
}
