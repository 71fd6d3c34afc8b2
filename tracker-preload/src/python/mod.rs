//! Python frames beside native ones: at an allocation the interpreter's own chain of frames is read in place. Nothing of
//! Python is called that runs code, allocates or takes a lock, and nothing is installed in the interpreter but one
//! pointer (see [`codes`]).
//!
//! ```text
//! module met → interpreter (which version, where is what) → frames (this thread's, known ones proven) → places
//!                                                              ├─ tasks (the name of what asyncio runs)
//!                                                              └─ describe, codes (a number for each code object)
//! ```
//!
//! A program without Python pays one test per allocation: whether there is an interpreter.

mod arenas;
mod codes;
mod describe;
mod frames;
mod interpreter;
mod layout;
mod memory;
mod objects;
mod places;
mod ranges;
mod symbols;
mod tasks;

use tracker_core::format::lanes::flag;
use tracker_core::format::python::{InterpreterState, write_interpreter};

use crate::lanes::Lanes;
use crate::module::Module;
use crate::program;

pub(crate) use arenas::{mapped, may_map, unmapped};
pub(crate) use frames::{Frames, Path};
pub(crate) use places::places;

/// Commits the record that the closure writes. False: there was no room.
pub(crate) type Note<'n> = &'n mut dyn FnMut(&mut dyn FnMut(&mut [u8]) -> Option<usize>) -> bool;

/// A module was met for the first time: it may be an interpreter.
pub(crate) fn meet(module: &Module) {
    if let Some(lanes) = Lanes::get() {
        interpreter::meet(module, !lanes.has(flag::NO_PYTHON));
    }
}

/// Modules are about to be unloaded. An interpreter that stays is met again with the next stack.
pub(crate) fn modules_change() {
    interpreter::retire();
}

/// The Python stack of the calling thread; the one test that a program without Python pays. `frames`: `None` in hooks
/// that interrupted another.
#[inline(always)]
pub(crate) fn capture<'f>(
    frames: Option<&'f mut Frames>,
    note: impl FnMut(&mut dyn FnMut(&mut [u8]) -> Option<usize>) -> bool,
) -> Path<'f> {
    match (interpreter::active(), frames) {
        (Some(interpreter), Some(frames)) => capture_of(interpreter, frames, note),
        _ => Path::NONE,
    }
}

#[inline(never)]
fn capture_of<'f>(
    interpreter: &'static interpreter::Interpreter,
    frames: &'f mut Frames,
    mut note: impl FnMut(&mut dyn FnMut(&mut [u8]) -> Option<usize>) -> bool,
) -> Path<'f> {
    if interpreter.is_news() {
        let (state, version) = (interpreter.state, interpreter.version);
        note(&mut |buffer| write_interpreter(buffer, version, state));
        if state != InterpreterState::Recorded {
            interpreter::retire();
            return Path::NONE;
        }
    }
    interpreter.own_allocators();
    if program::checks_unwinding() {
        let known = frames.capture(interpreter, &mut note).hash();
        frames.forget();
        let all = frames.capture(interpreter, &mut note);
        if all.hash() != known {
            program::count_difference();
        }
        return all;
    }
    frames.capture(interpreter, &mut note)
}
