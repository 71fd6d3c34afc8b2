//! Names from files: the modules as the capture describes them, and the maps that JIT compilers leave.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustc_hash::FxHashMap;

use super::names::{Named, Symbols};
use crate::capture::meta::ModuleFile;
use crate::capture::payload::Loader;
use crate::capture::reader::Capture;
use crate::capture::source::Source;
use crate::format::wire::Reader;
use crate::replay::census::ModuleName;
use crate::symbol::{FileIdentity, ModuleHandle, ModuleSource, PerfMap, SymbolOptions, Symbolizer};

/// Most bytes read of one JIT map.
const MAX_MAP_LEN: u64 = 256 << 20;
/// Most bytes of one module that are taken from the capture.
const MAX_MODULE_LEN: u64 = 256 << 20;

/// Looks names up in the files that a capture's modules came from.
#[derive(Debug)]
pub(super) struct FileSymbols<'c, S> {
    capture: &'c Capture<S>,
    modules: &'c [ModuleName],
    symbolizer: Symbolizer,
    handles: FxHashMap<u32, ModuleHandle>,
    maps: FxHashMap<u32, PerfMap>,
}

impl<'c, S: Source> FileSymbols<'c, S> {
    /// Opens nothing yet.
    pub(super) fn new(capture: &'c Capture<S>, modules: &'c [ModuleName]) -> Self {
        let symbolizer = Symbolizer::new(SymbolOptions::default());
        Self { capture, modules, symbolizer, handles: FxHashMap::default(), maps: FxHashMap::default() }
    }

    fn handle(&mut self, index: u32) -> Option<ModuleHandle> {
        if let Some(handle) = self.handles.get(&index) {
            return Some(*handle);
        }
        let module = self.modules.get(index as usize)?;
        let files = self.capture.facts.module_files.values();
        let same = |file: &&ModuleFile| file.path == module.path && file.build_id == module.build_id;
        // Of several frames about one file, the one that brought its bytes; else the first one written.
        let file = files.filter(same).min_by_key(|file| (!file.embedded, file.number));
        let source = ModuleSource {
            path: Path::new(std::ffi::OsStr::from_bytes(&module.path)).to_owned(),
            build_id: module.build_id.clone(),
            embedded: file.filter(|file| file.embedded).map(|file| self.embedded(file)),
            expected: file.map(|file| FileIdentity { len: file.len, modified_ns: file.modified_ns }),
        };
        let handle = self.symbolizer.add_module(source);
        self.handles.insert(index, handle);
        Some(handle)
    }

    /// The file's bytes, as far as its blocks are readable; what is missing stays zero.
    fn embedded(&self, file: &ModuleFile) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Ok(mut loader) = Loader::new() else { return bytes };
        let mut payload = Vec::new();
        for found in &self.capture.module_data {
            match loader.load(&self.capture.source, &found.header, found.payload_at(), &mut payload) {
                Ok(true) => {}
                Ok(false) | Err(_) => continue,
            }
            let mut reader = Reader::new(&payload);
            let (Some(number), Some(offset)) = (reader.u32(), reader.u64()) else { continue };
            let piece = reader.rest();
            let end = offset.saturating_add(piece.len() as u64);
            if number != file.number || end > file.len.min(MAX_MODULE_LEN) {
                continue;
            }
            // Bounded by the limit above, and by the sizes of blocks that are really there.
            let (start, end) = (offset as usize, end as usize);
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(room) = bytes.get_mut(start..end) {
                room.copy_from_slice(piece);
            }
        }
        bytes
    }
}

impl<S: Source> Symbols for FileSymbols<'_, S> {
    fn frames(&mut self, module: u32, address: u64) -> Vec<Named> {
        let Some(handle) = self.handle(module) else { return Vec::new() };
        let frames = self.symbolizer.frames(handle, address).into_iter();
        let named = |frame: crate::symbol::SymbolFrame| Named {
            function: frame.function,
            file: frame.file,
            line: frame.line,
            inlined: frame.inlined,
        };
        frames.map(named).collect()
    }

    fn made_at_run_time(&mut self, pid: u32, address: u64) -> Option<String> {
        let map = self.maps.entry(pid).or_insert_with(|| PerfMap::parse(&read_map(pid)));
        map.lookup(address).map(str::to_owned)
    }
}

/// The map that the process's JIT compiler wrote, where perf expects it; empty when there is none.
fn read_map(pid: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let path = format!("/tmp/perf-{pid}.map");
    let is_file = Path::new(&path).metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file && let Ok(file) = File::open(path) {
        // What could be read until an error is as good as a shorter map.
        let _ = file.take(MAX_MAP_LEN).read_to_end(&mut bytes);
    }
    bytes
}
