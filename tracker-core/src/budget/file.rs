//! Budget files: `memtrack.toml`, and the `memtrack` tables of `pyproject.toml` and `Cargo.toml`. Text in, rules out; whatever
//! is not understood is an error with its line, nothing is guessed.

use std::collections::BTreeSet;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::limit::Limit;
use super::matcher::Matcher;
use super::measure::Measure;
use super::rule::{After, Budget, Level, Origin, PROCESS, Rule, Scope};
use super::suggest::nearest;
use crate::report::span::{self, Moment};

/// What is wrong with a budget file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

impl std::error::Error for FileError {}

/// The tables in which a file of this name has its budget, one of them.
fn tables(file_name: &str) -> &'static [&'static [&'static str]] {
    match file_name {
        "pyproject.toml" => &[&["tool", "memtrack"]],
        "Cargo.toml" => &[&["package", "metadata", "memtrack"], &["workspace", "metadata", "memtrack"]],
        _ => &[&[]],
    }
}

/// Keys of `[budget]` and of `[[budget.rule]]` that are no measures.
const BUDGET_KEYS: [&str; 6] = ["baseline", "level", "repeat", "rule", "suppressions", "warmup"];
const RULE_KEYS: [&str; 11] =
    ["after", "baseline", "exe", "file", "level", "module", "name", "per", "self", "test", "under"];

/// Reads a budget file. `None`: it is a project's file and has no budget.
///
/// # Errors
/// The first thing that is not understood.
pub fn parse(path: &str, text: &str) -> Result<Option<Budget>, FileError> {
    let file = Reader { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        file.error(at, error.message())
    })?;
    let name = path.rsplit('/').next().unwrap_or(path);
    for steps in tables(name) {
        let found = steps.iter().try_fold(table.get_ref(), |table, step| table.get(*step)?.get_ref().as_table());
        if let Some(found) = found {
            return file.root(found).map(Some);
        }
    }
    Ok(None)
}

type Entry<'a, 'i> = (&'a Spanned<std::borrow::Cow<'i, str>>, &'a Spanned<DeValue<'i>>);

