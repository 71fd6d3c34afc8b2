//! A [`Diff`] as the columns of its page: one call tree of both sides, and what each stack holds before and after.
//!
//! Frames are functions here, without lines: these are of one build.

use std::collections::HashMap;

use serde::Serialize;
use tracker_core::report::diff::{self, Diff, Entry, Verdict};
use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Unit;
use tracker_core::report::name::base_name;
use tracker_core::report::profile::{FrameId, Profile};

use super::tree::{Frames, Functions, Growth, Names, Nodes};
use super::{Deltas, number};

/// What captures are called on the page, usually by their files.
#[derive(Debug, Clone, Default)]
pub struct SideNames {
    pub before: Vec<String>,
    pub after: Vec<String>,
}

/// Everything the page of a difference knows. The other side is `WireDiff` in `assets/js/wire.d.ts`.
#[derive(Debug, Serialize)]
pub struct DiffColumns {
    pub schema: &'static str,
    /// The metric's name.
    pub metric: &'static str,
    /// `bytes` or `blocks`.
    pub unit: &'static str,
    pub before: Side,
    pub after: Side,
    pub renamed: Vec<(String, String)>,
    /// Stacks whose change is no more than captures of one side differ among themselves.
    pub noise: u64,
    /// Both sides are without what says whose machine and work they are of.
    pub redacted: bool,
    pub strings: Vec<String>,
    pub functions: Functions,
    pub frames: Frames,
    pub nodes: Nodes,
    pub stacks: Stacks,
}

/// Captures of one side.
#[derive(Debug, Serialize)]
pub struct Side {
    pub names: Vec<String>,
    pub command: Vec<String>,
    pub duration_ns: Vec<u64>,
    /// One of each capture.
    pub totals: Vec<u64>,
}

/// Each stack's leaf, and the mean of what the captures of a side have of it.
#[derive(Debug, Default, Serialize)]
pub struct Stacks {
    pub node: Deltas,
    pub before: Vec<u64>,
    pub after: Vec<u64>,
}

/// The columns of `diff`.
pub fn diff_columns(diff: &Diff<'_>, names: &SideNames) -> DiffColumns {
    let mut tree = Tree::new();
    let command = side(&diff.after, Vec::new(), Vec::new()).command;
    let root = tree.names.process(command.first().map_or("?", |word| base_name(word)), 0);
    let mut stacks: Vec<(Vec<u32>, &Entry<'_>)> = Vec::new();
    for entry in diff.entries.iter().chain(&diff.same) {
        let (profile, stack) = entry.shown;
        stacks.push((stack.frames.iter().rev().map(|frame| tree.frame(profile, *frame)).collect(), entry));
    }
    stacks.sort_by(|(left, _), (right, _)| left.cmp(right));
    let mut growth = Growth::default();
    let mut columns = Stacks::default();
    for (path, entry) in &stacks {
        let (before, after) = entry.change.means();
        columns.node.push(u64::from(growth.node(root, path.iter().copied())));
        columns.before.push(number(before));
        columns.after.push(number(after));
    }
    let (strings, functions, frames) = tree.names.into_columns();
    let total = diff.totals.iter().find(|(metric, _)| *metric == diff.metric).map(|(_, change)| change.clone());
    let total = total.unwrap_or_default();
    let noise = |entry: &&Entry<'_>| entry.change.verdict() == Verdict::Noise;
    DiffColumns {
        schema: "memtrack.diffpage/1",
        metric: diff.metric.name(),
        unit: match diff.metric.unit() {
            Unit::Bytes => "bytes",
            Unit::Count => "blocks",
        },
        before: side(&diff.before, names.before.clone(), total.before),
        after: side(&diff.after, names.after.clone(), total.after),
        renamed: diff.renamed.clone(),
        noise: diff.entries.iter().filter(noise).count() as u64,
        redacted: diff.is_redacted(),
        strings,
        functions,
        frames,
        nodes: growth.nodes,
        stacks: columns,
    }
}

fn side(selections: &[Selection<'_>], names: Vec<String>, totals: Vec<u64>) -> Side {
    let profiles = || selections.iter().map(Selection::profile);
    Side {
        names,
        command: profiles()
            .next()
            .map(|profile| profile.session.words().into_iter().map(std::borrow::Cow::into_owned).collect())
            .unwrap_or_default(),
        duration_ns: profiles().map(|profile| number(profile.duration_ns)).collect(),
        totals: totals.into_iter().map(number).collect(),
    }
}

/// Frames of both sides by what stays the same of them, as stacks are matched by it.
struct Tree {
    names: Names,
    by_function: HashMap<String, u32>,
    /// By profile and number there: each is named once.
    known: HashMap<(*const Profile, FrameId), u32>,
}

impl Tree {
    fn new() -> Self {
        Self { names: Names::new(), by_function: HashMap::new(), known: HashMap::new() }
    }

    fn frame(&mut self, profile: &Profile, id: FrameId) -> u32 {
        let key = (std::ptr::from_ref(profile), id);
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let number = match profile.frame(id) {
            Some(frame) => {
                let function = diff::function(profile, frame);
                let names = &mut self.names;
                *self.by_function.entry(function).or_insert_with_key(|name| names.named_frame(profile, frame, name, 0))
            }
            None => self.names.unknown_frame(),
        };
        self.known.insert(key, number);
        number
    }
}
