//! Two sides, before and after, each one capture or several of the same program: what changed, by stack.
//!
//! Stacks are matched by the names of their functions (see [`keys`]), so that another build, with other addresses and
//! lines, is still the same program. All rows and what did not change add up to each capture's total.

mod calls;
mod json;
mod keys;

use std::borrow::Cow;

use rustc_hash::{FxHashMap, FxHashSet};

use super::filter::Selection;
use super::metric::Metric;
use super::profile::{Profile, Stack, StackId};
use calls::Calls;
pub use keys::function;
use keys::{Key, Keys, Side};

/// One number in every capture of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    pub before: Vec<u64>,
    pub after: Vec<u64>,
}

/// Whether a change is more than captures of one side differ among themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every value after lies beyond every value before, by more than those of either side lie apart.
    Significant,
    /// It does not.
    Noise,
    /// A side has one capture only: nothing is known of its noise.
    Unknown,
}

impl Change {
    /// Difference of the rounded means.
    pub fn delta(&self) -> i64 {
        let (before, after) = self.means();
        let delta = i128::from(after) - i128::from(before);
        i64::try_from(delta).unwrap_or(if delta < 0 { i64::MIN } else { i64::MAX })
    }

    /// The mean before and after, rounded.
    pub fn means(&self) -> (u64, u64) {
        let mean = |values: &[u64]| {
            let count = values.len().max(1) as i128;
            u64::try_from((sum(values) + count / 2) / count).unwrap_or(u64::MAX)
        };
        (mean(&self.before), mean(&self.after))
    }

    /// Whether it is more than noise.
    pub fn verdict(&self) -> Verdict {
        if self.before.len() < 2 || self.after.len() < 2 {
            return Verdict::Unknown;
        }
        let range = |values: &[u64]| (values.iter().min().copied(), values.iter().max().copied());
        let ((Some(low), Some(high)), (Some(after_low), Some(after_high))) = (range(&self.before), range(&self.after))
        else {
            return Verdict::Unknown;
        };
        let gap = after_low.saturating_sub(high).max(low.saturating_sub(after_high));
        let spread = (high - low).max(after_high - after_low);
        if gap > spread { Verdict::Significant } else { Verdict::Noise }
    }

    fn add(&mut self, other: &Self) {
        let add = |to: &mut Vec<u64>, more: &[u64]| {
            to.resize(to.len().max(more.len()), 0);
            to.iter_mut().zip(more).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
        };
        add(&mut self.before, &other.before);
        add(&mut self.after, &other.after);
    }
}

fn sum(values: &[u64]) -> i128 {
    values.iter().map(|value| i128::from(*value)).sum()
}

/// A stack of one side or both.
#[derive(Debug, Clone)]
pub struct Entry<'p> {
    pub change: Change,
    /// The stack and whose it is: after, if it is there.
    pub shown: (&'p Profile, &'p Stack),
    /// What it was before, where functions were renamed, or frames came or went.
    pub was: Option<(&'p Profile, &'p Stack)>,
}

impl Entry<'_> {
    /// Names of the frames that are shown, leaf first.
    fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let (profile, stack) = self.shown;
        stack.frames.iter().filter_map(move |id| Some(profile.frame_name(profile.frame(*id)?)))
    }
}

/// What changed.
#[derive(Debug, Clone)]
pub struct Diff<'p> {
    pub metric: Metric,
    pub before: Vec<Selection<'p>>,
    pub after: Vec<Selection<'p>>,
    /// Of each metric.
    pub totals: Vec<(Metric, Change)>,
    /// Stacks whose mean changed, the largest change first.
    pub entries: Vec<Entry<'p>>,
    /// Stacks whose mean did not change.
    pub same: Vec<Entry<'p>>,
    /// Changed stacks that were left out, and their sum.
    pub rest: Option<(u64, Change)>,
    /// Functions that have another name after, by the name before.
    pub renamed: Vec<(String, String)>,
}

impl<'p> Diff<'p> {
    /// Whether all its captures are without what says whose machine and work they are of.
    pub fn is_redacted(&self) -> bool {
        self.before.iter().chain(&self.after).all(|selection| selection.profile().redacted)
    }