struct Reader<'t> {
    path: &'t str,
    text: &'t str,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        before.filter(|byte| **byte == b'\n').count() + 1
    }

    fn error(&self, at: usize, message: impl fmt::Display) -> FileError {
        FileError { path: self.path.to_owned(), line: self.line(at), message: message.to_string() }
    }

    fn origin(&self, at: usize) -> Origin {
        Origin::File { path: self.path.to_owned(), line: self.line(at) }
    }

    fn unknown_key(&self, (key, _): Entry<'_, '_>, place: &str, known: &[&str], measures: bool) -> FileError {
        let measures = Measure::ALL.map(Measure::name).into_iter().filter(|_| measures);
        let names: Vec<&str> = known.iter().copied().chain(measures).collect();
        let meant = match nearest(key.get_ref(), names.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known are {}", names.join(", ")),
        };
        self.error(key.span().start, format!("unknown key {:?} in {place}; {meant}", key.get_ref()))
    }

    fn root(&self, table: &DeTable<'_>) -> Result<Budget, FileError> {
        let mut budget = Budget::default();
        for (key, value) in table.iter() {
            match (key.get_ref().as_ref(), value.get_ref().as_table()) {
                ("budget", Some(table)) => budget = self.budget(key.span().start, table)?,
                ("budget", None) => return Err(self.error(key.span().start, "budget is a table: write [budget]")),
                _ => return Err(self.unknown_key((key, value), "memtrack's table", &["budget"], false)),
            }
        }
        Ok(budget)
    }

    fn budget(&self, at: usize, table: &DeTable<'_>) -> Result<Budget, FileError> {
        let mut budget = Budget::default();
        let mut whole = Rule {
            name: PROCESS.to_owned(),
            scope: Scope::default(),
            limits: Vec::new(),
            level: Level::Fail,
            origin: self.origin(at),
            baseline: None,
        };
        let mut rules = Vec::new();
        for entry in table.iter() {
            let (key, value) = entry;
            match key.get_ref().as_ref() {
                "baseline" => whole.baseline = Some(self.text_of(entry)?),
                "level" => whole.level = self.level(entry)?,
                "repeat" => budget.repeat = Some(self.number(entry, 1)?),
                "warmup" => budget.warmup = Some(self.number(entry, 0)?),
                "suppressions" => budget.suppressions = self.listed(entry)?,
                "rule" => {
                    let list = value.get_ref().as_array();
                    for rule in list.ok_or_else(|| self.error(key.span().start, "write rules as [[budget.rule]]"))? {
                        let at = rule.span().start;
                        let table = rule.get_ref().as_table();
                        rules.push(self.rule(
                            at,
                            table.ok_or_else(|| self.error(at, "a rule is a table: write [[budget.rule]]"))?,
                        )?);
                    }
                }
                name => match Measure::from_name(name) {
                    Some(measure) => whole.limits.push(self.limit(measure, entry)?),
                    None => return Err(self.unknown_key(entry, "[budget]", &BUDGET_KEYS, true)),
                },
            }
        }
        // The budget's baseline is that of all rules that name none.
        rules.iter_mut().filter(|rule| rule.baseline.is_none()).for_each(|r| r.baseline.clone_from(&whole.baseline));
        budget.rules = rules;
        if !whole.limits.is_empty() {
            budget.rules.insert(0, whole);
        }
        let mut names = BTreeSet::new();
        for rule in &budget.rules {
            if !names.insert(&rule.name) {
                let Origin::File { line, .. } = rule.origin else { continue };
                let message = format!("two rules are called {:?}; give them different names", rule.name);
                return Err(FileError { path: self.path.to_owned(), line, message });
            }
        }
        Ok(budget)
    }

    fn rule(&self, at: usize, table: &DeTable<'_>) -> Result<Rule, FileError> {
        let mut name = None;
        let mut baseline = None;
        let mut level = Level::Fail;
        let mut scope = Scope::default();
        let mut limits = Vec::new();
        for entry in table.iter() {
            let (key, value) = entry;
            match key.get_ref().as_ref() {
                "name" => name = Some(self.text_of(entry)?),
                "baseline" => baseline = Some(self.text_of(entry)?),
                "level" => level = self.level(entry)?,
                "exe" => scope.exe = Some(self.matcher(entry)?),
                "test" => scope.test = Some(self.matcher(entry)?),
                "under" => scope.under = Some(self.matcher(entry)?),
                "self" => scope.own = Some(self.matcher(entry)?),
                "module" => scope.module = Some(self.matcher(entry)?),
                "file" => scope.file = Some(self.matcher(entry)?),
                "after" => scope.after = Some(self.after(entry)?),
                "per" => match self.text_of(entry)?.as_str() {
                    "stack" => scope.per_stack = true,
                    other => {
                        return Err(self.error(value.span().start, format!("per = {other:?}: only \"stack\" is known")));
                    }
                },
                name => match Measure::from_name(name) {
                    Some(measure) => {
                        let limit = self.limit(measure, entry)?;
                        limits.push((key.span().start, limit));
                    }
                    None => return Err(self.unknown_key(entry, "[[budget.rule]]", &RULE_KEYS, true)),
                },
            }
        }
        for (at, limit) in &limits {
            if let Some(problem) = misfit(&scope, limit.measure) {
                return Err(self.error(*at, problem));
            }
        }
        if limits.is_empty() {
            let known = Measure::ALL.map(Measure::name).join(", ");
            return Err(self.error(at, format!("the rule limits nothing; give it at least one of {known}")));
        }
        if scope.after.is_some() && !limits.iter().any(|(_, limit)| limit.measure == Measure::Growth) {
            return Err(self.error(at, "after is the warm-up of growth, which the rule does not limit"));
        }
        Ok(Rule {
            name: name.unwrap_or_else(|| scope.to_string()),
            scope,
            limits: limits.into_iter().map(|(_, limit)| limit).collect(),
            level,
            origin: self.origin(at),
            baseline,
        })
    }

    fn limit(&self, measure: Measure, (key, value): Entry<'_, '_>) -> Result<Limit, FileError> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            other => {
                let message = format!(
                    "{} is a {}; write a whole number, or a text such as \"256MiB\"",
                    key.get_ref(),
                    other.type_str()
                );
                return Err(self.error(value.span().start, message));
            }
        };
        Limit::new(measure, &text).map_err(|error| self.error(value.span().start, error))
    }

    fn text_of(&self, (key, value): Entry<'_, '_>) -> Result<String, FileError> {
        match value.get_ref().as_str() {
            Some("") => Err(self.error(value.span().start, format!("{} is empty", key.get_ref()))),
            Some(text) => Ok(text.to_owned()),
            None => {
                let found = value.get_ref().type_str();
                Err(self.error(value.span().start, format!("{} is a text, not a {found}", key.get_ref())))
            }
        }
    }

    fn listed(&self, (key, value): Entry<'_, '_>) -> Result<Vec<(String, Origin)>, FileError> {
        let list = value.get_ref().as_array();
        let list = list
            .ok_or_else(|| self.error(value.span().start, format!("{} is a list: write [\"FILE\"]", key.get_ref())))?;
        list.iter().map(|value| Ok((self.text_of((key, value))?, self.origin(value.span().start)))).collect()
    }

    fn level(&self, entry: Entry<'_, '_>) -> Result<Level, FileError> {
        let text = self.text_of(entry)?;
        let level = [Level::Fail, Level::Warn].into_iter().find(|level| level.name() == text);
        level
            .ok_or_else(|| self.error(entry.1.span().start, format!("level {text:?}: known are \"fail\" and \"warn\"")))
    }

    fn number(&self, (key, value): Entry<'_, '_>, least: u32) -> Result<u32, FileError> {
        let number =
            value.get_ref().as_integer().and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        number.filter(|number| (least..=1000).contains(number)).ok_or_else(|| {
            self.error(value.span().start, format!("{} is a whole number from {least} to 1000", key.get_ref()))
        })
    }

    fn matcher(&self, entry: Entry<'_, '_>) -> Result<Matcher, FileError> {
        let text = self.text_of(entry)?;
        let (key, value) = entry;
        let made = match key.get_ref().as_ref() {
            "file" | "module" => Matcher::of_files(&text),
            _ => Matcher::new(&text),
        };
        made.map_err(|error| self.error(value.span().start, format!("{} = {text:?} {error}", key.get_ref())))
    }

    fn after(&self, entry: Entry<'_, '_>) -> Result<After, FileError> {
        let text = self.text_of(entry)?;
        match span::parse(&text) {
            Some(Moment::Later(_) | Moment::End) => {
                let message = format!("after = {text:?}: write a time such as \"5s\" or \"10%\", or a region's name");
                Err(self.error(entry.1.span().start, message))
            }
            Some(moment) => Ok(After::Moment(moment)),
            None if text.starts_with(|c: char| c.is_ascii_digit()) => {
                let message = format!("after = {text:?} is no time; write for example \"5s\", \"250ms\" or \"10%\"");
                Err(self.error(entry.1.span().start, message))
            }
            None => Ok(After::Region(text)),
        }
    }
}

