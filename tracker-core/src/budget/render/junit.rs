//! JUnit's XML: a suite per judgement, a test case per limit.

use std::io;

use super::finding::{allowed, findings, sentence, word};
use super::{Format, Judged};
use crate::budget::evaluate::Missing;
use crate::budget::rule::Level;
use crate::report::harmful::is_harmful;

pub(super) struct Junit;

impl Format for Junit {
    fn name(&self) -> &'static str {
        "junit"
    }

    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let verdict = judged.verdict;
        let findings = findings(verdict, judged.root);
        let failures = findings.iter().filter(|finding| finding.fails()).count();
        let skipped = verdict.outcomes.iter().filter(|outcome| outcome.found == Err(Missing::Nothing)).count();
        let tests = verdict.outcomes.len();
        writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
        writeln!(out, "<testsuites name=\"memtrack\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">")?;
        writeln!(
            out,
            "  <testsuite name={} tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">",
            attribute(judged.capture)
        )?;
        writeln!(out, "    <properties>")?;
        for outcome in &verdict.outcomes {
            let number = outcome.measured().map_or_else(String::new, |number| number.to_string());
            writeln!(out, "      <property name={} value={}/>", attribute(&outcome.title()), attribute(&number))?;
        }
        writeln!(out, "    </properties>")?;
        let mut findings = findings.into_iter().peekable();
        for outcome in &verdict.outcomes {
            let name = attribute(&outcome.title());
            let open = format!("    <testcase classname=\"memtrack\" name={name}");
            match findings.next_if(|finding| std::ptr::eq(finding.outcome, outcome)) {
                Some(finding) => {
                    let mut details = format!("{}\n", sentence(outcome));
                    finding.sites.iter().for_each(|site| details += &format!("{}\n", site.text()));
                    writeln!(out, "{open}>")?;
                    match outcome.rule.level {
                        Level::Fail => writeln!(
                            out,
                            "      <failure type=\"budget\" message={}>{}</failure>",
                            attribute(&sentence(outcome)),
                            text(&details)
                        )?,
                        // There are no warnings.
                        Level::Warn => writeln!(out, "      <system-out>warning: {}</system-out>", text(&details))?,
                    }
                    writeln!(out, "    </testcase>")?;
                }
                None if outcome.found == Err(Missing::Nothing) => {
                    writeln!(out, "{open}>\n      <skipped message={}/>\n    </testcase>", attribute(word(outcome)))?;
                }
                None => {
                    let measured = outcome.measured().map_or_else(String::new, |n| outcome.limit.measure.show(n));
                    let line = format!("{measured} of {} allowed", allowed(outcome));
                    writeln!(out, "{open}>\n      <system-out>{}</system-out>\n    </testcase>", text(&line))?;
                }
            }
        }
        writeln!(out, "  </testsuite>\n</testsuites>")
    }
}

/// Text between tags; characters that XML has no way to hold, or that turn the writing, as Rust's escapes.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(c),
            c if is_harmful(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A quoted attribute's value.
fn attribute(value: &str) -> String {
    format!("\"{}\"", text(value).replace('"', "&quot;").replace(['\n', '\t'], " "))
}
