//! The symbolizer: modules are announced, and read when the first address is asked for.

use std::fmt;
use std::path::PathBuf;

use super::module::Module;

/// Where to look for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolOptions {
    /// Folders with separate debug files, as `.build-id/ab/cdef….debug` or by path.
    pub debug_dirs: Vec<PathBuf>,
    /// A copy of the recorded machine's file system: modules are looked up below it.
    pub sysroot: Option<PathBuf>,
}

impl Default for SymbolOptions {
    fn default() -> Self {
        Self { debug_dirs: vec![PathBuf::from("/usr/lib/debug")], sysroot: None }
    }
}

/// A file's length and time of modification: enough to notice that it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// Bytes.
    pub len: u64,
    /// Unix time in nanoseconds.
    pub modified_ns: u64,
}

/// A module as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModuleSource {
    pub path: PathBuf,
    /// Empty when it has none. Otherwise only files with this build-id are used.
    pub build_id: Vec<u8>,
    /// The file's bytes, where the capture holds them; `path` is not opened then.
    pub embedded: Option<Vec<u8>>,
    /// What the file was; decides when there is no build-id.
    pub expected: Option<FileIdentity>,
}

/// Names a module of one [`Symbolizer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModuleHandle(usize);

/// One frame at an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SymbolFrame {
    /// Demangled; a name that is not mangled is exactly as in the file.
    pub function: Option<String>,
    /// As the compiler was told, relative paths joined with the folder it ran in.
    pub file: Option<String>,
    /// For all but the innermost frame the line of the call.
    pub line: Option<u32>,
    /// Inlined into the next frame.
    pub inlined: bool,
}

/// Turns addresses of modules into frames. Keeps what it has read of a module until it is dropped.
#[derive(Debug)]
pub struct Symbolizer {
    options: SymbolOptions,
    modules: Vec<State>,
}

enum State {
    Announced(ModuleSource),
    Open(Box<Module>),
}

impl Symbolizer {
    /// A symbolizer without modules.
    pub fn new(options: SymbolOptions) -> Self {
        Self { options, modules: Vec::new() }
    }

    /// Announces a module. No file is touched.
    pub fn add_module(&mut self, source: ModuleSource) -> ModuleHandle {
        self.modules.push(State::Announced(source));
        ModuleHandle(self.modules.len() - 1)
    }

    /// The frames at `address`, innermost first, each inlined frame before the one it was inlined into. Empty when
    /// nothing is known. `address` is as linked (module-relative) and that of an instruction: for a return address
    /// pass the one before.
    pub fn frames(&mut self, module: ModuleHandle, address: u64) -> Vec<SymbolFrame> {
        let Some(state) = self.modules.get_mut(module.0) else { return Vec::new() };
        if let State::Announced(source) = state {
            *state = State::Open(Box::new(Module::open(std::mem::take(source), &self.options)));
        }
        match state {
            State::Open(module) => module.frames(address),
            State::Announced(_) => Vec::new(),
        }
    }

    /// Why the module's frames lack names or lines, for the user. `None` when they do not, or nobody asked yet.
    pub fn note(&self, module: ModuleHandle) -> Option<&str> {
        match self.modules.get(module.0)? {
            State::Open(module) => module.facts.note.as_deref(),
            State::Announced(_) => None,
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announced(source) => f.debug_tuple("Announced").field(&source.path).finish(),
            Self::Open(module) => f.debug_tuple("Open").field(&module.facts).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbolizer_can_move_to_another_thread() {
        fn check<T: Send>() {}
        check::<Symbolizer>();
    }

    #[test]
    fn strangers_have_no_frames() {
        let mut one = Symbolizer::new(SymbolOptions::default());
        let module = one.add_module(ModuleSource::default());
        let mut other = Symbolizer::new(SymbolOptions::default());
        assert!(other.frames(module, 1).is_empty());
        assert_eq!(other.note(module), None);
    }
}