/// Why a measure cannot be had of a scope.
fn misfit(scope: &Scope, measure: Measure) -> Option<String> {
    let of_processes = matches!(measure, Measure::Rss | Measure::Growth);
    (of_processes && (scope.selects_stacks() || scope.per_stack || scope.test.is_some())).then(|| {
        format!("{} is known of whole processes only; it goes with exe and with no other selector", measure.name())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[budget]
peak = "256MiB"
leaked = 65_536
suppressions = ["lsan.supp"]
baseline = ".memtrack/%n.json"
repeat = 3

[[budget.rule]]
name = "json decode"
under = "serde_json::de::*"
allocs = 100_000

[[budget.rule]]
per = "stack"
leaked = "4KiB"

[[budget.rule]]
exe = "server"
after = "5s"
growth = "1MiB/min"
level = "warn"
"#;

    #[test]
    fn a_whole_file_is_read() {
        let budget = parse("memtrack.toml", WHOLE).unwrap().unwrap();
        let told: Vec<String> = budget
            .rules
            .iter()
            .map(|rule| {
                let limits: Vec<_> = rule.limits.iter().map(|l| format!("{}={}", l.measure.name(), l.text)).collect();
                format!("{} {} {} {}", rule.origin, rule.name, limits.join(" "), rule.level.name())
            })
            .collect();
        assert_eq!(
            told,
            [
                "memtrack.toml:2 process leaked=65536 peak=256MiB fail",
                "memtrack.toml:9 json decode allocs=100000 fail",
                "memtrack.toml:14 per stack leaked=4KiB fail",
                "memtrack.toml:18 exe server growth=1MiB/min warn",
            ]
        );
        let listed: Vec<_> = budget.suppressions.iter().map(|(path, origin)| format!("{path} {origin}")).collect();
        assert_eq!(listed, ["lsan.supp memtrack.toml:5"]);
        assert_eq!((budget.repeat, budget.warmup), (Some(3), None));
        assert!(budget.rules.iter().all(|rule| rule.baseline.as_deref() == Some(".memtrack/%n.json")));
        assert_eq!(budget.rules[3].scope.after, Some(After::Moment(Moment::After(5_000_000_000))));
    }

    #[test]
    fn projects_have_a_table_for_it() {
        for (path, text, rules) in [
            ("a/pyproject.toml", "[tool.memtrack.budget]\npeak = 1", Some(1)),
            ("pyproject.toml", "[tool.black]\nline-length = 9", None),
            ("Cargo.toml", "[package.metadata.memtrack.budget]\npeak = 1", Some(1)),
            ("Cargo.toml", "[workspace.metadata.memtrack.budget]\npeak = 1", Some(1)),
            ("Cargo.toml", "[package]\nname = \"x\"", None),
            ("memtrack.toml", "", Some(0)),
            ("other.toml", "budget.peak = '1MiB'", Some(1)),
        ] {
            let found = parse(path, text).unwrap().map(|budget| budget.rules.len());
            assert_eq!(found, rules, "{path} {text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, message) in [
            ("[budget]\n\npeek = 1", "3: unknown key \"peek\" in [budget]; did you mean \"peak\"?"),
            (
                "[[budget.rule]]\nfunction = 'x'\npeak = 1",
                "2: unknown key \"function\" in [[budget.rule]]; known are after, ",
            ),
            ("[budgets]\npeak = 1", "1: unknown key \"budgets\" in memtrack's table; did you mean \"budget\"?"),
            ("[budget]\npeak = '1 MoB'", "2: budget peak: \"1 MoB\" is no size; write for example 256MiB"),
            ("[budget]\npeak = 1.5", "2: peak is a float; write a whole number"),
            ("[budget]\npeak = -1", "2: budget peak: \"-1\" is no size"),
            ("[budget]\nallocs = '1MiB'", "2: budget allocs: \"1MiB\" is no count"),
            ("[[budget.rule]]\npeak = 1\nunder = 're:('", "3: under = \"re:(\" is no regular expression: "),
            ("[[budget.rule]]\npeak = 1\nunder = 'a.*b'", "3: under = \"a.*b\" looks like a regular expression"),
            ("[[budget.rule]]\npeak = 1\nexe = '*'", "3: exe = \"*\" matches every name"),
            ("[[budget.rule]]\nname = 'x'", "1: the rule limits nothing; give it at least one of peak, "),
            ("[[budget.rule]]\nper = 'thread'\npeak = 1", "2: per = \"thread\": only \"stack\" is known"),
            ("[[budget.rule]]\nunder = 'x'\nrss = 1", "3: rss is known of whole processes only"),
            ("[[budget.rule]]\nafter = '5s'\npeak = 1", "1: after is the warm-up of growth"),
            ("[[budget.rule]]\nafter = 'end'\ngrowth = 0", "2: after = \"end\": write a time"),
            ("[budget]\nlevel = 'error'\npeak = 1", "2: level \"error\": known are \"fail\" and \"warn\""),
            ("[budget]\nrepeat = 0", "2: repeat is a whole number from 1 to 1000"),
            ("[budget]\nsuppressions = 'x'", "2: suppressions is a list: write [\"FILE\"]"),
            (
                "[[budget.rule]]\nname = 'a'\npeak = 1\n[[budget.rule]]\nname = 'a'\npeak = 2",
                "4: two rules are called \"a\"",
            ),
            ("[budget]\npeak = 1\npeak = 2", "3: "),
            ("[budget\n", "1: "),
            ("budget = 7", "1: budget is a table: write [budget]"),
        ] {
            let error = parse("memtrack.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("memtrack.toml:{message}")), "{text}: {error}");
        }
    }
}
