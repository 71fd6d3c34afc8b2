//! From a module's linked address to functions, files and lines, inlined frames included.
//!
//! ```text
//! symbolizer ─▶ module ─┬▶ elf ─▶ source        bytes of one file, section by section
//!                       ├▶ debug_files          where the debug data lies, if not in the module itself
//!                       ├▶ symtab ─▶ demangle   functions from symbol tables
//!                       └▶ dwarf ─┬▶ reader     addr2line, reading through a meter
//!                                 ├▶ split      .dwo and .dwp files
//!                                 └▶ scopes     full names where the data has short ones
//! perf_map                                      names of code made at run time
//! ```
//!
//! Every file here is hostile input. Sizes are checked against the file before anything is allocated and against
//! `limits`; DWARF is read through a meter that ends overlong work; nothing here panics, executes, or asks the
//! network. A file whose build-id is not the recorded one gives no names: wrong names are worse than none.
//!
//! Used by the replay once per distinct (module, address), and by `memtrack doctor`.

mod debug_files;
mod default_suppressions;
mod demangle;
mod describe;
mod dwarf;
mod elf;
mod limits;
mod module;
mod perf_map;
mod reader;
mod room;
mod scopes;
mod source;
mod split;
mod symbolizer;
mod symtab;

pub use default_suppressions::default_suppressions;
pub use demangle::demangle;
pub use describe::{Description, build_id_of, build_id_of_bytes, describe};
pub use perf_map::PerfMap;
pub use symbolizer::{FileIdentity, ModuleHandle, ModuleSource, SymbolFrame, SymbolOptions, Symbolizer};
