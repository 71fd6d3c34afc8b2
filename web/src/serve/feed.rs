//! The capture's columns, read anew while it is still being recorded.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tracker_core::report::profile::{Profile, State};

use crate::columns::columns;
use crate::script_safe;

/// Where profiles come from. A closure is one.
pub trait Source: Send + 'static {
    /// The capture as it is now. Called again only after a profile in state *running*.
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

pub(super) struct Feed {
    name: String,
    latest: Mutex<Latest>,
}

struct Latest {
    source: Box<dyn Source>,
    version: u64,
    body: Bytes,
    running: bool,
    read_at: Instant,
    cost: Duration,
}

impl Feed {
    /// Reads the capture for the first time.
    pub(super) fn new(mut source: impl Source, name: String) -> Result<Self, String> {
        let start = Instant::now();
        let (body, running) = encode(&source.load()?, &name)?;
        let latest = Latest {
            source: Box::new(source),
            version: 1,
            body,
            running,
            read_at: Instant::now(),
            cost: start.elapsed(),
        };
        Ok(Self { name, latest: Mutex::new(latest) })
    }

    /// The columns, unless `known` is their tag. Blocks while the capture is read.
    pub(super) fn reply(&self, known: &str) -> Result<Reply, String> {
        // A panic while reading leaves the previous columns, which are still true.
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.running && latest.read_at.elapsed() >= FRESH.max(latest.cost * 3) {
            let start = Instant::now();
            let profile = latest.source.load()?;
            let (body, running) = encode(&profile, &self.name)?;
            latest.running = running;
            latest.read_at = Instant::now();
            latest.cost = start.elapsed();
            if body != latest.body {
                latest.body = body;
                latest.version += 1;
            }
        }
        let tag = format!("\"{}\"", latest.version);
        Ok(if known == tag { Reply::Unchanged(tag) } else { Reply::Columns(tag, latest.body.clone()) })
    }
}

fn encode(profile: &Profile, name: &str) -> Result<(Bytes, bool), String> {
    let json = script_safe::to_vec(&columns(profile, name)).map_err(|error| error.to_string())?;
    Ok((json.into(), profile.state == State::Running))
}
