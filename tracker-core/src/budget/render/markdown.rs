//! Markdown, as GitHub's step summary shows it and as bots post it.

use std::io;

use super::finding::{allowed, findings, sentence, word};
use super::{Format, Judged};

pub(super) struct Markdown;

impl Format for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let verdict = judged.verdict;
        let result = if verdict.passed() { "✅ within budget" } else { "❌ over budget" };
        writeln!(out, "### Memory: {result}\n\n`{}`\n", judged.capture.replace('`', "'"))?;
        writeln!(out, "| budget | measured | allowed | |\n|---|--:|--:|---|")?;
        for outcome in &verdict.outcomes {
            let measured = outcome.measured().map_or_else(|| "-".to_owned(), |n| outcome.limit.measure.show(n));
            writeln!(
                out,
                "| {} | {measured} | {} | {} |",
                text(&outcome.title()),
                text(&allowed(outcome)),
                word(outcome)
            )?;
        }
        for finding in findings(verdict, judged.root) {
            writeln!(out, "\n**{}**", text(&sentence(finding.outcome)))?;
            if !finding.sites.is_empty() {
                writeln!(out)?;
            }
            for site in &finding.sites {
                writeln!(out, "- {}", text(&site.text()))?;
            }
        }
        Ok(())
    }
}

/// Text that is nothing but text.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' => safe.extend(['\\', c]),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
