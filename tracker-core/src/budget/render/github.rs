//! GitHub's workflow commands, which become annotations at lines of the source.

use std::io;

use super::finding::{Place, findings, sentence};
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
                // One annotation a line: the largest stack's.
                let mut told: Vec<&Place> = Vec::new();
                for site in &finding.sites {
                    if site.place.as_ref().is_some_and(|place| told.contains(&place)) {
                        continue;
                    }
                    told.extend(&site.place);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Baselines, Run, evaluate, file};
    use crate::report::filter::Selection;
    use crate::report::sketch::{Numbers, Sketch};
    use crate::report::suppress::Applied;

    #[test]
    fn a_line_has_one_annotation() {
        let peak = |bytes| Numbers { peak: (1, bytes), ..Numbers::default() };
        let profile = Sketch::new("./app")
            .row("malloc: parse@/src/a.c:7 main", peak(9000))
            .row("malloc: parse@/src/a.c:7 retry main", peak(800))
            .row("malloc: other@/src/a.c:9 main", peak(70))
            .build();
        let budget = file::parse("memtrack.toml", "[budget]\npeak = 1").unwrap().unwrap();
        let run = Run { selection: Selection::whole(&profile), suppressed: Applied::default() };
        let verdict = evaluate(&[run], &budget, &Baselines::new(), 5).unwrap();
        let mut bytes = Vec::new();
        let judged = Judged { verdict: &verdict, capture: "a.mtk", here: "/src", root: "/src" };
        Github.write(&judged, &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<_> =
            text.lines().filter_map(|line| line.split_once(",title=")).map(|(place, _)| place).collect();
        assert_eq!(lines, ["::error file=a.c,line=7", "::error file=a.c,line=9"], "{text}");
    }
}
