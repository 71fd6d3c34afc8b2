//! Limits that a program sets itself, for regions of its own: the marks of a test suite.

use std::collections::BTreeSet;
use std::fmt;

use super::limit::{Limit, LimitError};
use super::matcher::Matcher;
use super::measure::Measure;
use super::rule::{Budget, Level, Origin, Rule, Scope};
use crate::report::profile::Region;

/// A limit in a program that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredError {
    region: String,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Limit(LimitError),
    OfProcesses(Measure),
}

impl fmt::Display for DeclaredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program's limits of the region {:?}: ", self.region)?;
        match &self.problem {
            Problem::Limit(error) => error.fmt(f),
            Problem::OfProcesses(measure) => write!(f, "{} is known of whole processes only", measure.name()),
        }
    }
}

impl std::error::Error for DeclaredError {}

/// In front of the key of a limit that is one of each stack on its own.
const OF_STACKS: &str = "stack.";

impl Budget {
    /// The same, and a rule for each region with limits of its own. Those of a name count once.
    ///
    /// # Errors
    /// Limits that are none.
    pub fn with_declared<'r>(&self, regions: impl IntoIterator<Item = &'r Region>) -> Result<Self, DeclaredError> {
        let mut budget = self.clone();
        let mut known = BTreeSet::new();
        for region in regions.into_iter().filter(|region| !region.limits.is_empty()) {
            if known.insert((&region.name, &region.limits)) {
                budget.rules.extend(rules(region)?);
            }
        }
        Ok(budget)
    }
}

fn rules(region: &Region) -> Result<Vec<Rule>, DeclaredError> {
    let failed = |problem| DeclaredError { region: region.name.clone(), problem };
    let rule = |per_stack, name| Rule {
        name,
        scope: Scope { test: Some(Matcher::Name(region.name.clone())), per_stack, ..Scope::default() },
        limits: Vec::new(),
        level: Level::Fail,
        origin: Origin::Region(region.name.clone()),
        baseline: None,
    };
    let mut whole = rule(false, region.name.clone());
    let mut stacks = rule(true, format!("{}, per stack", region.name));
    for text in region.limits.split(',') {
        let (rule, text) = match text.trim().strip_prefix(OF_STACKS) {
            Some(text) => (&mut stacks, text),
            None => (&mut whole, text),
        };
        let limit = Limit::parse(text).map_err(|error| failed(Problem::Limit(error)))?;
        if matches!(limit.measure, Measure::Rss | Measure::Growth) {
            return Err(failed(Problem::OfProcesses(limit.measure)));
        }
        rule.limits.push(limit);
    }
    Ok([whole, stacks].into_iter().filter(|rule| !rule.limits.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(limits: &str) -> Result<String, String> {
        let region = Region { name: "t".into(), limits: limits.into(), ..Region::default() };
        let budget = Budget::default().with_declared([&region, &region]).map_err(|error| error.to_string())?;
        let rule = |rule: &Rule| {
            let limits: Vec<_> = rule.limits.iter().map(|l| format!("{}={}", l.measure.name(), l.text)).collect();
            format!("{} {}", rule.name, limits.join(" "))
        };
        Ok(budget.rules.iter().map(rule).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn limits_of_programs() {
        assert_eq!(told("").unwrap(), "");
        assert_eq!(told("peak=24MB, allocs=5").unwrap(), "t peak=24MB allocs=5");
        assert_eq!(told("stack.leaked=1MB,peak=1").unwrap(), "t peak=1; t, per stack leaked=1MB");
        assert_eq!(
            told("peek=1").unwrap_err().split(';').next(),
            Some("the program's limits of the region \"t\": unknown budget \"peek\"")
        );
        assert!(told("rss=1").unwrap_err().ends_with("rss is known of whole processes only"));
        assert!(told("peak=1,").unwrap_err().contains("has no value"));
    }
}
