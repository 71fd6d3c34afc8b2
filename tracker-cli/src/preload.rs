//! The library that goes into the target: built by `build.rs`, carried inside this binary, and put where every
//! program may load it from.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::sys;

const NAME: &str = "libmemtrack_preload.so";

#[expect(dead_code, reason = "one of the two is used, build.rs decides which")]
#[derive(Debug)]
enum Library {
    /// Its bytes, and a name for exactly these bytes.
    Embedded { bytes: &'static [u8], hash: &'static str },
    /// A distribution has installed it here.
    Installed(&'static str),
}

const LIBRARY: Library = include!(concat!(env!("OUT_DIR"), "/preload.rs"));

/// The library's path, extracting it if it is not there yet. `chosen` replaces the built-in one.
pub(crate) fn locate(chosen: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = chosen {
        let path = std::path::absolute(path).and_then(fs::canonicalize);
        let path = path.map_err(|error| Error::usage(format!("--preload-lib: {error}")))?;
        return match loadable(&path) {
            true => Ok(path),
            false => Err(Error::usage(format!(
                "{}: the dynamic loader cannot be given a path with spaces or colons",
                path.display()
            ))),
        };
    }
    match LIBRARY {
        Library::Installed(path) => Ok(PathBuf::from(path)),
        Library::Embedded { bytes, hash } => extract(bytes, hash),
    }
}

/// `LD_PRELOAD` separates its entries by spaces and colons, and expands dollar signs.
fn loadable(path: &Path) -> bool {
    path.is_absolute() && !path.as_os_str().as_bytes().iter().any(|byte| b" :\t\n$".contains(byte))
}

fn extract(bytes: &[u8], hash: &str) -> Result<PathBuf, Error> {
    let mut refused = Vec::new();
    for folder in folders() {
        if !loadable(&folder) {
            refused.push(format!("{}: has a space, colon or dollar sign in its path", folder.display()));
            continue;
        }
        match place(&folder, bytes, hash) {
            Ok(path) => return Ok(path),
            Err(error) => refused.push(format!("{}: {error}", folder.display())),
        }
    }
    let reasons = refused.join("\n  ");
    Err(Error::usage(format!(
        "no private folder for the recording library; set XDG_CACHE_HOME to one that only you can write\n  {reasons}"
    )))
}

/// Where to try, best first. Not a temporary folder first: programs that outlive us load it later, too.
fn folders() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = sys::host::effective_user();
    // A home that does not exist (service users) is not made.
    let home = || variable("HOME").filter(|home| home.is_dir());
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")));
    let run = variable("XDG_RUNTIME_DIR");
    let private = [cache, run].into_iter().flatten().map(|folder| folder.join("memtrack"));
    let shared = ["/var/tmp", "/tmp", "/dev/shm"];
    let shared = shared.into_iter().map(|folder| Path::new(folder).join(format!("memtrack-{user}")));
    let mut folders: Vec<PathBuf> = private.chain(shared).collect();
    if user == 0 {
        // What root runs may become another user, and loads the library all the same.
        folders.sort_by_key(|folder| !is_open(folder));
    }
    folders
}

fn place(folder: &Path, bytes: &[u8], hash: &str) -> io::Result<PathBuf> {
    let folder = folder.join(hash);
    let path = folder.join(NAME);
    if fs::symlink_metadata(&path).is_err() {
        // Programs of other users in the tree must be able to load it.
        DirBuilder::new().recursive(true).mode(0o755).create(&folder)?;
    }
    check_private(&folder)?;
    let whole = |metadata: &fs::Metadata| metadata.is_file() && metadata.len() == bytes.len() as u64;
    if !fs::symlink_metadata(&path).is_ok_and(|metadata| whole(&metadata) && is_private(&metadata)) {
        write(&folder, &path, bytes)?;
    }
    if !sys::file::allows_execution(&folder) {
        return Err(io::Error::other("its file system is mounted noexec"));
    }
    Ok(path)
}

/// Writes under another name and renames, so that nobody ever loads half a library.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{NAME}.{}", std::process::id()));
    let written = File::options().write(true).create_new(true).mode(0o644).open(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        // The umask may have taken rights that other users' programs need.
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        // Ours or a leftover of a process with our number: gone either way.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Nobody but root and us may be able to put another library in its place.
fn check_private(folder: &Path) -> io::Result<()> {
    for ancestor in folder.ancestors() {
        let metadata = fs::symlink_metadata(ancestor)?;
        let metadata = if metadata.is_symlink() { fs::metadata(ancestor)? } else { metadata };
        // In a sticky folder others can add, but not rename or remove what is ours.
        let sticky = ancestor != folder && metadata.mode() & libc::S_ISVTX != 0 && metadata.uid() == 0;
        if !sticky && !is_private(&metadata) {
            return Err(io::Error::other(format!("{} can be changed by other users", ancestor.display())));
        }
    }
    Ok(())
}

/// Whether other users can get into a folder, as far as it exists.
fn is_open(folder: &Path) -> bool {
    folder.ancestors().all(|ancestor| fs::metadata(ancestor).map_or(true, |metadata| metadata.mode() & 0o001 != 0))
}

fn is_private(metadata: &fs::Metadata) -> bool {
    let owner = metadata.uid();
    (owner == 0 || owner == sys::host::effective_user()) && metadata.mode() & 0o022 == 0
}

/// The entry of `LD_PRELOAD` for the library, before the program's own.
pub(crate) fn variable(library: &Path, own: Option<&OsStr>) -> Vec<u8> {
    let mut value = library.as_os_str().as_bytes().to_vec();
    if let Some(own) = own {
        value.push(b':');
        value.extend_from_slice(own.as_bytes());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("memtrack-preload-{}-{name}", std::process::id()));
        DirBuilder::new().mode(0o755).create(&folder).unwrap();
        folder
    }

    #[test]
    fn closed_folders_close_what_is_in_them() {
        let base = folder("closed");
        fs::set_permissions(&base, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(is_open(&base.join("not/there/yet")));
        fs::set_permissions(&base, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!is_open(&base.join("not/there/yet")));
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn it_is_written_once_and_repaired() {
        let base = folder("once");
        let path = place(&base, b"library", "0123").unwrap();
        let first = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"library");
        assert_eq!(place(&base, b"library", "0123").unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().ino(), first.ino());
        fs::write(&path, b"half").unwrap();
        place(&base, b"library", "0123").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"library");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let base = folder("open");
        fs::set_permissions(&base, fs::Permissions::from_mode(0o777)).unwrap();
        let error = place(&base, b"library", "0123").unwrap_err();
        assert!(error.to_string().contains("can be changed by other users"), "{error}");
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn paths_that_the_loader_would_split_are_known() {
        for (path, fine) in
            [("/a/b.so", true), ("/a b.so", false), ("/a:b.so", false), ("a.so", false), ("/$LIB/a", false)]
        {
            assert_eq!(loadable(Path::new(path)), fine, "{path}");
        }
    }

    #[test]
    fn the_programs_own_value_stays_behind_ours() {
        assert_eq!(variable(Path::new("/l.so"), None), b"/l.so");
        assert_eq!(variable(Path::new("/l.so"), Some(OsStr::new("x.so"))), b"/l.so:x.so");
        assert_eq!(variable(Path::new("/l.so"), Some(OsStr::new(""))), b"/l.so:");
    }
}
