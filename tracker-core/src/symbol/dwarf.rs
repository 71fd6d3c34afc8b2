//! Functions, lines and inlined frames from DWARF: addr2line over sections that are read whole and metered.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;

use addr2line::{Context, LookupContinuation as _, LookupResult};
use gimli::{AbbreviationsCacheStrategy, Dwarf, DwarfFileType, SectionId};

use super::demangle::{is_mangled, without_clone};
use super::elf::Elf;
use super::limits::{LOOKUP_FUEL, MAX_FRAMES, MAX_PASSES, MAX_SECTION_BYTES, OPEN_FUEL, cut_name};
use super::reader::{Meter, SectionReader};
use super::scopes::{Scopes, has_scopes};
use super::split::SplitFiles;
use super::symbolizer::SymbolFrame;

/// Debug data of one module, opened.
pub(super) struct DebugData {
    context: Context<SectionReader>,
    split: SplitFiles,
    scopes: Scopes,
    sections: Sections,
}

impl DebugData {
    /// Whether `elf` holds debug data.
    pub(super) fn is_in(elf: &Elf) -> bool {
        elf.has_debug_section(".debug_info")
    }

    /// Opens the debug data in `elf`, which shares parts with `alt`. `module` is the module's own path, beside which
    /// split parts may lie.
    pub(super) fn open(module: &Path, elf: &Elf, alt: Option<&Elf>) -> io::Result<Self> {
        let sections = Sections::default();
        sections.meter.grant(OPEN_FUEL);
        sections.meter.start();
        let mut dwarf = sections.load(elf, DwarfFileType::Main)?;
        if let Some(alt) = alt {
            dwarf.set_sup(sections.load(alt, DwarfFileType::Main)?);
        }
        // Linkers of whole programs let all units share one table of abbreviations: parse it once.
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        let context = Context::from_dwarf(dwarf).map_err(io::Error::other)?;
        let split = SplitFiles::new(module, &sections);
        Ok(Self { context, split, scopes: Scopes::default(), sections })
    }

    /// Why a lookup failed with `error`, for the user.
    pub(super) fn explain(&self, error: gimli::Error) -> String {
        if self.sections.meter.is_empty() {
            "its debug data takes more work than honest debug data does".to_owned()
        } else {
            format!("its debug data is damaged: {error}")
        }
    }

    /// The frames at `address`, innermost first, with mangled names; empty when nothing is known. `linked` is the
    /// symbol table's name for the function there.
    pub(super) fn frames(
        &mut self,
        address: u64,
        linked: impl Fn() -> Option<String>,
    ) -> gimli::Result<Vec<SymbolFrame>> {
        let mut frames = self.find(address)?;
        let Some((function, inlined)) = frames.split_last_mut() else { return Ok(frames) };
        for frame in inlined {
            frame.inlined = true;
        }
        if let Some(name) = linked().filter(|name| is_better(name, function.function.as_deref())) {
            function.function = Some(without_clone(&name).to_owned());
        }
        if frames.len() > MAX_FRAMES {
            frames.drain(MAX_FRAMES - 1..frames.len() - 1);
        }
        Ok(frames)
    }

    /// As the data says: names mangled, nothing marked as inlined.
    fn find(&mut self, address: u64) -> gimli::Result<Vec<SymbolFrame>> {
        let mut found = Vec::new();
        // addr2line computes the address behind.
        if address == u64::MAX {
            return Ok(found);
        }
        self.sections.meter.grant(LOOKUP_FUEL);
        self.sections.meter.start();
        let mut lookup = self.context.find_frames(address);
        let mut frames = loop {
            match lookup {
                LookupResult::Output(frames) => break frames?,
                LookupResult::Load { load, continuation } => {
                    lookup = continuation.resume(self.split.load(&load, &self.sections));
                }
            }
        };
        while let Some(frame) = frames.next()? {
            let location = frame.location;
            let file = location.as_ref().and_then(|location| location.file);
            let name = frame.function.as_ref().and_then(|function| {
                let name = function.raw_name().ok()?;
                let scoped = frame.dw_die_offset.filter(|_| !is_mangled(&name) && has_scopes(function.language));
                let full = scoped.and_then(|entry| {
                    let unit = self.context.find_dwarf_and_unit(address).skip_all_loads()?;
                    self.scopes.qualify(unit, entry)
                });
                Some(full.unwrap_or_else(|| without_quotes(&name).to_owned()))
            });
            found.push(SymbolFrame {
                function: name.filter(|name| !name.is_empty()),
                file: file.filter(|file| !file.is_empty()).map(|file| cut_name(file.to_owned())),
                line: location.and_then(|location| location.line),
                inlined: false,
            });
        }
        Ok(found)
    }
}

/// Whether the symbol table's name serves better than the debug data's. Compilers leave linkage names out here and
/// there: then the linked one adds scope and parameters. And they name a function after an internal alias: then the
/// linked one has fewer underscores (`malloc` for `__GI___libc_malloc`).
fn is_better(linked: &str, name: Option<&str>) -> bool {
    let Some(name) = name else { return true };
    !is_mangled(name) && (is_mangled(linked) || underscores(linked) < underscores(name))
}

/// gcc writes down an `asm` label as the assembler wants it: odd names in quotes.
fn without_quotes(name: &str) -> &str {
    name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name)
}

fn underscores(name: &str) -> usize {
    name.bytes().take_while(|byte| *byte == b'_').count()
}

/// Reads debug sections of one module's files, all on one account.
#[derive(Default)]
pub(super) struct Sections {
    meter: Arc<Meter>,
    total: Cell<u64>,
}

impl Sections {
    /// All that lookups need of a file, main or split.
    pub(super) fn load(&self, elf: &Elf, kind: DwarfFileType) -> io::Result<Dwarf<SectionReader>> {
        Dwarf::load(|id| {
            let name = if kind == DwarfFileType::Dwo { id.dwo_name() } else { Some(id.name()) };
            let needed = name.filter(|_| NEEDED.contains(&id));
            needed.map_or_else(|| Ok(self.empty()), |name| self.read(elf, name))
        })
    }

    /// The section called `name`, decompressed; empty when there is none.
    pub(super) fn read(&self, elf: &Elf, name: &str) -> io::Result<SectionReader> {
        let bytes = elf.debug_section(name)?;
        let total = self.total.get().saturating_add(bytes.len() as u64);
        if total > MAX_SECTION_BYTES {
            return Err(io::Error::other("it holds more debug data than memtrack reads"));
        }
        self.total.set(total);
        self.meter.grant((bytes.len() as u64).saturating_mul(MAX_PASSES));
        Ok(SectionReader::new(bytes, Arc::clone(&self.meter)))
    }

    /// A section without bytes.
    pub(super) fn empty(&self) -> SectionReader {
        SectionReader::new(Vec::new(), Arc::clone(&self.meter))
    }
}

const NEEDED: [SectionId; 10] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugAranges,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];
