//! Leaks that nobody wants to hear about: suppression files in LeakSanitizer's and valgrind's formats, and what libraries
//! take once and keep.

mod builtin;
mod decide;
mod finder;
mod rule;
mod valgrind;

use std::fmt;

use super::profile::{Profile, Row};
use rule::{Meter, Rule};

/// Which leaks are set apart.
#[derive(Debug, Clone, Default)]
pub struct Suppressions {
    rules: Vec<Rule>,
    builtin: bool,
}

/// A line of a suppression file that is none, or cannot be decided. Its text says where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SuppressionError {
    origin: String,
    /// Line number, from 1.
    pub line: usize,
    problem: String,
}

impl fmt::Display for SuppressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}: {}", self.origin, self.line, self.problem)
    }
}

impl std::error::Error for SuppressionError {}

impl SuppressionError {
    fn not_expected(origin: &str, line: usize, expected: &str, found: &str) -> Self {
        Self { origin: origin.to_owned(), line, problem: format!("expected {expected}, found {found:?}") }
    }

    fn too_general(origin: &str, line: usize, name: &str) -> Self {
        let problem = format!(
            "{name:?} is one of too many suppressions that fit too many names of this capture; use fewer, or longer parts \
             between `*`"
        );
        Self { origin: origin.to_owned(), line, problem }
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
    /// Empty lines and lines that start with `#` mean nothing. `origin` is what errors call the file.
    ///
    /// # Errors
    /// The first line that is anything else.
    pub fn add_file(&mut self, origin: &str, text: &str) -> Result<(), SuppressionError> {
        let meaningful = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let mut lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| meaningful(line));
        while let Some((number, line)) = lines.next() {
            if line == "{" {
                self.rules.extend(valgrind::block(origin, number, &mut lines)?);
                continue;
            }
            match line.strip_prefix("leak:").filter(|pattern| !pattern.is_empty()) {
                Some(pattern) => self.rules.push(Rule::of_pattern(pattern, origin, number)),
                None => {
                    let expected = "`leak:PATTERN` or valgrind's `{`";
                    return Err(SuppressionError::not_expected(origin, number, expected, line));
                }
            }
        }
        Ok(())
    }

    /// The names of the rules that were added, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| rule.name.as_str())
    }

    /// Decides for every stack of `profile`: the first rule that it meets counts, the built-in ones come last.
    ///
    /// # Errors
    /// Deciding would take too long; names one of the rules that are to blame.
    pub fn apply<'s>(&'s self, profile: &Profile) -> Result<Applied<'s>, SuppressionError> {
        let listed = decide::decide(&self.rules, profile, &mut Meter::new(Meter::FULL))?;
        let decided = listed.into_iter().zip(&profile.stacks).map(|(listed, stack)| match listed {
            Some(rule) => Some(Decided { name: &rule.name, most: u64::MAX }),
            None => builtin::find(profile, stack).filter(|_| self.builtin),
        });
        Ok(Applied(decided.collect()))
    }
}

/// Suppressions, decided for one profile.
#[derive(Debug, Clone, Default)]
pub struct Applied<'s>(Vec<Option<Decided<'s>>>);

impl<'s> Applied<'s> {
    /// The built-in list.
    pub fn builtin(profile: &Profile) -> Self {
        Self(profile.stacks.iter().map(|stack| builtin::find(profile, stack)).collect())
    }

    /// The rule that sets a row's leak apart.
    pub fn rule(&self, row: &Row) -> Option<&'s str> {
        let rule = (*self.0.get(row.stack.0 as usize)?)?;
        (row.metrics.leaked_blocks <= rule.most).then_some(rule.name)
    }

    /// Of a profile whose stacks, in order, were told apart by these rules.
    pub(super) fn told(names: impl IntoIterator<Item = Option<&'s str>>) -> Self {
        Self(names.into_iter().map(|name| name.map(|name| Decided { name, most: u64::MAX })).collect())
    }
}

#[derive(Debug, Clone, Copy)]
struct Decided<'s> {
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
        suppressions.apply(&profile).unwrap().rule(&profile.rows[0]).map(str::to_owned)
    }

    #[test]
    fn files_match_functions_files_and_modules() {
        let mut listed = Suppressions::none();
        listed.add_file("x.supp", "# known\n\n leak:^cache_*_new$\nleak:vendor/\nleak:libold.so\n").unwrap();
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
            assert_eq!(
                Suppressions::none().add_file("x.supp", text).unwrap_err().to_string(),
                format!("x.supp: {message}")
            );
        }
    }
    #[test]
    fn the_first_that_fits_counts() {
        let mut listed = Suppressions::none();
        listed
            .add_file("a", "{\nwhole\nMemcheck:Leak\nfun:malloc\nfun:parse\nfun:main\n}\nleak:main\nleak:parse\n")
            .unwrap();
        assert_eq!(rule(&listed, "malloc: parse main", 1).as_deref(), Some("whole"));
        assert_eq!(rule(&listed, "malloc: parse file main", 1).as_deref(), Some("main"));
        assert_eq!(rule(&listed, "malloc: parse start", 1).as_deref(), Some("parse"));
    }

    /// A profile of many names.
    fn large(stacks: usize) -> Profile {
        let numbers = Numbers { leaked: (1, 1), ..Numbers::default() };
        let stack = |n: usize| format!("malloc: alloc_{n}@src/file_{n}.c:{n} layer_{}::step_{n} main", n % 9);
        (0..stacks).fold(Sketch::new("./app"), |sketch, n| sketch.row(&stack(n), numbers)).build()
    }

    #[test]
    fn tens_of_thousands_are_decided() {
        let profile = large(2000);
        let text: String = (0..50_000).map(|n| format!("leak:a*c_{n}$\n")).collect();
        let mut listed = Suppressions::none();
        listed.add_file("a", &text).unwrap();
        let applied = listed.apply(&profile).unwrap();
        for (row, n) in profile.rows.iter().zip(0..) {
            assert_eq!(applied.rule(row), Some(format!("a*c_{n}$").as_str()));
        }
    }

    #[test]
    fn too_many_that_fit_everything_are_an_error() {
        let profile = large(2000);
        // 17 becomes `0*0*0*1*7`.
        let digits = |n: usize| format!("{n:05}").split("").collect::<Vec<_>>().join("*");
        let general = |line: &dyn Fn(String) -> String| {
            let mut listed = Suppressions::none();
            listed.add_file("general.supp", &(0..50_000).map(digits).map(line).collect::<String>()).unwrap();
            let mut meter = Meter::new(Meter::FULL / 100);
            decide::decide(&listed.rules, &profile, &mut meter).map(|_| ()).unwrap_err().to_string()
        };
        for message in [
            general(&|digits| format!("leak:a*{digits}*b\n")),
            general(&|digits| format!("{{\na name\nMemcheck:Leak\nfun:{digits}\n}}\n")),
            general(&|digits| format!("{{\na name\nMemcheck:Leak\n...\nsrc:?{digits}\nfun:main\n}}\n")),
        ] {
            assert!(message.starts_with("general.supp: line "), "{message}");
            assert!(message.contains(" is one of too many suppressions that fit too many names"), "{message}");
        }
    }
}
