//! How text may look on this terminal: its width, colours, and whether it shows more than ASCII.

use std::env;
use std::io::{self, IsTerminal as _};

use clap::ValueEnum;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// The properties of stdout that views adapt to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Columns; effectively without limit where no terminal is, so that nothing is shortened for `grep`.
    pub(crate) width: usize,
    pub(crate) color: bool,
    /// Draw with box characters, `…` and `·`.
    pub(crate) unicode: bool,
}

/// Width of output that nobody looks at directly.
const UNLIMITED: usize = 1 << 20;
/// Tables need some room.
const NARROWEST: usize = 40;

impl Look {
    /// That of stdout.
    pub(crate) fn of_stdout(color: Color) -> Self {
        Self::of(color, io::stdout().is_terminal())
    }

    /// That of stderr.
    pub(crate) fn of_stderr(color: Color) -> Self {
        Self::of(color, io::stderr().is_terminal())
    }

    fn of(color: Color, terminal: bool) -> Self {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let forced = env::var_os("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0");
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !set("NO_COLOR") && (forced || (terminal && !dumb)),
        };
        Self { width: width(terminal).max(NARROWEST), color, unicode: unicode() }
    }

    /// The same for a file: no colours, nothing shortened.
    pub(crate) fn plain(&self) -> Self {
        Self { width: UNLIMITED, color: false, ..*self }
    }

    /// `text` in bold.
    pub(crate) fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// `text` that may be overlooked.
    pub(crate) fn dim(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// `text` that is bad news.
    pub(crate) fn red(&self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// `text` that warns.
    pub(crate) fn yellow(&self, text: &str) -> String {
        self.paint("33", text)
    }

    /// `text` that is good news.
    pub(crate) fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    /// `text` that is drawn.
    pub(crate) fn cyan(&self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        // A line's end is not painted: it would be part of the next line.
        match text.strip_suffix('\n') {
            Some(line) => format!("\x1b[{code}m{line}\x1b[0m\n"),
            None => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }

    /// Between parts of a line.
    pub(crate) fn dot(&self) -> &'static str {
        if self.unicode { " · " } else { ", " }
    }

    /// Stands for what was cut out.
    pub(crate) fn ellipsis(&self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// `text` in at most `width` columns, its middle cut out when it is longer.
    pub(crate) fn fit(&self, text: &str, width: usize) -> String {
        self.cut(text, width, |room| room * 3 / 5)
    }

    /// `text` in at most `width` columns, its front cut off when it is longer.
    pub(crate) fn fit_end(&self, text: &str, width: usize) -> String {
        self.cut(text, width, |_| 0)
    }

    fn cut(&self, text: &str, width: usize, head: impl Fn(usize) -> usize) -> String {
        let len = columns(text);
        if len <= width {
            return text.to_owned();
        }
        let mark = self.ellipsis();
        let room = width.saturating_sub(columns(mark));
        let head = head(room);
        let mut cut: String = text.chars().take(head).collect();
        cut.push_str(mark);
        cut.extend(text.chars().skip(len - (room - head)));
        cut
    }
}

/// Columns that `text`, without escapes, takes.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().count()
}

fn width(terminal: bool) -> usize {
    let asked = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let real = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into());
    match asked {
        Some(columns) if columns > 0 => columns,
        _ if terminal => real().unwrap_or(80),
        _ => UNLIMITED,
    }
}

/// What the locale says, in the order of setlocale.
fn unicode() -> bool {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look { width: 80, color: false, unicode: true };

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(LOOK.fit("short", 5), "short");
        assert_eq!(LOOK.fit("abcdefghijklmnop", 11), "abcdef…mnop");
        assert_eq!(Look { unicode: false, ..LOOK }.fit("abcdefghijklmnop", 13), "abcdef...mnop");
        assert_eq!(LOOK.fit_end("/usr/src/app/main.c", 8), "…/main.c");
        assert_eq!(LOOK.fit("größenwahn", 6), "grö…hn");
    }
}
