//! The capture's columns, read anew while it is still being recorded.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tracker_core::report::profile::{Profile, State};
use tracker_core::report::suppress::Suppressions;

use crate::columns::columns;
use crate::script_safe;

/// Where profiles come from. A closure is one.
pub trait Source: Send + 'static {
    /// The capture as it is now. Called again while it is being recorded, or when other captures were looked at since.
    ///
    /// # Errors
    /// A sentence for the reader of the page.
    fn load(&mut self) -> Result<Profile, String>;
}

impl<F: FnMut() -> Result<Profile, String> + Send + 'static> Source for F {
    fn load(&mut self) -> Result<Profile, String> {
        self()
    }
}

/// A running capture is read no more often than this, and at most a quarter of the time.
const FRESH: Duration = Duration::from_millis(900);

/// What the page asked for.
pub(super) enum Reply {
    /// The page has it already: its tag.
    Unchanged(String),
    /// Tag and JSON.
    Columns(String, Bytes),
}

/// All captures that are served.
pub(super) struct Feeds {
    feeds: Vec<Feed>,
    /// Positions, the latest asked for last.
    recent: Mutex<Vec<usize>>,
}

/// Captures whose columns are kept; others are read again when they are asked for.
const KEPT: usize = 2;

impl Feeds {
    /// Reads the first capture; the others when they are asked for.
    pub(super) fn new(captures: Vec<(String, Box<dyn Source>)>, suppressions: &Suppressions) -> Result<Self, String> {
        let feed = |(name, source)| Feed::new(name, suppressions.clone(), source);
        let feeds: Vec<Feed> = captures.into_iter().map(feed).collect();
        if let Some(first) = feeds.first() {
            first.reply("")?;
        }
        Ok(Self { feeds, recent: Mutex::new(vec![0]) })
    }

    /// The captures' names, in order.
    pub(super) fn names(&self) -> Vec<&str> {
        self.feeds.iter().map(|feed| feed.name.as_str()).collect()
    }

    /// The columns of a capture, unless `known` is their tag; `None` where there is no such capture. Blocks while the
    /// capture is read.
    pub(super) fn reply(&self, capture: usize, known: &str) -> Option<Result<Reply, String>> {
        let reply = self.feeds.get(capture)?.reply(known);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|&other| other != capture);
        recent.push(capture);
        if recent.len() > KEPT {
            let oldest = recent.remove(0);
            self.feeds.get(oldest)?.forget();
        }
        Some(reply)
    }
}

struct Feed {
    name: String,
    suppressions: Suppressions,
    latest: Mutex<Latest>,
}

struct Latest {
    source: Box<dyn Source>,
    version: u64,
    /// Absent before the first reading, and when others were asked for since.
    body: Option<Bytes>,
    running: bool,
    read_at: Instant,
    cost: Duration,
}

impl Feed {
    fn new(name: String, suppressions: Suppressions, source: Box<dyn Source>) -> Self {
        let (read_at, cost) = (Instant::now(), Duration::ZERO);
        let latest = Latest { source, version: 0, body: None, running: true, read_at, cost };
        Self { name, suppressions, latest: Mutex::new(latest) }
    }

    fn forget(&self) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).body = None;
    }

    fn reply(&self, known: &str) -> Result<Reply, String> {
        // A panic while reading leaves the previous columns, which are still true.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |latest: &Latest| !latest.running || latest.read_at.elapsed() < FRESH.max(latest.cost * 3);
        let body = match latest.body.clone().filter(|_| fresh(&latest)) {
            Some(body) => body,
            None => latest.read(&self.name, &self.suppressions)?,
        };
        let tag = format!("\"{}\"", latest.version);
        Ok(if known == tag { Reply::Unchanged(tag) } else { Reply::Columns(tag, body) })
    }
}

impl Latest {
    fn read(&mut self, name: &str, suppressions: &Suppressions) -> Result<Bytes, String> {
        let start = Instant::now();
        let (body, running) = encode(&self.source.load()?, name, suppressions)?;
        // What was complete does not change by being read again.
        let changed = self.running && self.body.as_ref() != Some(&body);
        self.version += u64::from(changed);
        self.running = running;
        self.read_at = Instant::now();
        self.cost = start.elapsed();
        self.body = Some(body.clone());
        Ok(body)
    }
}

fn encode(profile: &Profile, name: &str, suppressions: &Suppressions) -> Result<(Bytes, bool), String> {
    let suppressed = suppressions.apply(profile).map_err(|error| error.to_string())?;
    let json = script_safe::to_vec(&columns(profile, name, &suppressed)).map_err(|error| error.to_string())?;
    Ok((json.into(), profile.state == State::Running))
}
