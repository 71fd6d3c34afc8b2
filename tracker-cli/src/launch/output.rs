//! The capture's name, and its creation: for us alone, never over something else unless asked to.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tracker_core::capture::block::FILE_MAGIC;

use crate::error::Error;
use crate::sys::host;

/// What the placeholders of `-o` stand for.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// `%p`
    pub(crate) pid: u32,
    /// `%n`
    pub(crate) program: String,
    /// `%h`
    pub(crate) host: String,
    /// `%t`
    pub(crate) unix_seconds: u64,
}

/// Opens the capture, locked by us, which is how readers see that it is still being written.
pub(crate) fn create(pattern: Option<&Path>, force: bool, names: &Names) -> Result<(PathBuf, File), Error> {
    let (path, file) = match pattern {
        Some(pattern) => {
            let path = expand(pattern, names)?;
            let file = explicit(&path, force)?;
            (path, file)
        }
        None => default(names)?,
    };
    // Whatever the umask says, the capture is ours alone; and a file system without locks is no reason to stop.
    let _ = file.set_permissions(Permissions::from_mode(0o600));
    let _ = file.try_lock();
    give_to_caller(&file);
    Ok((path, file))
}

fn explicit(path: &Path, force: bool) -> Result<File, Error> {
    match open_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => return result.map_err(|error| cannot_create(path, &error)),
    }
    let name = path.display();
    // Only what could have been a capture is replaced, never a device or a link to somewhere else.
    let metadata = fs::symlink_metadata(path).map_err(|error| cannot_create(path, &error))?;
    if !metadata.is_file() {
        return Err(Error::usage(format!("{name} is not a regular file; -o names another one")));
    }
    if !force {
        return Err(Error::usage(format!("{name} exists already; -f replaces it, -o names another file")));
    }
    let old = File::open(path).map_err(|error| cannot_create(path, &error))?;
    if !may_be_capture(&old).map_err(|error| cannot_create(path, &error))? {
        return Err(Error::usage(format!("{name} is no capture, so -f does not replace it; -o names another file")));
    }
    if matches!(old.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return Err(Error::usage(format!("{name} is still being recorded; -o names another file")));
    }
    fs::remove_file(path).and_then(|()| open_new(path)).map_err(|error| cannot_create(path, &error))
}

/// Whether this was written by a recording, an interrupted one perhaps.
fn may_be_capture(mut file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(FILE_MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(FILE_MAGIC.starts_with(&start))
}

/// The names of the captures of several runs: those that one run would have, numbered.
///
/// # Errors
/// `pattern` is none.
pub(crate) fn numbered(pattern: Option<&Path>, names: &Names, runs: u32) -> Result<Vec<PathBuf>, Error> {
    let one = match pattern {
        Some(pattern) => expand(pattern, names)?,
        None => PathBuf::from(format!("memtrack.{}.{}.mtk", names.program, names.pid)),
    };
    let extension = one.extension().unwrap_or_default().to_owned();
    let name = |run: u32| {
        let mut end = std::ffi::OsString::from(format!("{run}."));
        end.push(&extension);
        one.with_extension(end)
    };
    Ok((1..=runs).map(name).collect())
}

fn default(names: &Names) -> Result<(PathBuf, File), Error> {
    let stem = format!("memtrack.{}.{}", names.program, names.pid);
    for attempt in 1..1000u32 {
        let path = match attempt {
            1 => PathBuf::from(format!("{stem}.mtk")),
            _ => PathBuf::from(format!("{stem}.{attempt}.mtk")),
        };
        match open_new(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_create(&path, &error)),
        }
    }
    Err(Error::usage(format!("there are too many captures named {stem}.*.mtk here; -o names another file")))
}

fn open_new(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// What to say where others can put another capture in the place of the one at `path`. That is no reason to go without a
/// recording: nobody can read or change this one.
pub(crate) fn exposed(path: &Path) -> Option<String> {
    let folder = std::path::absolute(path).and_then(|path| fs::canonicalize(path.parent().unwrap_or(&path))).ok()?;
    let is_open = |folder: &&Path| {
        fs::metadata(folder).is_ok_and(|found| found.mode() & (libc::S_IWOTH | libc::S_ISVTX) == libc::S_IWOTH)
    };
    let open = folder.ancestors().find(is_open)?.display();
    Some(format!("others can put another file in the place of {}: all may write in {open} (chmod +t)", path.display()))
}

/// Why there is no capture at `path`.
pub(super) fn cannot_create(path: &Path, error: &io::Error) -> Error {
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "you may not write in its folder".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only".to_owned(),
        io::ErrorKind::StorageFull => "its file system is full".to_owned(),
        _ => error.to_string(),
    };
    Error::usage(format!("cannot create the capture {}: {reason}; -o names another place", path.display()))
}

