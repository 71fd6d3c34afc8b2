//! One module, opened: which of its files can be trusted, what they know, and what to tell the user about the rest.

use std::io;
use std::path::{Path, PathBuf};

use super::debug_files::{self, hex};
use super::demangle::Demangler;
use super::describe::Description;
use super::dwarf::DebugData;
use super::elf::Elf;
use super::source::Source;
use super::symbolizer::{ModuleSource, SymbolFrame, SymbolOptions};
use super::symtab::SymbolTable;

/// A module whose files were looked for and read.
pub(super) struct Module {
    /// Where its file is, or should be.
    path: PathBuf,
    symbols: SymbolTable,
    debug: Option<DebugData>,
    demangler: Demangler,
    pub(super) facts: Description,
}

impl Module {
    /// Looks for the module's files and reads their tables.
    pub(super) fn open(wanted: ModuleSource, options: &SymbolOptions) -> Self {
        let path = wanted.path.clone();
        let recorded_id = wanted.build_id.clone();
        let main = open_main(wanted, options);
        let build_id = main.as_ref().map_or(recorded_id, |elf| elf.build_id.clone());
        let separate = match &main {
            Ok(elf) if DebugData::is_in(elf) => None,
            Ok(elf) => {
                debug_files::by_build_id(&build_id, options).or_else(|| debug_files::by_debug_link(&path, elf, options))
            }
            Err(_) => debug_files::by_build_id(&build_id, options),
        };
        let here = debug_files::in_sysroot(&path, options);
        let files = separate.iter().map(|file| (file.path.as_path(), &file.elf));
        let files = files.chain(main.iter().map(|elf| (here.as_path(), elf)));
        let symbols = SymbolTable::read(files.clone().map(|(_, elf)| elf));
        let holder = files.clone().find(|(_, elf)| DebugData::is_in(elf));
        let debug = holder.map(|(holder, elf)| {
            let alt = debug_files::by_alt_link(holder, elf, options);
            let alt = alt.as_ref().map(|file| &file.elf);
            DebugData::open(&here, elf, alt).map_err(|error| (holder, error))
        });
        let note = note(&here, &main, &symbols, &debug);
        let debug_file = holder.map(|(holder, _)| holder.to_owned());
        let facts = Description { build_id, functions: symbols.len(), debug_file, note };
        let debug = debug.and_then(Result::ok);
        Self { path: here.clone(), symbols, debug, demangler: Demangler::default(), facts }
    }

    /// The frames at `address`, innermost first; empty when nothing is known.
    pub(super) fn frames(&mut self, address: u64) -> Vec<SymbolFrame> {
        let mut frames = self.find(address);
        for name in frames.iter_mut().filter_map(|frame| frame.function.as_mut()) {
            *name = self.demangler.demangle(std::mem::take(name));
        }
        frames
    }

    /// As [`Self::frames`], with mangled names.
    fn find(&mut self, address: u64) -> Vec<SymbolFrame> {
        let linked = || self.symbols.lookup(address);
        if let Some(debug) = &mut self.debug {
            match debug.frames(address, linked) {
                Ok(frames) if frames.is_empty() => {}
                Ok(frames) => return frames,
                Err(error) => {
                    let (path, why) = (self.path.display(), debug.explain(error));
                    self.facts.note.get_or_insert_with(|| format!("{path}: {why}: names or lines are missing"));
                }
            }
        }
        let named = |name| SymbolFrame { function: Some(name), ..SymbolFrame::default() };
        linked().map(named).into_iter().collect()
    }
}

/// The module's own file, if it is there and the right one; otherwise why not.
fn open_main(wanted: ModuleSource, options: &SymbolOptions) -> Result<Elf, String> {
    let source = match wanted.embedded {
        Some(bytes) => Source::Memory(bytes),
        None => Source::open(&debug_files::in_sysroot(&wanted.path, options)).map_err(|error| explain(&error))?,
    };
    let identity = source.identity();
    let elf = Elf::parse(source).map_err(|error| explain(&error))?;
    if wanted.build_id.is_empty() {
        let changed = match (wanted.expected, identity) {
            (Some(expected), Some(found)) => expected != found,
            // Nothing to compare, except that a program without build-id cannot have been a file with one.
            (None, Some(_)) => !elf.build_id.is_empty(),
            (_, None) => false,
        };
        if changed {
            return Err("the file has changed since it was recorded".to_owned());
        }
    } else if elf.build_id.is_empty() {
        return Err(format!("the file has no build-id, recorded was {}", hex(&wanted.build_id)));
    } else if elf.build_id != wanted.build_id {
        let (found, recorded) = (hex(&elf.build_id), hex(&wanted.build_id));
        return Err(format!("its build-id differs: the file has {found}, recorded was {recorded}"));
    }
    Ok(elf)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "the file is gone".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

fn note(
    path: &Path,
    main: &Result<Elf, String>,
    symbols: &SymbolTable,
    debug: &Option<Result<DebugData, (&Path, io::Error)>>,
) -> Option<String> {
    let why_no_lines = match (debug, main) {
        (Some(Ok(_)), _) => return None,
        (Some(Err((holder, error))), _) if *holder == path => {
            format!("its debug data cannot be read: {error}")
        }
        (Some(Err((holder, error))), _) => {
            format!("debug data in {} cannot be read: {error}", holder.display())
        }
        (None, Ok(_)) => "no debug data".to_owned(),
        (None, Err(reason)) => reason.clone(),
    };
    let has_all = main.as_ref().is_ok_and(|elf| elf.section(".symtab").is_some());
    let mini = main.as_ref().is_ok_and(|elf| elf.section(".gnu_debugdata").is_some());
    let consequence = match (symbols.len(), has_all, mini) {
        (0, ..) => "no names",
        (_, true, _) => "functions without files and lines",
        (_, false, true) => "only exported functions (memtrack does not read .gnu_debugdata)",
        (_, false, false) => "only exported functions, without files and lines",
    };
    Some(format!("{}: {why_no_lines}: {consequence}", path.display()))
}
