//! A verdict in the formats that CI systems read: one file per format.

mod finding;
mod github;
mod gitlab;
mod json;
mod junit;
mod markdown;
mod sarif;

use std::io;

use super::evaluate::Verdict;
use github::Github;
use gitlab::Gitlab;
use json::Json;
use junit::Junit;
use markdown::Markdown;
use sarif::Sarif;

/// A verdict, and what formats need to know beside it.
#[derive(Debug)]
pub struct Judged<'v, 'p, 'b> {
    pub verdict: &'v Verdict<'p, 'b>,
    /// The recorded program's capture, as its user calls it.
    pub capture: &'v str,
    /// The working folder.
    pub here: &'v str,
    /// The folder of the project, which paths in results are relative to.
    pub root: &'v str,
}

/// One format.
pub trait Format: Sync {
    /// Its name after `--format`.
    fn name(&self) -> &'static str;

    /// Writes all of it.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()>;
}

/// All of them, in the order in which help texts list them.
pub static FORMATS: [&dyn Format; 6] = [&Json, &Markdown, &Github, &Gitlab, &Junit, &Sarif];

/// From its name.
pub fn format(name: &str) -> Option<&'static dyn Format> {
    FORMATS.into_iter().find(|format| format.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Baselines, Run, evaluate, file};
    use crate::report::filter::Selection;
    use crate::report::harmful::is_harmful;
    use crate::report::sketch::{Numbers, Sketch};
    use crate::report::suppress::Applied;

    #[test]
    fn nothing_in_a_verdict_turns_the_text() {
        let numbers = Numbers { peak: (1, 9000), ..Numbers::default() };
        let profile = Sketch::new("./app\u{202e}")
            .row("malloc: parse\u{202e}gnp\u{9b}31m@/home/user/src\u{2066}/a\u{200f}.c:7 main", numbers)
            .build();
        let rules = "[[budget.rule]]\nname = 'rule\u{202e}'\nunder = 'parse'\npeak = 1";
        let budget = file::parse("memtrack\u{202e}.toml", rules).unwrap().unwrap();
        let run = Run { selection: Selection::whole(&profile), suppressed: Applied::default() };
        let verdict = evaluate(&[run], &budget, &Baselines::new(), 5).unwrap();
        let judged = Judged { verdict: &verdict, capture: "capture\u{202e}.mtk", here: "/", root: "/home/user" };
        for format in FORMATS {
            let mut bytes = Vec::new();
            format.write(&judged, &mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains("gnp") && text.contains("src") && !text.contains("1 blocks"), "{text}");
            assert!(!text.contains(|c| c != '\n' && is_harmful(c)), "{}: {text:?}", format.name());
        }
    }
}