/// Under sudo the capture belongs to who called.
fn give_to_caller(file: &File) {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    if host::effective_user() == 0
        && let (Some(user), Some(group)) = (number("SUDO_UID"), number("SUDO_GID"))
    {
        // The capture is as good when it stays root's.
        let _ = fchown(file, Some(user), Some(group));
    }
}

fn expand(pattern: &Path, names: &Names) -> Result<PathBuf, Error> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut path = Vec::new();
    let mut bytes = pattern.as_os_str().as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'%') => path.push(b'%'),
            Some(b'p') => path.extend_from_slice(names.pid.to_string().as_bytes()),
            Some(b'n') => path.extend_from_slice(names.program.as_bytes()),
            Some(b'h') => path.extend_from_slice(names.host.as_bytes()),
            Some(b't') => path.extend_from_slice(time(names.unix_seconds).as_bytes()),
            _ => {
                let known = "%p (process id), %n (program), %h (host), %t (time), %% (a percent sign)";
                return Err(Error::usage(format!("-o {}: known are {known}", pattern.display())));
            }
        }
    }
    Ok(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// Sorts by time as a name.
fn time(unix_seconds: u64) -> String {
    let [year, month, day, hour, minute, second] = host::local_time(unix_seconds);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// A program's name as a part of a file name.
pub(crate) fn program_name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let plain = |c: char| if c.is_control() || c == '/' { '_' } else { c };
    let name: String = name.chars().map(plain).take(64).collect();
    if name.is_empty() { "program".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names() -> Names {
        Names { pid: 42, program: "prog".to_owned(), host: "box".to_owned(), unix_seconds: 1_700_000_000 }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("memtrack-output-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn placeholders_are_replaced() {
        let expand = |pattern: &str| expand(Path::new(pattern), &names()).map(|p| p.display().to_string());
        assert_eq!(expand("a/%n-%p@%h.mtk").unwrap(), "a/prog-42@box.mtk");
        assert_eq!(expand("100%%").unwrap(), "100%");
        assert_eq!(expand("%t").unwrap().len(), 15);
        for wrong in ["%", "%x", "a%"] {
            assert_eq!(expand(wrong).unwrap_err().code(), 2);
        }
    }

    #[test]
    fn several_runs_have_a_number_each() {
        let shown = |pattern: Option<&str>| {
            let paths = numbered(pattern.map(Path::new), &names(), 2).unwrap();
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(None), "memtrack.prog.42.1.mtk memtrack.prog.42.2.mtk");
        assert_eq!(shown(Some("a/%n.mtk")), "a/prog.1.mtk a/prog.2.mtk");
    }

    #[test]
    fn nothing_is_overwritten_unasked() {
        let folder = folder("force");
        let path = folder.join("a.mtk");
        let (_, first) = create(Some(&path), false, &names()).unwrap();
        assert_eq!(first.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(create(Some(&path), false, &names()).unwrap_err().to_string().contains("-f replaces it"));
        assert!(create(Some(&path), true, &names()).unwrap_err().to_string().contains("still being recorded"));
        drop(first);
        create(Some(&path), true, &names()).unwrap();
        fs::write(&path, FILE_MAGIC).unwrap();
        create(Some(&path), true, &names()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(create(Some(&path), true, &names()).unwrap_err().to_string().contains("is no capture"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

        let (target, link) = (folder.join("target"), folder.join("link"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        assert!(create(Some(&link), true, &names()).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn folders_where_others_can_replace_it_are_told_of() {
        let folder = folder("exposed");
        fs::create_dir(folder.join("own")).unwrap();
        for (mode, is_exposed) in [(0o777, true), (0o1777, false), (0o770, false), (0o755, false), (0o773, true)] {
            fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
            for path in [folder.join("x.mtk"), folder.join("own/x.mtk")] {
                let told = exposed(&path);
                assert_eq!(told.is_some(), is_exposed, "{mode:o}: {told:?}");
                assert!(told.is_none_or(|text| text.ends_with(&format!("in {} (chmod +t)", folder.display()))));
            }
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = create(Some(Path::new("/no/such/folder/x.mtk")), false, &names()).unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().contains("/no/such/folder/x.mtk: its folder does not exist"), "{error}");
    }

    #[test]
    fn program_names_are_safe_in_paths() {
        for (program, name) in [("/usr/bin/git", "git"), ("./a b", "a b"), ("x\n\u{1b}[m", "x__[m"), ("..", "..")] {
            assert_eq!(program_name(OsStr::new(program)), name);
        }
    }
}