    /// Compares `metric` of two sides.
    pub fn new(before: Vec<Selection<'p>>, after: Vec<Selection<'p>>, metric: Metric) -> Self {
        let change = |metric: Metric| {
            let values = |side: &[Selection<'_>]| side.iter().map(|selection| selection.total(metric)).collect();
            Change { before: values(&before), after: values(&after) }
        };
        let totals = Metric::ALL.into_iter().map(|metric| (metric, change(metric))).collect();
        let mut keys = Keys::default();
        let mut old = Stacks::of(&before, (&mut keys, Side::Before), metric);
        let mut new = Stacks::of(&after, (&mut keys, Side::After), metric);
        let renamed = keys.renames(&old.list(), &new.list());
        old.rename(&renamed);
        let calls = [&new, &old].map(|other| Calls::of(other.0.keys()));
        let mut pairs = pair(&mut old, &mut new);
        pairs.extend(pair_moved(&mut old, &mut new, |_, key| keys.common(key)));
        pairs.extend(pair_moved(&mut old, &mut new, |side, key| {
            let [after, before] = &calls;
            Some(if side == Side::Before { after } else { before }.without_missing(key))
        }));
        pairs.extend(old.0.drain().map(|(_, found)| (Some(found), None)));
        pairs.extend(new.0.drain().map(|(_, found)| (None, Some(found))));

        let (zeros_before, zeros_after) = (vec![0; before.len()], vec![0; after.len()]);
        let (mut entries, mut same) = (Vec::new(), Vec::new());
        for (was, is) in pairs {
            let values = |found: &Option<Found>, zeros: &[u64]| {
                found.as_ref().map_or_else(|| zeros.to_vec(), |found| found.values.clone())
            };
            let change = Change { before: values(&was, &zeros_before), after: values(&is, &zeros_after) };
            let place = |found: Option<Found>, side: &[Selection<'p>]| {
                let Found { place: (capture, stack), .. } = found?;
                let profile = side.get(capture)?.profile();
                Some((profile, profile.stacks.get(stack.0 as usize)?))
            };
            let changed = matches!((&was, &is), (Some(was), Some(is)) if was.moved || is.moved || was.renamed);
            let (was, is) = (place(was, &before), place(is, &after));
            if let Some(shown) = is.or(was) {
                let list = if change.delta() == 0 { &mut same } else { &mut entries };
                list.push(Entry { change, shown, was: was.filter(|_| changed) });
            }
        }
        let size = |entry: &Entry<'_>| entry.change.delta().unsigned_abs();
        entries.sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| a.names().cmp(b.names())));
        let renamed = renamed.into_iter().map(|(old, new)| (keys.name(old), keys.name(new))).collect();
        Self { metric, before, after, totals, entries, same, renamed, rest: None }
    }

    /// What stacks that did not change add up to.
    pub fn same_sum(&self) -> Change {
        let mut sum = Change { before: vec![0; self.before.len()], after: vec![0; self.after.len()] };
        self.same.iter().for_each(|entry| sum.add(&entry.change));
        sum
    }

    /// Keeps the `count` largest changes; what the others add up to is kept beside them.
    pub fn shorten(&mut self, count: usize) {
        if count < self.entries.len() {
            let mut rest = Change::default();
            let others = self.entries.split_off(count);
            others.iter().for_each(|entry| rest.add(&entry.change));
            self.rest = Some((others.len() as u64, rest));
        }
    }
}

/// A stack of one side.
#[derive(Debug)]
struct Found {
    /// One for each capture of the side.
    values: Vec<u64>,
    /// The capture and the stack that is shown.
    place: (usize, StackId),
    renamed: bool,
    /// It was found by what it has in common with the other side.
    moved: bool,
}

impl Found {
    fn join(&mut self, other: &Self) {
        self.values.iter_mut().zip(&other.values).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
        self.renamed |= other.renamed;
        self.moved |= other.moved;
        if other.place < self.place {
            self.place = other.place;
        }
    }
}

/// All stacks of one side that have a value, by their functions.
#[derive(Debug, Default)]
struct Stacks(FxHashMap<Key, Found>);

