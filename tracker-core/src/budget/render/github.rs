//! GitHub's workflow commands, which become annotations at lines of the source.

use std::io;

use super::finding::{findings, sentence};
use super::{Format, Judged};
use crate::report::harmful::escaped;

pub(super) struct Github;

/// GitHub shows ten annotations of a kind per step; the last one says how many are missing.
const MOST: usize = 9;

impl Format for Github {
    fn name(&self) -> &'static str {
        "github"
    }

    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let findings = findings(judged.verdict, judged.root);
        for (kind, fails) in [("error", true), ("warning", false)] {
            let mut lines = Vec::new();
            for finding in findings.iter().filter(|finding| finding.fails() == fails) {
                let said = sentence(finding.outcome);
                let title = property(&format!("memory budget {}", finding.outcome.title()));
                for site in &finding.sites {
                    let message = data(&format!("{said}: {}", site.text()));
                    lines.push(match &site.place {
                        Some(place) => {
                            format!(
                                "::{kind} file={},line={},title={title}::{message}",
                                property(&place.path),
                                place.line
                            )
                        }
                        None => format!("::{kind} title={title}::{message}"),
                    });
                }
                if finding.sites.is_empty() {
                    lines.push(format!("::{kind} title={title}::{}", data(&said)));
                }
            }
            // Ten of a kind are shown: all of them, or nine and a line about the others.
            let shown = if lines.len() > MOST + 1 { MOST } else { lines.len() };
            for line in lines.iter().take(shown) {
                writeln!(out, "{line}")?;
            }
            if lines.len() > shown {
                writeln!(
                    out,
                    "::{kind} title=memory budget::and {} more; see the step's summary",
                    lines.len() - shown
                )?;
            }
        }
        Ok(())
    }
}

fn data(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(escaped).collect();
    lines.join("\n").replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
