//! Stacks as lists of functions, the same in every build of a program, and which functions have got another name.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::report::name::{UNKNOWN, base_name};
use crate::report::profile::{Frame, Profile};

/// Numbers of functions, leaf first.
pub(super) type Key = Box<[u32]>;

/// Stands for a function that the other side does not know.
const STRANGER: u32 = u32::MAX;

/// Pairs of stacks that are tried for one place; more say nothing.
const MOST_CANDIDATES: usize = 64;

/// What speaks for two names of one function.
#[derive(Debug, Clone, Copy, Default)]
struct Vote {
    /// Places where nothing else is a candidate.
    alone: u32,
    before: u64,
    after: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// All functions of both sides.
#[derive(Debug, Default)]
pub(super) struct Keys {
    ids: FxHashMap<String, u32>,
    names: Vec<String>,
    /// Whether each function is on a stack before, and after.
    seen: Vec<[bool; 2]>,
}

impl Keys {
    /// The function of each frame.
    pub(super) fn functions(&mut self, profile: &Profile) -> Vec<u32> {
        profile.frames.iter().map(|frame| self.number(function(profile, frame))).collect()
    }

    fn number(&mut self, name: String) -> u32 {
        let next = self.names.len() as u32;
        *self.ids.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            self.seen.push([false; 2]);
            next
        })
    }

    /// A stack of this side has these functions.
    pub(super) fn see(&mut self, side: Side, key: &Key) {
        for function in key {
            if let Some(seen) = self.seen.get_mut(*function as usize) {
                seen[usize::from(side == Side::After)] = true;
            }
        }
    }

    pub(super) fn name(&self, function: u32) -> String {
        self.names.get(function as usize).cloned().unwrap_or_default()
    }

    fn is_common(&self, function: u32) -> bool {
        self.seen.get(function as usize) == Some(&[true; 2])
    }

    /// The functions of a stack that both sides know. `None` when its leaf is not one of them: then nothing says that it is
    /// the same allocation.
    pub(super) fn common(&self, key: &Key) -> Option<Key> {
        key.first().filter(|leaf| self.is_common(**leaf))?;
        Some(key.iter().copied().filter(|function| self.is_common(*function)).collect())
    }

    /// Functions of which only the name has changed: old and new, each once. They stand in the same place of a stack that is
    /// the same otherwise, and are alone there more than once, hold as much (the lists have each stack's value), or are
    /// called alike.
    pub(super) fn renames(&mut self, old: &[(&Key, u64)], new: &[(&Key, u64)]) -> Vec<(u32, u32)> {
        let places = |stacks: &[(&Key, u64)]| {
            let mut places: FxHashMap<Key, Vec<(Key, u64)>> = FxHashMap::default();
            for (key, value) in stacks {
                let place: Key =
                    key.iter().map(|function| if self.is_common(*function) { *function } else { STRANGER }).collect();
                if place.contains(&STRANGER) {
                    places.entry(place).or_default().push(((*key).clone(), *value));
                }
            }
            places
        };
        let (old, new) = (places(old), places(new));
        let mut votes: FxHashMap<(u32, u32), Vote> = FxHashMap::default();
        for (place, old) in &old {
            let Some(new) = new.get(place).filter(|new| old.len() * new.len() <= MOST_CANDIDATES) else { continue };
            let alone = old.len() == 1 && new.len() == 1;
            for ((old, before), (new, after)) in old.iter().flat_map(|old| new.iter().map(move |new| (old, new))) {
                let strangers = place.iter().zip(old.iter().zip(new)).filter(|(at, _)| **at == STRANGER);
                // A recursive function has one vote per stack.
                for pair in strangers.map(|(_, (old, new))| (*old, *new)).collect::<FxHashSet<_>>() {
                    let vote = votes.entry(pair).or_default();
                    vote.alone += u32::from(alone);
                    vote.before = vote.before.saturating_add(*before);
                    vote.after = vote.after.saturating_add(*after);
                }
            }
        }
        let judged = |((old, new), Vote { alone, before, after })| {
            let equal = u64::abs_diff(before, after) <= before.max(after) / 10;
            let alike = alike(&self.name(old), &self.name(new));
            let rank = (alone > 1, u32::from(equal) + u32::from(alike), alone);
            (alone > 1 || equal || alike).then_some((std::cmp::Reverse(rank), (old, new)))
        };
        let mut votes: Vec<_> = votes.into_iter().filter_map(judged).collect();
        votes.sort_unstable();
        let (mut taken, mut renames) = (FxHashSet::default(), Vec::new());
        for (_, (old, new)) in votes {
            if !taken.contains(&old) && !taken.contains(&new) {
                taken.extend([old, new]);
                renames.push((old, new));
            }
        }
        for (_, new) in &renames {
            if let Some(seen) = self.seen.get_mut(*new as usize) {
                *seen = [true; 2];
            }
        }
        renames
    }
}

/// What stays the same of a frame from build to build: its function, or its module where it has no name.
pub fn function(profile: &Profile, frame: &Frame) -> String {
    match (&frame.function, profile.module_path(frame)) {
        (Some(function), _) => match frame.script() {
            Some(script) => format!("{function} ({})", base_name(script)),
            None => without_copy(function).to_owned(),
        },
        (None, Some(module)) => format!("[{}]", base_name(module)),
        (None, None) => UNKNOWN.to_owned(),
    }
}

/// A C function's name without what compilers append to parts and copies of it.
fn without_copy(name: &str) -> &str {
    const PARTS: [&str; 6] = [".isra.", ".part.", ".constprop.", ".cold", ".lto_priv.", ".llvm."];
    let end = PARTS.iter().filter_map(|part| name.find(part)).min();
    end.filter(|end| *end > 0).and_then(|end| name.get(..end)).unwrap_or(name)
}

/// Whether two names have at least half of their pairs of letters in common.
fn alike(old: &str, new: &str) -> bool {
    let pairs = |name: &str| {
        let mut pairs: Vec<_> = name.as_bytes().windows(2).map(<[u8]>::to_ascii_lowercase).collect();
        pairs.sort_unstable();
        pairs
    };
    let (old, new) = (pairs(old), pairs(new));
    let (mut common, mut at) = (0, 0);
    for pair in &old {
        while new.get(at).is_some_and(|other| other < pair) {
            at += 1;
        }
        if new.get(at) == Some(pair) {
            (common, at) = (common + 1, at + 1);
        }
    }
    4 * common >= old.len() + new.len() && common > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_alike() {
        assert!(alike("parse_json", "parse_json5"));
        assert!(alike("Buffer::grow", "buffer::Grow_by"));
        assert!(!alike("cache", "render"));
        assert!(!alike("a", "b"));
    }

    #[test]
    fn copies_of_functions() {
        for (name, whole) in [("f.isra.0", "f"), ("f.part.0.cold", "f"), ("f.c", "f.c"), (".cold", ".cold"), ("f", "f")]
        {
            assert_eq!(without_copy(name), whole);
        }
    }
}