impl Stacks {
    fn of(selections: &[Selection<'_>], (keys, side): (&mut Keys, Side), metric: Metric) -> Self {
        let mut stacks = Self::default();
        for (selection, capture) in selections.iter().zip(0..) {
            let profile = selection.profile();
            let functions = keys.functions(profile);
            for row in selection.rows() {
                let value = selection.value(metric, row);
                let Some(stack) = profile.stacks.get(row.stack.0 as usize).filter(|_| value > 0) else { continue };
                let key: Key = stack.frames.iter().filter_map(|id| functions.get(id.0 as usize).copied()).collect();
                keys.see(side, &key);
                let mut values = vec![0; selections.len()];
                if let Some(own) = values.get_mut(capture) {
                    *own = value;
                }
                stacks.add(key, Found { values, place: (capture, row.stack), renamed: false, moved: false });
            }
        }
        stacks
    }

    fn add(&mut self, key: Key, found: Found) {
        match self.0.get_mut(&key) {
            Some(known) => known.join(&found),
            None => drop(self.0.insert(key, found)),
        }
    }

    /// Each stack with the sum of its values.
    fn list(&self) -> Vec<(&Key, u64)> {
        let mut list: Vec<_> = self
            .0
            .iter()
            .map(|(key, found)| (key, found.values.iter().fold(0, |a: u64, b| a.saturating_add(*b))))
            .collect();
        list.sort_unstable();
        list
    }

    fn rename(&mut self, renamed: &[(u32, u32)]) {
        if renamed.is_empty() {
            return;
        }
        let names: FxHashMap<u32, u32> = renamed.iter().copied().collect();
        for (key, mut found) in std::mem::take(&mut self.0) {
            let new: Key = key.iter().map(|function| names.get(function).copied().unwrap_or(*function)).collect();
            found.renamed |= new != key;
            self.add(new, found);
        }
    }
}

type Pair = (Option<Found>, Option<Found>);

/// Takes out what both sides have.
fn pair(old: &mut Stacks, new: &mut Stacks) -> Vec<Pair> {
    let both: Vec<Key> = old.0.keys().filter(|key| new.0.contains_key(*key)).cloned().collect();
    both.iter().map(|key| (old.0.remove(key), new.0.remove(key))).collect()
}

/// Takes out what both sides have once frames that only one of them has are left out of the paths, as `common` does.
fn pair_moved(old: &mut Stacks, new: &mut Stacks, common: impl Fn(Side, &Key) -> Option<Key>) -> Vec<Pair> {
    let mut pairs: FxHashMap<Key, Pair> = FxHashMap::default();
    let known = |stacks: &Stacks, side| stacks.0.keys().filter_map(|key| common(side, key)).collect::<FxHashSet<Key>>();
    let (in_old, in_new) = (known(old, Side::Before), known(new, Side::After));
    for (side, stacks) in [(Side::Before, &mut *old), (Side::After, &mut *new)] {
        for (key, mut found) in std::mem::take(&mut stacks.0) {
            match common(side, &key).filter(|common| in_old.contains(common) && in_new.contains(common)) {
                Some(common) => {
                    found.moved = true;
                    let pair = pairs.entry(common).or_default();
                    let place = if side == Side::Before { &mut pair.0 } else { &mut pair.1 };
                    match place {
                        Some(known) => known.join(&found),
                        None => *place = Some(found),
                    }
                }
                None => stacks.add(key, found),
            }
        }
    }
    pairs.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    fn profile(rows: &[(&str, u64)]) -> Profile {
        let peak = |bytes| Numbers { peak: (1, bytes), ..Numbers::default() };
        rows.iter().fold(Sketch::new("./app"), |sketch, (stack, bytes)| sketch.row(stack, peak(*bytes))).build()
    }

    /// One part per changed stack, then what is the same, then renamed functions.
    #[track_caller]
    fn check(before: &[(&str, u64)], after: &[(&str, u64)], expected: &str) {
        let (before, after) = (profile(before), profile(after));
        let whole = |profile| vec![Selection::whole(profile)];
        let diff = Diff::new(whole(&before), whole(&after), Metric::Peak);
        let path = |(profile, stack): (&Profile, &Stack)| {
            let frames = stack.frames.iter().filter_map(|id| profile.frame(*id));
            frames.map(|frame| profile.frame_name(frame).into_owned()).collect::<Vec<_>>().join(" ")
        };
        let mut text = String::new();
        for entry in &diff.entries {
            text += &format!("{:+} {}", entry.change.delta(), path(entry.shown));
            if let Some(was) = entry.was {
                text += &format!(" (was {})", path(was));
            }
            text += "; ";
        }
        text += &format!("{} same", diff.same.len());
        for (old, new) in &diff.renamed {
            text += &format!("; {old} is {new}");
        }
        assert_eq!(text, expected);
        for (side, total) in [(0, 0), (1, 1)] {
            let value = |change: &Change| if side == 0 { change.before[0] } else { change.after[0] };
            let sum = diff.entries.iter().map(|entry| value(&entry.change)).sum::<u64>() + value(&diff.same_sum());
            let (_, peak) = diff.totals.iter().find(|(metric, _)| *metric == Metric::Peak).unwrap();
            assert_eq!(sum, value(peak), "side {total} adds up");
        }
    }

    #[test]
    fn stacks_match_by_their_functions() {
        // Lines, files, inlining, allocator functions and addresses without names are of one build.
        check(
            &[("malloc: read@a.c:3 main", 10), ("malloc: get ?!/lib/libx.so.1 main", 5), ("malloc: old main", 7)],
            &[("calloc: ~read@new/a.c:9 main", 30), ("malloc: get ?!/usr/lib/libx.so.1 main", 5)],
            "+20 read main; -7 old main; 1 same",
        );
    }

    #[test]
    fn a_function_with_another_name() {
        // Each place it is called from says so.
        check(
            &[("malloc: load a main", 10), ("malloc: load b main", 20), ("malloc: x main", 1)],
            &[("malloc: read_all a main", 10), ("malloc: read_all b main", 25), ("malloc: x main", 1)],
            "+5 read_all b main (was load b main); 2 same; load is read_all",
        );
        // In the middle of a stack, and alike only in its name.
        check(
            &[("malloc: x parse_json main", 10)],
            &[("malloc: x parse_json5 main", 99)],
            "+89 x parse_json5 main (was x parse_json main); 0 same; parse_json is parse_json5",
        );
        // Beside another one that is gone.
        check(
            &[("malloc: open_shard main", 10), ("malloc: ?!/opt/blob.so main", 99)],
            &[("malloc: shard_open main", 10)],
            "-99 [blob.so+0x1000] main; 1 same; open_shard is shard_open",
        );
        // Nothing alike: one is gone, another has come.
        check(&[("malloc: cache main", 10)], &[("malloc: render main", 99)], "+99 render main; -10 cache main; 0 same");
    }

    #[test]
    fn functions_between() {
        check(
            &[("malloc: take work main", 10), ("malloc: take idle main", 5)],
            &[("malloc: take retry work run main", 16), ("malloc: take idle main", 5)],
            "+6 take retry work run main (was take work main); 1 same",
        );
        // A last call that is a jump leaves no frame of its caller, not even of the innermost one.
        check(
            &[("malloc: grow push parse main", 10), ("malloc: grow push exit main", 7)],
            &[("malloc: wrap grow parse main", 12), ("malloc: wrap grow push exit main", 7)],
            "+2 wrap grow parse main (was grow push parse main); 1 same",
        );
        // A new function that allocates itself is new.
        check(
            &[("malloc: take work main", 10)],
            &[("malloc: take work main", 10), ("malloc: buffer work main", 6)],
            "+6 buffer work main; 1 same",
        );
    }

    #[test]
    fn noise() {
        for (before, after, delta, verdict) in [
            (&[10][..], &[20][..], 10, Verdict::Unknown),
            (&[10, 12], &[20], 9, Verdict::Unknown),
            (&[10, 12], &[20, 21], 10, Verdict::Significant),
            (&[10, 12], &[13, 18], 5, Verdict::Noise),
            (&[10, 18], &[12, 13], -1, Verdict::Noise),
            (&[9, 9, 9], &[8, 8, 8], -1, Verdict::Significant),
            (&[9, 9], &[9, 9], 0, Verdict::Noise),
        ] {
            let change = Change { before: before.to_vec(), after: after.to_vec() };
            assert_eq!((change.delta(), change.verdict()), (delta, verdict), "{change:?}");
        }
    }
}
