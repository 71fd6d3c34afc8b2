//! Lines of a source file around the one that a frame of the capture names, for the reader of a served page.
//!
//! The name comes from the capture, which may be anybody's: only what is a source file by its name is opened, links and
//! `..` followed, and only while it is as old as the recording, or its lines would be other ones.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

/// Lines before and after the one in question.
const AROUND: u32 = 4;
/// Longest file that is looked into, and longest line that is shown, in bytes.
const MOST_BYTES: u64 = 16 << 20;
const LONGEST: usize = 400;

/// What the names of source files end in.
const ENDINGS: [&str; 38] = [
    "c", "cc", "cpp", "cxx", "h", "hh", "hpp", "hxx", "inl", "ipp", "tcc", "inc", "def", "m", "mm", "cu", "rs", "go",
    "zig", "d", "s", "S", "asm", "f", "f90", "py", "pyx", "pxd", "pxi", "js", "ts", "java", "kt", "swift", "nim", "ml",
    "y", "l",
];
/// Where the standard headers of C++ are, which have no ending.
const HEADERS: &str = "/usr/include/c++/";

/// Some lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Excerpt {
    pub(super) file: String,
    /// The one in question, from 1.
    pub(super) line: u32,
    /// Number of the first of `lines`.
    pub(super) first: u32,
    pub(super) lines: Vec<String>,
    /// Why there are no lines.
    pub(super) missing: Option<&'static str>,
}

impl Excerpt {
    /// No lines, and why.
    pub(super) fn none(file: &str, line: u32, why: &'static str) -> Self {
        Self { file: file.to_owned(), line, first: line, lines: Vec::new(), missing: Some(why) }
    }
}

/// The lines around `line` of `file`, which is older than `recorded` (Unix time in nanoseconds).
///
/// # Errors
/// Why there are none, for the reader of the page.
pub(super) fn excerpt(file: &str, line: u32, recorded: u64) -> Result<Excerpt, &'static str> {
    const NONE: &str = "there is no source file for it";
    const AWAY: &str = "its source file is not on this machine";
    if !is_source(Path::new(file)) || line == 0 {
        return Err(NONE);
    }
    // The name says what the capture likes; what it leads to has to be a source file as well.
    let path = std::fs::canonicalize(file).map_err(|_| AWAY)?;
    if !is_source(&path) {
        return Err(NONE);
    }
    // A pipe would block: look before it is opened.
    let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file).ok_or(AWAY)?;
    if metadata.modified().is_ok_and(|modified| modified > UNIX_EPOCH + Duration::from_nanos(recorded)) {
        return Err("its source file has changed since the recording");
    }
    let file_opened = File::open(path).map_err(|_| "its source file cannot be read")?;
    let first = line.saturating_sub(AROUND).max(1);
    let mut reader = BufReader::new(file_opened.take(MOST_BYTES));
    let (mut lines, mut bytes) = (Vec::new(), Vec::new());
    for number in 1..=line.saturating_add(AROUND) {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(|_| "its source file cannot be read")? == 0 {
            break;
        }
        if number >= first {
            lines.push(shown(&bytes));
        }
    }
    if lines.len() as u64 <= u64::from(line - first) {
        return Err("its source file has fewer lines");
    }
    Ok(Excerpt { file: file.to_owned(), line, first, lines, missing: None })
}

/// Whether a file is one of source text by its name.
fn is_source(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    path.is_absolute() && ending.map_or(path.starts_with(HEADERS), |ending| ENDINGS.contains(&ending))
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    match text.get(text.floor_char_boundary(LONGEST)..) {
        Some(rest) if !rest.is_empty() => format!("{}…", text.trim_end_matches(rest)),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use super::*;

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 + 1_000_000_000
    }

    #[test]
    fn lines_around_one() {
        let folder = std::env::temp_dir().join(format!("memtrack-excerpt-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &[u8]| {
            fs::write(folder.join(name), text).unwrap();
            folder.join(name).to_str().unwrap().to_owned()
        };
        let text: String = (1..=20).map(|number| format!("line {number}\n")).collect();
        let file = write("a.c", text.as_bytes());
        let lines =
            |line| excerpt(&file, line, now()).map(|found| (found.first, found.lines.len(), found.lines[0].clone()));
        assert_eq!(lines(1), Ok((1, 5, "line 1".to_owned())));
        assert_eq!(lines(10), Ok((6, 9, "line 6".to_owned())));
        assert_eq!(lines(20), Ok((16, 5, "line 16".to_owned())));
        assert_eq!(lines(21), Err("its source file has fewer lines"));
        assert_eq!(lines(0), Err("there is no source file for it"));
        assert_eq!(excerpt(&file, 1, 5), Err("its source file has changed since the recording"));
        let odd = write("odd.py", &[b"\xff\r\n".as_slice(), "é".repeat(500).as_bytes()].concat());
        let odd = excerpt(&odd, 2, now()).unwrap().lines;
        assert_eq!((odd[0].as_str(), odd[1].chars().count()), ("\u{fffd}", LONGEST / 2 + 1));
        // Builds in a folder of their own name their files like this.
        fs::create_dir(folder.join("build")).unwrap();
        let climbing = folder.join("build/../a.c");
        assert_eq!(excerpt(climbing.to_str().unwrap(), 1, now()).unwrap().lines.len(), 5);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_source_file_stays_closed() {
        let folder = std::env::temp_dir().join(format!("memtrack-excerpt-secret-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        fs::write(path("key"), b"x\n").unwrap();
        fs::write(path("real.c"), b"x\n").unwrap();
        for (link, target) in [("key.c", "key"), ("passwd.c", "/etc/passwd"), ("fine.c", "real.c")] {
            std::os::unix::fs::symlink(target, path(link)).unwrap();
        }
        assert_eq!(excerpt(&path("fine.c"), 1, now()).unwrap().lines, ["x"]);
        let climbing = "/usr/include/c++/../../../etc/passwd";
        for secret in ["/etc/passwd", climbing, &path("key"), &path("key.c"), &path("passwd.c"), "a.c", "real.c"] {
            let found = excerpt(secret, 1, u64::MAX);
            assert_eq!(found, Err("there is no source file for it"), "{secret}");
        }
        assert!(Path::new("/etc/passwd").exists() && Path::new("/usr/include/c++").exists(), "they could be read");
        fs::remove_dir_all(folder).unwrap();
    }
}
