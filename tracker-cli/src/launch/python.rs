//! Python scripts and modules, given as `python3` would be given them: which interpreter runs them. A script's own first
//! line decides, then the active virtual environment, then PATH.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::program::{self, NOT_FOUND};
use crate::elf;
use crate::error::Error;

/// Program and arguments that `program` stands for: itself, or an interpreter when it is a Python `module`, or a Python
/// script that is no program by itself.
///
/// # Errors
/// No interpreter is found.
pub(crate) fn command(
    program: &OsStr,
    module: bool,
    arguments: Vec<OsString>,
) -> Result<(OsString, Vec<OsString>), Error> {
    let mut command = if module {
        vec![interpreter()?, "-m".into()]
    } else {
        match script(program) {
            None => Vec::new(),
            Some(first_line) => named(&first_line).map_or_else(|| interpreter().map(|found| vec![found]), Ok)?,
        }
    };
    command.push(program.to_owned());
    command.extend(arguments);
    let first = command.remove(0);
    Ok((first, command))
}

/// The first line behind `#!` of a script that the kernel would not start or would give to a shell; empty where it has
/// none. `None`: it is a program.
fn script(program: &OsStr) -> Option<Vec<u8>> {
    let extension = Path::new(program).extension()?;
    if !["py", "pyw", "pyz"].iter().any(|known| extension == *known) {
        return None;
    }
    let started = program::find(program).ok();
    let path = started.clone().unwrap_or_else(|| PathBuf::from(program));
    if !path.is_file() {
        return None;
    }
    // A file that cannot be read is the interpreter's to complain about.
    let line = File::open(&path).ok().and_then(|file| elf::first_line(&file));
    if started.is_some() && line.is_some() { None } else { Some(line.unwrap_or_default()) }
}

/// The interpreter that a first line names, with the argument that the line gives it. `None`: it is no Python, or not there.
fn named(line: &[u8]) -> Option<Vec<OsString>> {
    let (first, rest) = split(line);
    let (name, rest) = match base(first) {
        b"env" => match split(rest) {
            (b"-S", rest) => split(rest),
            (name, _) => (name, &[][..]),
        },
        _ => (first, rest),
    };
    if ![&b"python"[..], b"pypy"].iter().any(|start| base(name).starts_with(start)) {
        return None;
    }
    let found = program::find(OsStr::from_bytes(name)).ok()?;
    let argument = Some(rest).filter(|rest| !rest.is_empty()).map(|rest| OsString::from_vec(rest.to_vec()));
    Some([found.into_os_string()].into_iter().chain(argument).collect())
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The first word and what follows it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or_default();
    (word, rest.trim_ascii_start())
}

/// The Python of the active virtual environment, or the first in PATH. Not resolved: an interpreter finds its environment
/// by the name it is called by.
fn interpreter() -> Result<OsString, Error> {
    let active = env::var_os("VIRTUAL_ENV").filter(|folder| !folder.is_empty());
    let own = active.map(|folder| Path::new(&folder).join("bin/python").into_os_string());
    let candidates = own.into_iter().chain(["python3".into(), "python".into()]);
    let found = candidates.into_iter().find_map(|candidate| program::find(&candidate).ok());
    let message = "no Python is found: no virtual environment is active, and PATH has neither python3 nor python";
    found.map(PathBuf::into_os_string).ok_or_else(|| Error::with_code(NOT_FOUND, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_name_interpreters() {
        let python = program::find(OsStr::new("python3")).expect("python3 (apt-get install python3)");
        let python = python.to_str().expect("plain path");
        for (line, expected) in [
            ("/usr/bin/env python3", Some(vec![python])),
            (" /usr/bin/env  -S python3 -u -B", Some(vec![python, "-u -B"])),
            ("/no/such/python3", None),
            ("/bin/sh -e", None),
            ("/usr/bin/env", None),
            ("", None),
        ] {
            let found = named(line.as_bytes());
            let expected = expected.map(|words| words.into_iter().map(OsString::from).collect::<Vec<_>>());
            assert_eq!(found, expected, "{line:?}");
        }
        let with_path = format!("{python} -u\r");
        assert_eq!(named(with_path.as_bytes()), Some(vec![python.into(), "-u".into()]));
    }

    #[test]
    fn programs_stay_what_they_are() {
        for program in ["sh", "/bin/ls", "no-such-script.py", "x.py/"] {
            let (first, rest) = command(OsStr::new(program), false, vec!["a".into()]).expect("needs no interpreter");
            assert_eq!((first.as_os_str(), rest), (OsStr::new(program), vec![OsString::from("a")]));
        }
    }
}
