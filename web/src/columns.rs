//! A [`Profile`] as the columns the page reads. Pure: no IO, no markup.
//!
//! The page never replays. It gets one call tree in preorder with a root per process, and sparse columns of numbers
//! per (stack, process, thread); sums, layout and search are loops over arrays. Everything the page shows is a sum
//! over [`tree::Rows`], so it adds up to [`summary::Totals`]. The shape is described once more, for the other side,
//! in `assets/js/wire.d.ts`; a golden file read by both test suites keeps the two equal.

pub mod diff;
pub mod slices;
pub mod summary;
pub mod timeline;
pub mod tree;

use serde::Serialize;
use tracker_core::report::profile::Profile;
use tracker_core::report::suppress::Applied;

/// Everything the page knows. Additive changes keep the number in `schema`.
#[derive(Debug, Serialize)]
pub struct Columns {
    pub schema: &'static str,
    pub summary: summary::Summary,
    pub processes: Vec<summary::Process>,
    pub threads: summary::Threads,
    /// Names, files and modules by number; number 0 is the empty string.
    pub strings: Vec<String>,
    pub functions: tree::Functions,
    pub frames: tree::Frames,
    pub nodes: tree::Nodes,
    pub rows: tree::Rows,
    pub timeline: timeline::Timeline,
    /// Absent when the profile knows nothing of time.
    pub slices: Option<slices::Slices>,
}

/// The columns of `profile`; `name` is what the page calls the capture, usually its file's name. Leaks that
/// `suppressed` sets apart are marked.
pub fn columns(profile: &Profile, name: &str, suppressed: &Applied<'_>) -> Columns {
    let tree = tree::Tree::new(profile, suppressed);
    let slices = slices::Slices::new(&profile.slices, &tree.origins);
    Columns {
        schema: "memtrack.page/1",
        summary: summary::Summary::new(profile, name),
        processes: profile.processes.iter().map(summary::Process::new).collect(),
        threads: summary::Threads::new(profile),
        strings: tree.strings,
        functions: tree.functions,
        frames: tree.frames,
        nodes: tree.nodes,
        rows: tree.rows,
        timeline: timeline::Timeline::new(profile),
        slices,
    }
}

/// A number as JavaScript holds it exactly. Larger ones (9 petabytes) stop at the limit.
pub(crate) fn number(value: u64) -> u64 {
    const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
    value.min(MAX_SAFE_INTEGER)
}

/// Ascending numbers as differences, which are short and compress well.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Deltas {
    steps: Vec<u64>,
    #[serde(skip)]
    last: u64,
}

impl Deltas {
    /// Adds a number; one below its predecessor counts as equal to it.
    pub fn push(&mut self, value: u64) {
        self.steps.push(value.saturating_sub(self.last));
        self.last = self.last.max(value);
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}
