//! What frames are called, and which frame of a stack a reader wants to see first.

pub(crate) use crate::capture::redact::is_of_package;
use std::borrow::Cow;

use super::profile::{Frame, FrameId, FrameKind, Profile, Stack};
use super::runtime::role;
use crate::format::Function;

/// What stands where nothing at all is known.
pub const UNKNOWN: &str = "[unknown]";

/// How the files of Python's import system are called.
const FROZEN_IMPORT: &str = "<frozen importlib";

impl Profile {
    /// Whether the program could not be recorded at all, so that its zeros mean nothing.
    pub fn is_blank(&self) -> bool {
        self.rows.is_empty() && !self.untracked.is_empty()
    }

    /// A frame by its id.
    pub fn frame(&self, id: FrameId) -> Option<&Frame> {
        self.frames.get(id.0 as usize)
    }

    /// Path of the module a frame lies in.
    pub fn module_path(&self, frame: &Frame) -> Option<&str> {
        let module = self.modules.get(usize::try_from(frame.module?).ok()?)?;
        Some(module.path.as_str())
    }

    /// The frame's function, `[module+0x…]` when only its place is known, or [`UNKNOWN`].
    pub fn frame_name<'p>(&'p self, frame: &'p Frame) -> Cow<'p, str> {
        if let Some(function) = &frame.function {
            return Cow::Borrowed(function);
        }
        match self.module_path(frame) {
            Some(path) => Cow::Owned(format!("[{}+{:#x}]", base_name(path), frame.address)),
            None if frame.address != 0 => Cow::Owned(format!("[{:#x}]", frame.address)),
            None => Cow::Borrowed(UNKNOWN),
        }
    }

    /// The frame that a one-line row names: the innermost that is neither an allocator nor inside a language's runtime, nor,
    /// where Python functions run, the interpreter;
    /// where that one has no name, the first one with a name that called it from the same module. A stack that has no
    /// such frames is named by its innermost one, markers apart.
    pub fn blamed<'p>(&'p self, stack: &Stack) -> Option<&'p Frame> {
        let frames = || stack.frames.iter().filter_map(|&id| self.frame(id));
        let real = |frame: &&Frame| !matches!(frame.kind, FrameKind::Marker | FrameKind::Task);
        if stack.function == Some(Function::PythonArena) {
            return frames().next();
        }
        let python = self.is_python(stack);
        let own = |frame: &&Frame| real(frame) && !self.is_runtime(frame) && !(python && self.is_interpreter(frame));
        if let Some(first) = frames().find(own) {
            let mut inside = frames()
                .skip_while(|frame| *frame != first)
                .take_while(|f| f.module.is_some() && f.module == first.module);
            return inside.find(|frame| frame.function.is_some() && own(frame)).or(Some(first));
        }
        frames().find(real).or_else(|| frames().next())
    }

    /// Whether a frame belongs to an allocator, the C library, the loader or a language's standard library.
    pub fn is_runtime(&self, frame: &Frame) -> bool {
        match frame.kind {
            FrameKind::Native | FrameKind::Inlined => {
                role(frame.function.as_deref(), self.module_path(frame), frame.file.as_deref()).is_some()
            }
            // The import system, which is frozen into the interpreter.
            FrameKind::Python => frame.file.as_deref().is_some_and(|file| file.starts_with(FROZEN_IMPORT)),
            FrameKind::Jit | FrameKind::Task | FrameKind::Marker => false,
        }
    }
}

/// The last part of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use crate::report::sketch::{Numbers, Sketch};

    /// Name of the frame that is blamed for a stack.
    #[track_caller]
    fn check(stack: &str, expected: &str) {
        let profile = Sketch::new("./app").row(stack, Numbers::default()).build();
        let blamed = profile.blamed(&profile.stacks[0]).map(|frame| profile.frame_name(frame));
        assert_eq!(blamed.as_deref().unwrap_or("nobody"), expected, "{stack}");
    }

    #[test]
    fn the_first_frame_that_is_the_programs_own() {
        check("malloc: parse main", "parse");
        check("malloc: xmalloc parse main", "parse");
        check("malloc: strdup!/lib/libc.so.6 parse main __libc_start_main!/lib/libc.so.6", "parse");
        check(
            "malloc: operator_new(unsigned)!/usr/lib/libstdc++.so.6.0.30 ~std::vector<int>::push_back build",
            "build",
        );
        check(
            "malloc: __rdl_alloc alloc::alloc::alloc <alloc::vec::Vec<T>>::push app::load core::ops::call_once",
            "app::load",
        );
        check("malloc: std_library_of_mine main", "std_library_of_mine");
        check("malloc: ?!/opt/libx.so main", "[libx.so+0x1000]");
        check("malloc: ?!/opt/libx.so x_load!/opt/libx.so main", "x_load");
        check("malloc: ?!/opt/libx.so sqlite3Malloc!/opt/libx.so ?!/opt/libx.so step!/opt/libx.so main", "step");
        check("malloc: calloc gc_alloc _PyObject_GC_New PyList_New main", "PyList_New");
    }

    #[test]
    fn somebody_is_blamed_if_there_is_anybody() {
        check("malloc: _IO_file_doallocate!/lib/libc.so.6 puts!/lib/libc.so.6", "_IO_file_doallocate");
        check("malloc: [truncated] malloc", "malloc");
        check("malloc: [truncated]", "[truncated]");
        check("malloc:", "nobody");
    }
}
