//! The capture's columns, read anew while it is still being recorded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tracker_core::report::profile::{Profile, State};
use tracker_core::report::suppress::Suppressions;

use crate::columns::{Columns, columns};
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

    /// Where a frame of a capture that was asked for is.
    pub(super) fn source_line(&self, capture: usize, frame: usize) -> Option<SourceLine> {
        self.feeds.get(capture)?.latest.lock().unwrap_or_else(PoisonError::into_inner).places.find(frame)
    }
}

/// Where the frames of the columns that the page has are in source files.
#[derive(Default)]
struct Places {
    files: Vec<String>,
    /// Of each frame: number of its file in `files`, and line.
    frames: Vec<(u32, u32)>,
    /// When the recording began, Unix time in nanoseconds.
    recorded: u64,
}

/// A line of a source file as a capture names it.
pub(super) struct SourceLine {
    pub(super) file: String,
    pub(super) line: u32,
    /// When the recording began, Unix time in nanoseconds.
    pub(super) recorded: u64,
}

impl Places {
    fn new(columns: &Columns, recorded: u64) -> Self {
        let mut numbers = HashMap::new();
        let mut files = Vec::new();
        let mut number_of = |file: u32| {
            *numbers.entry(file).or_insert_with(|| {
                files.push(columns.strings.get(file as usize).cloned().unwrap_or_default());
                files.len() as u32 - 1
            })
        };
        let frames = columns.frames.file.iter().zip(&columns.frames.line);
        let frames = frames.map(|(&file, &line)| (number_of(file), line)).collect();
        Self { files, frames, recorded }
    }

    fn find(&self, frame: usize) -> Option<SourceLine> {
        let &(file, line) = self.frames.get(frame)?;
        Some(SourceLine { file: self.files.get(file as usize)?.clone(), line, recorded: self.recorded })
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
    places: Places,
    running: bool,
    read_at: Instant,
    cost: Duration,
}

impl Feed {
    fn new(name: String, suppressions: Suppressions, source: Box<dyn Source>) -> Self {
        let (read_at, cost) = (Instant::now(), Duration::ZERO);
        let latest = Latest { source, version: 0, body: None, places: Places::default(), running: true, read_at, cost };
        Self { name, suppressions, latest: Mutex::new(latest) }
    }

    fn forget(&self) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        (latest.body, latest.places) = (None, Places::default());
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
        let profile = self.source.load()?;
        let running = profile.state == State::Running;
        let suppressed = suppressions.apply(&profile).map_err(|error| error.to_string())?;
        let columns = columns(&profile, name, &suppressed);
        let places = Places::new(&columns, profile.session.start_unix_ns);
        let body: Bytes = script_safe::to_vec(&columns).map_err(|error| error.to_string())?.into();
        // What was complete does not change by being read again.
        let changed = self.running && self.body.as_ref() != Some(&body);
        self.version += u64::from(changed);
        self.running = running;
        self.read_at = Instant::now();
        self.cost = start.elapsed();
        self.body = Some(body.clone());
        self.places = places;
        Ok(body)
    }
}
