//! Names from files: the modules as the capture describes them, and the maps that JIT compilers leave.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use rustc_hash::FxHashMap;

use super::names::{Named, Symbols};
use crate::capture::meta::ModuleFile;
use crate::capture::reader::Capture;
use crate::capture::source::Source;
use crate::replay::census::ModuleName;
use crate::symbol::{FileIdentity, ModuleHandle, ModuleSource, PerfMap, SymbolOptions, Symbolizer};

/// A JIT map may be written this much after the last event, nanoseconds.
const MAP_SLACK: u64 = 2_000_000_000;

/// Most bytes read of one JIT map.
const MAX_MAP_LEN: u64 = 256 << 20;

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
    pub(super) fn new(capture: &'c Capture<S>, modules: &'c [ModuleName], options: &SymbolOptions) -> Self {
        let symbolizer = Symbolizer::new(options.clone());
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
            embedded: file.and_then(|file| self.capture.module_bytes(file)),
            expected: file.map(|file| FileIdentity { len: file.len, modified_ns: file.modified_ns }),
        };
        let handle = self.symbolizer.add_module(source);
        self.handles.insert(index, handle);
        Some(handle)
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
        let (start, facts) = (self.capture.header.start_unix_ns, &self.capture.facts);
        let last = facts.end.map_or(facts.last_time, |end| end.0);
        let span = start..=start.saturating_add(last).saturating_add(MAP_SLACK);
        let map = self.maps.entry(pid).or_insert_with(|| PerfMap::parse(&read_map(pid, &span)));
        map.lookup(address).map(str::to_owned)
    }

    fn notes(&self) -> Vec<(u32, String)> {
        let note = |(&module, &handle): (&u32, &ModuleHandle)| Some((module, self.symbolizer.note(handle)?.to_owned()));
        self.handles.iter().filter_map(note).collect()
    }
}

/// The map that the process's JIT compiler wrote, where perf expects it; empty when there is none. One that was not
/// written last during the recording (`span`, Unix time in nanoseconds) is of another process, or somebody changed it.
fn read_map(pid: u32, span: &RangeInclusive<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let path = format!("/tmp/perf-{pid}.map");
    let written = |metadata: &Metadata| {
        let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_nanos()).ok()
    };
    let ours = |metadata: Metadata| metadata.is_file() && written(&metadata).is_some_and(|time| span.contains(&time));
    if Path::new(&path).symlink_metadata().is_ok_and(ours)
        && let Ok(file) = File::open(path)
    {
        // What could be read until an error is as good as a shorter map.
        let _ = file.take(MAX_MAP_LEN).read_to_end(&mut bytes);
    }
    bytes
}
