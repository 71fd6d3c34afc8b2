//! The program to be recorded: where it is, and what it is started with.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tracker_core::format::lanes::SESSION_VARIABLE;

use crate::error::Error;
use crate::preload;
use crate::sys::{self, process};

/// Exit codes of shells, `env` and their like.
pub(super) const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Finds the file that `execvp` would start.
pub(crate) fn find(program: &OsStr) -> Result<PathBuf, Error> {
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return check(&path).map(|()| path.clone()).map_err(|error| failure(program, &path, &error));
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut denied = None;
    for folder in path.as_bytes().split(|byte| *byte == b':') {
        let folder = if folder.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(folder) };
        let candidate = Path::new(folder).join(program);
        match check(&candidate) {
            Ok(()) if !program.is_empty() => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && candidate.is_file() => {
                denied.get_or_insert((candidate, error));
            }
            _ => {}
        }
    }
    Err(match denied {
        Some((candidate, error)) => failure(program, &candidate, &error),
        None => Error::with_code(NOT_FOUND, format!("{}: not found in PATH", program.display())),
    })
}

fn check(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    sys::file::executable(path)
}

/// Why `program` could not be started.
pub(crate) fn failure(program: &OsStr, file: &Path, error: &io::Error) -> Error {
    let name = program.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            Error::with_code(NOT_FOUND, format!("{name}: no such file"))
        }
        io::ErrorKind::PermissionDenied => {
            Error::with_code(NOT_EXECUTABLE, format!("{name}: not executable for you (chmod +x {}?)", file.display()))
        }
        io::ErrorKind::IsADirectory => Error::with_code(NOT_EXECUTABLE, format!("{name}: is a folder")),
        _ => Error::with_code(NOT_EXECUTABLE, format!("{name}: cannot be started: {error}")),
    }
}

/// `program` needs a file that is not there.
pub(crate) fn missing_interpreter(program: &OsStr, interpreter: &Path) -> Error {
    let (name, interpreter) = (program.display(), interpreter.display());
    Error::with_code(NOT_FOUND, format!("{name}: its interpreter {interpreter} does not exist"))
}

/// Our environment with the library and the session in it. Everything else stays as it is and where it is.
pub(crate) fn environment(library: &Path, session: &str) -> Vec<CString> {
    with_session(process::environment(), library, session)
}

fn with_session(mut entries: Vec<CString>, library: &Path, session: &str) -> Vec<CString> {
    let value_of = |entry: &CString, name: &str| {
        let value = entry.as_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.to_vec())
    };
    entries.retain(|entry| value_of(entry, SESSION_VARIABLE).is_none());
    // The loader takes the last one.
    let own = entries.iter_mut().rev().find_map(|entry| Some((value_of(entry, "LD_PRELOAD")?, entry)));
    let make = |value: Vec<u8>| CString::new([b"LD_PRELOAD=", value.as_slice()].concat()).unwrap_or_default();
    match own {
        Some((own, entry)) => *entry = make(preload::variable(library, Some(OsStr::from_bytes(&own)))),
        None => entries.push(make(preload::variable(library, None))),
    }
    entries.push(CString::new(format!("{SESSION_VARIABLE}={session}")).unwrap_or_default());
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_keeps_its_order() {
        let case = |entries: &[&str]| -> Vec<String> {
            let entries = entries.iter().map(|entry| CString::new(*entry).unwrap()).collect();
            let entries = with_session(entries, Path::new("/l.so"), "s");
            entries.into_iter().map(|entry| entry.into_string().unwrap()).collect()
        };
        assert_eq!(case(&["A=1", "odd"]), ["A=1", "odd", "LD_PRELOAD=/l.so", "MEMTRACK_SESSION=s"]);
        assert_eq!(case(&["LD_PRELOAD=x", "A=1"]), ["LD_PRELOAD=/l.so:x", "A=1", "MEMTRACK_SESSION=s"]);
        assert_eq!(case(&["LD_PRELOAD="]), ["LD_PRELOAD=/l.so:", "MEMTRACK_SESSION=s"]);
        assert_eq!(case(&["MEMTRACK_SESSION=old"]), ["LD_PRELOAD=/l.so", "MEMTRACK_SESSION=s"]);
        assert_eq!(
            case(&["LD_PRELOAD=a", "LD_PRELOAD=b"]),
            ["LD_PRELOAD=a", "LD_PRELOAD=/l.so:b", "MEMTRACK_SESSION=s"]
        );
    }

    #[test]
    fn programs_are_found_or_refused_like_a_shell_does() {
        assert!(find(OsStr::new("sh")).unwrap().ends_with("sh"));
        assert_eq!(find(OsStr::new("/bin/sh")).unwrap(), Path::new("/bin/sh"));
        for (program, code) in
            [("no-such-program-here", 127), ("/no/such/file", 127), ("", 127), ("/etc", 126), ("/etc/passwd", 126)]
        {
            assert_eq!(find(OsStr::new(program)).unwrap_err().code(), code, "{program}");
        }
    }
}
