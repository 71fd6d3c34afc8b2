//! Markdown, as GitHub's step summary shows it and as bots post it.

use std::io;

use super::finding::{allowed, findings, sentence, word};
use super::{Format, Judged};
use crate::report::harmful::{escaped, is_harmful};

pub(super) struct Markdown;

impl Format for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let verdict = judged.verdict;
        let result = if verdict.passed() { "✅ within budget" } else { "❌ over budget" };
        writeln!(out, "### Memory: {result}\n\n`{}`\n", escaped(judged.capture).replace('`', "'"))?;
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
fn text(plain: &str) -> String {
    let mut safe = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' => safe.extend(['\\', c]),
            '\n' | '\t' | '\r' => safe.push(' '),
            c if is_harmful(c) => safe.push_str(&text(&c.escape_default().to_string())),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(text("a|b\n<i>"), "a\\|b &lt;i&gt;");
        assert_eq!(text("user\u{202e}gnp"), "user\\\\u{202e}gnp");
    }
}
