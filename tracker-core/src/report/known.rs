//! Names that are known already: those in a profile, by the places they belong to.

use rustc_hash::FxHashMap;

use super::names::{Named, Symbols};
use super::profile::{Frame, FrameKind, Profile};

/// Answers what an earlier replay found.
#[derive(Debug)]
pub(super) struct KnownNames<'p> {
    /// By module and address, innermost frame first.
    places: FxHashMap<(u32, u64), Vec<&'p Frame>>,
    made_at_run_time: FxHashMap<u64, &'p str>,
}

impl<'p> KnownNames<'p> {
    /// Takes the names out of `profile`.
    pub(super) fn new(profile: &'p Profile) -> Self {
        let mut known = Self { places: FxHashMap::default(), made_at_run_time: FxHashMap::default() };
        for stack in &profile.stacks {
            known.add(stack.frames.iter().filter_map(|id| profile.frame(*id)));
        }
        // Those that are on no stack of a row.
        known.add(profile.frames.iter());
        known
    }

    /// Frames that were inlined are followed by those they were inlined into, down to one that was not.
    fn add(&mut self, frames: impl Iterator<Item = &'p Frame>) {
        let mut place = Vec::new();
        for frame in frames {
            match (frame.kind, frame.module) {
                (FrameKind::Inlined, Some(_)) => place.push(frame),
                (FrameKind::Native, Some(module)) => {
                    place.push(frame);
                    let frames = std::mem::take(&mut place);
                    self.places.entry((module, frame.address)).or_insert(frames);
                }
                (FrameKind::Jit, _) => {
                    place.clear();
                    if let Some(name) = &frame.function {
                        self.made_at_run_time.entry(frame.address).or_insert(name);
                    }
                }
                _ => place.clear(),
            }
        }
    }
}

impl Symbols for KnownNames<'_> {
    fn frames(&mut self, module: u32, address: u64) -> Vec<Named> {
        // Profiles have the address of the return, which follows the instruction.
        let frames = self.places.get(&(module, address.wrapping_add(1))).map_or(&[][..], Vec::as_slice);
        let named = |frame: &&Frame| Named {
            function: frame.function.clone(),
            file: frame.file.clone(),
            line: frame.line,
            inlined: frame.kind == FrameKind::Inlined,
        };
        match frames {
            [only] if only.function.is_none() && only.file.is_none() => Vec::new(),
            frames => frames.iter().map(named).collect(),
        }
    }

    fn made_at_run_time(&mut self, _pid: u32, address: u64) -> Option<String> {
        self.made_at_run_time.get(&address.wrapping_add(1)).map(|name| (*name).to_owned())
    }

    fn notes(&self) -> Vec<(u32, String)> {
        Vec::new()
    }
}

/// The better of two answers; the first one's where both are as good.
#[derive(Debug)]
pub(super) struct Better<A, B>(pub(super) A, pub(super) B);

impl<A: Symbols, B: Symbols> Symbols for Better<A, B> {
    fn frames(&mut self, module: u32, address: u64) -> Vec<Named> {
        let quality = |frames: &[Named]| frames.first().map(|frame| (frame.function.is_some(), frame.line.is_some()));
        let (first, second) = (self.0.frames(module, address), self.1.frames(module, address));
        if quality(&second) > quality(&first) { second } else { first }
    }

    fn made_at_run_time(&mut self, pid: u32, address: u64) -> Option<String> {
        self.0.made_at_run_time(pid, address).or_else(|| self.1.made_at_run_time(pid, address))
    }

    fn notes(&self) -> Vec<(u32, String)> {
        self.0.notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::names::NoSymbols;
    use crate::report::sketch::{Numbers, Sketch};

    #[test]
    fn frames_are_found_where_they_were() {
        // All frames of a sketch have one address, so the first stack's are what is known of it.
        let stack = "malloc: ~small@a.c:1 ~small@a.c:1 large@a.c:9";
        let profile =
            Sketch::new("./app").row(stack, Numbers::default()).row("malloc: ?!lib", Numbers::default()).build();
        let frames = Better(NoSymbols, KnownNames::new(&profile)).frames(0, 0x0fff);
        let text = |frame: &Named| (frame.function.clone().unwrap_or_default(), frame.line, frame.inlined);
        let small = ("small".to_owned(), Some(1), true);
        assert_eq!(
            frames.iter().map(text).collect::<Vec<_>>(),
            [small.clone(), small, ("large".into(), Some(9), false)]
        );
        let mut known = KnownNames::new(&profile);
        assert_eq!((known.frames(1, 0x0fff), known.frames(0, 0x1000)), (Vec::new(), Vec::new()));
    }
}
