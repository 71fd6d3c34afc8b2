//! Leaks that nobody wants to hear about: suppression files in LeakSanitizer's and valgrind's formats, and what libraries
//! take once and keep.

mod builtin;
mod valgrind;

use std::fmt;

use super::pattern::Pattern;
use super::profile::{Frame, Profile, Row, Stack};
use valgrind::{Paths, StackRule};

/// Which leaks are set apart.
#[derive(Debug, Clone, Default)]
pub struct Suppressions {
    patterns: Vec<Pattern>,
    stacks: Vec<StackRule>,
    builtin: bool,
}

/// A line of a suppression file that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionError {
    /// Line number, from 1.
    pub line: usize,
    expected: &'static str,
    text: String,
}

impl fmt::Display for SuppressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected {}, found {:?}", self.line, self.expected, self.text)
    }
}

impl std::error::Error for SuppressionError {}

impl SuppressionError {
    fn new(line: usize, expected: &'static str, found: &str) -> Self {
        Self { line, expected, text: found.to_owned() }
    }
}

impl Suppressions {
    /// No suppressions at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The built-in list.
    pub fn builtin() -> Self {
        Self { builtin: true, ..Self::default() }
    }

    /// Adds the lines of a suppression file: `leak:PATTERN`, or valgrind's blocks in braces, of which those for leaks count.
    /// Empty lines and lines that start with `#` mean nothing.
    ///
    /// # Errors
    /// The first line that is anything else.
    pub fn add_file(&mut self, text: &str) -> Result<(), SuppressionError> {
        let meaningful = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let mut lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| meaningful(line));
        while let Some((number, line)) = lines.next() {
            if line == "{" {
                self.stacks.extend(valgrind::block(number, &mut lines)?);
                continue;
            }
            match line.strip_prefix("leak:").filter(|pattern| !pattern.is_empty()) {
                Some(pattern) => self.patterns.push(Pattern::new(pattern)),
                None => return Err(SuppressionError::new(number, "`leak:PATTERN` or valgrind's `{`", line)),
            }
        }
        Ok(())
    }

    /// The names of the rules that were added, in order: the patterns, then the names of valgrind's.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(Pattern::as_str).chain(self.stacks.iter().map(StackRule::name))
    }

    /// Decides for every stack of `profile`.
    pub fn apply<'s>(&'s self, profile: &Profile) -> Applied<'s> {
        let by_frame: Vec<Option<&Pattern>> = if self.patterns.is_empty() {
            Vec::new()
        } else {
            profile.frames.iter().map(|frame| self.pattern_for(profile, frame)).collect()
        };
        let paths: Vec<Paths<'_>> = self.stacks.iter().map(|rule| rule.paths(profile)).collect();
        let rule = |stack: &Stack| {
            let listed = stack.frames.iter().find_map(|id| *by_frame.get(id.0 as usize)?).map(Pattern::as_str);
            let listed = listed.or_else(|| paths.iter().find(|rule| rule.matches(stack)).map(Paths::name));
            let listed = listed.map(|name| Rule { name, most: u64::MAX });
            listed.or_else(|| if self.builtin { builtin::find(profile, stack) } else { None })
        };
        Applied(profile.stacks.iter().map(rule).collect())
    }

    fn pattern_for(&self, profile: &Profile, frame: &Frame) -> Option<&Pattern> {
        let names = [frame.function.as_deref(), frame.file.as_deref(), profile.module_path(frame)];
        let names = || names.into_iter().flatten();
        self.patterns.iter().find(|pattern| names().any(|name| pattern.matches(name)))
    }
}

/// Suppressions, decided for one profile.
#[derive(Debug, Clone, Default)]
pub struct Applied<'s>(Vec<Option<Rule<'s>>>);

impl<'s> Applied<'s> {
    /// The rule that sets a row's leak apart.
    pub fn rule(&self, row: &Row) -> Option<&'s str> {
        let rule = (*self.0.get(row.stack.0 as usize)?)?;
        (row.metrics.leaked_blocks <= rule.most).then_some(rule.name)
    }

    /// Of a profile whose stacks, in order, were told apart by these rules.
    pub(super) fn told(names: impl IntoIterator<Item = Option<&'s str>>) -> Self {
        Self(names.into_iter().map(|name| name.map(|name| Rule { name, most: u64::MAX })).collect())
    }
}

#[derive(Debug, Clone, Copy)]
struct Rule<'s> {
    name: &'s str,
    /// Most leaked blocks of a row that it explains.
    most: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    const PYTHON: &str = "!/usr/bin/python3.11";
    const LIBC: &str = "!/lib/x86_64-linux-gnu/libc.so.6";
    const LOADER: &str = "!/lib64/ld-linux-x86-64.so.2";
    const CPP: &str = "!/lib/x86_64-linux-gnu/libstdc++.so.6";

    /// Which rule, if any, suppresses a stack with so many leaked blocks.
    pub(super) fn rule(suppressions: &Suppressions, stack: &str, blocks: u64) -> Option<String> {
        let stack = stack.replace("!libc", LIBC).replace("!ld", LOADER).replace("!c++", CPP);
        let numbers = Numbers { leaked: (blocks, blocks), ..Numbers::default() };
        let stack = stack.replace("!py", PYTHON);
        let mut profile = Sketch::new("./app").row(&stack, numbers).build();
        profile.modules.iter_mut().for_each(|module| module.interpreter = PYTHON.ends_with(&module.path));
        suppressions.apply(&profile).rule(&profile.rows[0]).map(str::to_owned)
    }

    #[test]
    fn files_match_functions_files_and_modules() {
        let mut listed = Suppressions::none();
        listed.add_file("# known\n\n leak:^cache_*_new$\nleak:vendor/\nleak:libold.so\n").unwrap();
        for (stack, expected) in [
            ("malloc: cache_page_new main", Some("^cache_*_new$")),
            ("malloc: my_cache_page_new main", None),
            ("malloc: parse@vendor/json.c:3 main", Some("vendor/")),
            ("malloc: ?!/opt/libold.so.1 main", Some("libold.so")),
            ("malloc: _IO_file_doallocate!libc main", None),
        ] {
            assert_eq!(rule(&listed, stack, 1).as_deref(), expected, "{stack}");
        }
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, message) in [
            ("leak:a\nrace:b", "line 2: expected `leak:PATTERN` or valgrind's `{`, found \"race:b\""),
            ("leak:", "line 1: expected `leak:PATTERN` or valgrind's `{`, found \"leak:\""),
            ("{\n}", "line 2: expected a name, found \"}\""),
            ("{\nx\nfun:f\n}", "line 3: expected TOOL:KIND, found \"fun:f\""),
            ("{\nx\nMemcheck:Leak\nfunction:f\n}", "line 4: expected fun:, obj:, src: or ..., found \"function:f\""),
            ("\n{\nx\nMemcheck:Leak\nfun:f", "line 2: expected a `}` for it, found \"{\""),
            ("{\nx\nMemcheck:Leak\n}", "line 4: expected fun:, obj:, src: or ..., found \"}\""),
        ] {
            assert_eq!(Suppressions::none().add_file(text).unwrap_err().to_string(), message);
        }
    }
}
