//! Split DWARF: finds the `.dwo` or `.dwp` file in which a compiler left most of a unit's debug data.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::SplitDwarfLoad;
use gimli::{Dwarf, DwarfFileType, DwarfPackage, Reader as _, SectionId};

use super::debug_files::{self, DebugFile};
use super::dwarf::Sections;
use super::reader::SectionReader;

/// Where the split parts of one module are.
pub(super) struct SplitFiles {
    /// The module's folder.
    dir: PathBuf,
    package: Option<DwarfPackage<SectionReader>>,
}

impl SplitFiles {
    /// Opens `MODULE.dwp`, if there is one.
    pub(super) fn new(module: &Path, sections: &Sections) -> Self {
        let mut package_path = module.as_os_str().to_owned();
        package_path.push(".dwp");
        let package = debug_files::open(package_path.into()).and_then(|DebugFile { elf, .. }| {
            // All sections: the package's index points into each.
            let load = |id: SectionId| {
                let section = sections.read(&elf, id.dwo_name().unwrap_or_default());
                section.map_err(|_| gimli::Error::Io)
            };
            DwarfPackage::load(load, sections.empty()).ok()
        });
        Self { dir: module.parent().map(Path::to_owned).unwrap_or_default(), package }
    }

    /// The debug data of the unit that `wanted` names: from the package, from where the compiler put it, or from a
    /// file of that name beside the module. Its id is the proof that it is the right one.
    pub(super) fn load(
        &self,
        wanted: &SplitDwarfLoad<SectionReader>,
        sections: &Sections,
    ) -> Option<Arc<Dwarf<SectionReader>>> {
        if let Some(package) = &self.package
            && let Ok(Some(dwarf)) = package.find_cu(wanted.dwo_id, &wanted.parent)
        {
            return Some(Arc::new(dwarf));
        }
        let name = path_of(wanted.path.as_ref()?)?;
        let compiled = path_of_dir(wanted).join(&name);
        let beside = self.dir.join(name.file_name()?);
        [compiled, beside].into_iter().find_map(|path| {
            let DebugFile { elf, .. } = debug_files::open(path)?;
            let mut dwarf = sections.load(&elf, DwarfFileType::Dwo).ok()?;
            let unit = dwarf.unit(dwarf.units().next().ok()??).ok()?;
            if unit.dwo_id != Some(wanted.dwo_id) {
                return None;
            }
            dwarf.make_dwo(&wanted.parent);
            Some(Arc::new(dwarf))
        })
    }
}

fn path_of_dir(wanted: &SplitDwarfLoad<SectionReader>) -> PathBuf {
    wanted.comp_dir.as_ref().and_then(path_of).unwrap_or_default()
}

fn path_of(reader: &SectionReader) -> Option<PathBuf> {
    Some(PathBuf::from(OsStr::from_bytes(&reader.to_slice().ok()?)))
}
