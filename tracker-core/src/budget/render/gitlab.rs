//! GitLab's code quality report.

use std::io;

use serde::Serialize;

use super::finding::{Finding, findings, inside, sentence};
use super::{Format, Judged};
use crate::budget::rule::Origin;
use crate::report::escaping;
use crate::report::harmful::escaped;

pub(super) struct Gitlab;

#[derive(Serialize)]
struct Issue {
    description: String,
    check_name: String,
    fingerprint: String,
    severity: &'static str,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u32,
}

impl Format for Gitlab {
    fn name(&self) -> &'static str {
        "gitlab"
    }

    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let findings = findings(judged.verdict, judged.root);
        let all: Vec<Issue> = findings.iter().flat_map(|finding| issues(finding, judged)).collect();
        escaping::to_writer_pretty(&mut *out, &all)?;
        out.write_all(b"\n")
    }
}

/// The format wants a place for each of them: where a stack has none, that is where its limit was written.
fn issues(finding: &Finding<'_, '_>, judged: &Judged<'_, '_, '_>) -> Vec<Issue> {
    let outcome = finding.outcome;
    let (path, line) = match &outcome.rule.origin {
        Origin::File { path, line } => (path.as_str(), u32::try_from(*line).unwrap_or(1)),
        Origin::Flag | Origin::Region(_) => (judged.capture, 1),
    };
    let path = of_project(path, judged);
    let path = path.as_str();
    let issue = |detail: Option<String>, fingerprint: &str, (path, begin): (&str, u32)| Issue {
        description: match detail {
            Some(detail) => escaped(&format!("{}: {detail}", sentence(outcome))).into_owned(),
            None => escaped(&sentence(outcome)).into_owned(),
        },
        check_name: format!("memtrack/{}", outcome.limit.measure.name()),
        fingerprint: format!("{}/{}/{fingerprint}", outcome.rule.name, outcome.limit.measure.name()),
        severity: if finding.fails() { "major" } else { "minor" },
        location: Location { path: path.to_owned(), lines: Lines { begin } },
    };
    if finding.sites.is_empty() {
        return vec![issue(None, "", (path, line))];
    }
    let sites = finding.sites.iter().map(|site| {
        let place = site.place.as_ref().map_or((path, line), |place| (place.path.as_str(), place.line));
        issue(Some(site.text()), &site.fingerprint, place)
    });
    sites.collect()
}

/// A path that is meant in the working folder, as seen from the project's folder if it lies there.
fn of_project(path: &str, judged: &Judged<'_, '_, '_>) -> String {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", judged.here) };
    inside(&path, judged.root).unwrap_or(&path).to_owned()
}
