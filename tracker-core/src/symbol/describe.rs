//! What a file's symbols are good for, before anything is recorded (`memtrack doctor`).

use std::io;
use std::path::{Path, PathBuf};

use super::debug_files::in_sysroot;
use super::elf::Elf;
use super::module::Module;
use super::source::Source;
use super::symbolizer::{ModuleSource, SymbolOptions};

/// What memtrack would know about the code of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    /// Empty when the file has none.
    pub build_id: Vec<u8>,
    /// Functions in its symbol tables.
    pub functions: usize,
    /// The file that holds files, lines and inlined frames: itself, or a separate one. `None`: there is no such file.
    pub debug_file: Option<PathBuf>,
    /// What is missing and why.
    pub note: Option<String>,
}

/// Describes the file at `path`. Fails when it cannot be read as an ELF file.
pub fn describe(path: &Path, options: &SymbolOptions) -> io::Result<Description> {
    let source = Source::open(&in_sysroot(path, options))?;
    let expected = source.identity();
    let build_id = Elf::parse(source)?.build_id;
    let wanted = ModuleSource { path: path.to_owned(), build_id, embedded: None, expected };
    Ok(Module::open(wanted, options).facts)
}

/// The build-id of the ELF file at `path`; empty when it has none.
pub fn build_id_of(path: &Path) -> io::Result<Vec<u8>> {
    Ok(Elf::parse(Source::open(path)?)?.build_id)
}

/// The build-id of an ELF file in memory; empty when it has none.
pub fn build_id_of_bytes(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    Ok(Elf::parse(Source::Memory(bytes))?.build_id)
}
