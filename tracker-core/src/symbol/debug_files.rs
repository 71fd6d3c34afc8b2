//! Where a module's debug data lies when it was split off: which paths to try, and what proves a file right.
//!
//! A build-id is proof; without one, `.gnu_debuglink`'s check sum is. A link's name is only ever looked up beside the
//! module and below the debug folders.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::elf::Elf;
use super::source::Source;
use super::symbolizer::SymbolOptions;

/// A separate file of debug data, proven to belong to its module.
#[derive(Debug)]
pub(super) struct DebugFile {
    pub(super) path: PathBuf,
    pub(super) elf: Elf,
}

/// Finds the debug file of the module with this build-id: `.build-id/ab/cdef….debug` in the debug folders.
pub(super) fn by_build_id(build_id: &[u8], options: &SymbolOptions) -> Option<DebugFile> {
    let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let name = format!(".build-id/{first:02x}/{}.debug", hex(rest));
    debug_dirs(options).find_map(|dir| open(dir.join(&name)).filter(|file| file.elf.build_id == build_id))
}

/// Finds the debug file that `.gnu_debuglink` of `elf`, the module at `path`, names.
pub(super) fn by_debug_link(path: &Path, elf: &Elf, options: &SymbolOptions) -> Option<DebugFile> {
    let (name, crc) = elf.debug_link()?;
    let name = Path::new(OsStr::from_bytes(&name));
    if !matches!(name.components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
        return None;
    }
    let dir = path.parent()?;
    let beside = [in_sysroot(dir, options).join(name), in_sysroot(dir, options).join(".debug").join(name)];
    let central = debug_dirs(options).map(|debug| debug.join(dir.strip_prefix("/").unwrap_or(dir)).join(name));
    let is_right = |file: &DebugFile| {
        let ids = (&elf.build_id, &file.elf.build_id);
        if ids.0.is_empty() || ids.1.is_empty() { crc32(file.elf.source()) == Some(crc) } else { ids.0 == ids.1 }
    };
    beside.into_iter().chain(central).find_map(|path| open(path).filter(is_right))
}

/// Finds the file that `.gnu_debugaltlink` of the debug file at `path` names.
pub(super) fn by_alt_link(path: &Path, elf: &Elf, options: &SymbolOptions) -> Option<DebugFile> {
    let (link, build_id) = elf.debug_alt_link()?;
    let link = Path::new(OsStr::from_bytes(&link));
    let linked = match link.strip_prefix("/") {
        Ok(_) => in_sysroot(link, options),
        Err(_) => path.parent()?.join(link),
    };
    open(linked).filter(|file| file.elf.build_id == build_id).or_else(|| by_build_id(&build_id, options))
}

/// Opens the ELF file at `path`, if there is one.
pub(super) fn open(path: PathBuf) -> Option<DebugFile> {
    let elf = Elf::parse(Source::open(&path).ok()?).ok()?;
    Some(DebugFile { path, elf })
}

/// Where the file recorded as `path` lies here.
pub(super) fn in_sysroot(path: &Path, options: &SymbolOptions) -> PathBuf {
    match &options.sysroot {
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        None => path.to_owned(),
    }
}

fn debug_dirs(options: &SymbolOptions) -> impl Iterator<Item = PathBuf> {
    let in_root = options.sysroot.iter().flat_map(|_| options.debug_dirs.iter().map(|dir| in_sysroot(dir, options)));
    in_root.chain(options.debug_dirs.iter().cloned())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// CRC-32 as in zlib, which `.gnu_debuglink` uses.
fn crc32(source: &Source) -> Option<u32> {
    const PIECE: u64 = 1 << 20;
    let mut crc = !0;
    let mut at = 0;
    while at < source.len() {
        let piece = source.read(at, PIECE.min(source.len() - at)).ok()?;
        crc = piece.iter().fold(crc, |crc, byte| CRC_TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8));
        at += piece.len() as u64;
    }
    Some(!crc)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_the_standard_one() {
        assert_eq!(crc32(&Source::Memory(b"123456789".to_vec())), Some(0xcbf4_3926));
        assert_eq!(crc32(&Source::Memory(Vec::new())), Some(0));
    }

    #[test]
    fn the_sysroot_comes_first() {
        let options = SymbolOptions { debug_dirs: vec!["/usr/lib/debug".into()], sysroot: Some("/mnt/root".into()) };
        let dirs: Vec<_> = debug_dirs(&options).collect();
        assert_eq!(dirs, [Path::new("/mnt/root/usr/lib/debug"), Path::new("/usr/lib/debug")]);
        assert_eq!(in_sysroot(Path::new("/bin/ls"), &options), Path::new("/mnt/root/bin/ls"));
    }
}
