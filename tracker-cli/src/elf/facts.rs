//! What `doctor` tells about a program beside whether it can be recorded: how well its stacks will read.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use object::read::elf::ElfFile64;
use object::{Endianness, Object as _, ObjectSection as _, ReadCache};

use crate::sys::memory;

/// A larger loader is not looked at.
const MAX_LOADER: u64 = 16 << 20;

/// What a program's file offers to a symbolizer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Symbols {
    /// It names its functions.
    pub(crate) functions: bool,
    /// Where files, lines and inlined functions come from.
    pub(crate) debug_info: Option<PathBuf>,
    pub(crate) build_id: Option<String>,
}

/// Looks at the sections of the program at `path`.
pub(crate) fn symbols(path: &Path) -> Option<Symbols> {
    let cache = ReadCache::new(File::open(path).ok()?);
    let file = ElfFile64::<Endianness, _>::parse(&cache).ok()?;
    let build_id = file.build_id().ok().flatten();
    let has = |name: &str| file.section_by_name(name).is_some_and(|section| section.size() > 0);
    let debug_info = if has(".debug_info") || has(".zdebug_info") {
        Some(path.to_owned())
    } else {
        let link = file.gnu_debuglink().ok().flatten().map(|(name, _)| name);
        separate(path, build_id, link)
    };
    let build_id = build_id.map(|id| id.iter().map(|byte| format!("{byte:02x}")).collect());
    Some(Symbols { functions: has(".symtab"), debug_info, build_id })
}

/// The separate debug file, where distributions put them.
fn separate(path: &Path, build_id: Option<&[u8]>, link: Option<&[u8]>) -> Option<PathBuf> {
    let root = Path::new("/usr/lib/debug");
    let by_id = build_id.and_then(|id| {
        let (first, rest) = id.split_first()?;
        let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(root.join(".build-id").join(format!("{first:02x}")).join(format!("{rest}.debug")))
    });
    let folder = fs::canonicalize(path).ok()?.parent()?.to_owned();
    let by_link = link.map(std::ffi::OsStr::from_bytes).into_iter().flat_map(|name| {
        let below = root.join(folder.strip_prefix("/").unwrap_or(&folder));
        [folder.join(name), folder.join(".debug").join(name), below.join(name)]
    });
    by_id.into_iter().chain(by_link).find(|candidate| candidate.is_file())
}

/// Version of the C library that the dynamic loader at `path` belongs to, when it is glibc: major and minor.
pub(crate) fn glibc(path: &Path) -> Option<(u32, u32)> {
    let small = fs::metadata(path).ok()?.len() <= MAX_LOADER;
    small.then(|| version(&fs::read(path).ok()?))?
}

/// The version in the loader's own greeting.
fn version(bytes: &[u8]) -> Option<(u32, u32)> {
    const BEFORE: &[u8] = b"release version ";
    let rest = bytes.get(memory::find(bytes, BEFORE)? + BEFORE.len()..)?;
    let mut numbers = rest.split(|byte| !byte.is_ascii_digit());
    let mut number = || std::str::from_utf8(numbers.next()?).ok()?.parse().ok();
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_cut_out_of_the_greeting() {
        assert_eq!(version(b"\0ld.so (Box 2.36-9) stable release version 2.36.\n\0"), Some((2, 36)));
        assert_eq!(version(b"release version .\n"), None);
        assert_eq!(version(b"release version 2"), None);
        assert_eq!(version(b"no such thing"), None);
    }

    #[test]
    fn our_own_test_program_has_everything() {
        let path = fs::read_link("/proc/self/exe").unwrap();
        let symbols = symbols(&path).unwrap();
        assert!(symbols.functions);
        assert_eq!(symbols.debug_info, Some(path));
        let loader = super::super::inspect(Path::new("/proc/self/exe")).loader.unwrap();
        assert_eq!(glibc(&loader).unwrap().0, 2);
    }
}
