//! \[unsafe\] Where Python frames stand in the native stack, found without symbols: an eval loop keeps an object on the C
//! stack (a record in 3.11, its outermost, empty frame later), and that object lies in the native frame of the loop.
//! Up to 3.10 there is none; each frame object has an eval loop of its own, which is known by its address.

use tracker_core::format::python::Place;

use super::frames::{Entry, Path};
use super::interpreter::Interpreter;
use super::layout::Family;
use super::memory::is_readable;
use crate::unwind::{self, load};

/// The places of a Python stack in a native one, innermost first; equal ones in a row are one.
pub(crate) fn places<'a>(native: unwind::Path<'a>, python: Path<'a>) -> impl Iterator<Item = Place> + use<'a> {
    let mut places = Places { native: native.entries, python: python.entries, path: python, skipped: 1 };
    let mut held: Option<Place> = None;
    core::iter::from_fn(move || {
        loop {
            let next = places.next();
            match (&mut held, next) {
                (Some(place), Some(next)) if (place.skip, place.frames) == (next.skip, next.frames) => {
                    place.repeat += 1
                }
                _ => match core::mem::replace(&mut held, next) {
                    None if next.is_some() => {}
                    done => return done,
                },
            }
        }
    })
}

struct Places<'a> {
    /// Frames that are not used up, root first.
    native: &'a [unwind::Entry],
    python: &'a [Entry],
    path: Path<'a>,
    /// Native entries stepped over since the last place. The innermost one is the allocation function.
    skipped: u32,
}

impl Places<'_> {
    fn next(&mut self) -> Option<Place> {
        let interpreter = self.path.interpreter?;
        let (frames, object) = self.segment(interpreter)?;
        while let Some((entry, outer)) = self.native.split_last() {
            self.native = outer;
            let found = match object {
                // The frame ends where the caller's return address is.
                Some(object) => outer.last().is_some_and(|outer| outer.cell() >= object),
                None => interpreter.is_eval(entry.pc),
            };
            if found {
                return Some(Place { skip: core::mem::take(&mut self.skipped), frames, repeat: 1 });
            }
            self.skipped += 1;
        }
        None
    }

    /// Takes the frames of the innermost eval loop: how many are shown, and its object on the C stack.
    fn segment(&mut self, interpreter: &Interpreter) -> Option<(u32, Option<usize>)> {
        let mut frames = 0;
        while let Some((entry, outer)) = self.python.split_last() {
            self.python = outer;
            frames += u32::from(entry.is_shown());
            if !entry.outermost {
                continue;
            }
            return Some(match interpreter.layout.family {
                Family::Objects => (frames, None),
                Family::Entries => {
                    let record = self.path.record;
                    let previous = record + usize::from(interpreter.layout.record_previous);
                    if record == 0 || !is_readable(previous) {
                        return None;
                    }
                    // SAFETY: found readable just now; records of running eval loops are on this thread's stack.
                    self.path.record = unsafe { load(previous) };
                    (frames, Some(record))
                }
                Family::ShimsByRecord | Family::Shims => (frames, Some(entry.frame)),
            });
        }
        None
    }
}
