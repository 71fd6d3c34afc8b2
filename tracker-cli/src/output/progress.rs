//! A progress bar on stderr, for work that takes longer than half a second and has somebody watching.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Work on hand. Erases its line when it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    start: Instant,
    drawn: Option<Instant>,
    visible: bool,
}

/// Nobody wants to read of work that is done already.
const PATIENCE: Duration = Duration::from_millis(500);
/// Time between two drawings.
const STEP: Duration = Duration::from_millis(100);
/// Columns of the bar.
const BAR: u64 = 30;

impl Progress {
    /// Starts now.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, start: Instant::now(), drawn: None, visible: io::stderr().is_terminal() }
    }

    /// `done` of `all` is done. Cheap enough to be called often.
    pub(crate) fn step(&mut self, done: u64, all: u64) {
        if !self.visible || self.drawn.unwrap_or(self.start).elapsed() < STEP {
            return;
        }
        if self.start.elapsed() < PATIENCE {
            return;
        }
        self.drawn = Some(Instant::now());
        let _ = write!(io::stderr(), "\r{}", bar(self.what, done, all));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(what: &str, done: u64, all: u64) -> String {
    let part = |whole: u64| {
        let part = u128::from(done.min(all)) * u128::from(whole) / u128::from(all.max(1));
        part as usize
    };
    let full = part(BAR);
    let empty = BAR as usize - full;
    format!("memtrack: {what} [{}{}] {:>3}%", "#".repeat(full), " ".repeat(empty), part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar("reading", 0, 0), format!("memtrack: reading [{}]   0%", " ".repeat(30)));
        assert_eq!(bar("reading", 9, 3), format!("memtrack: reading [{}] 100%", "#".repeat(30)));
        assert!(bar("reading", 1, 2).ends_with("] 50%") || bar("reading", 1, 2).ends_with("]  50%"));
    }
}
