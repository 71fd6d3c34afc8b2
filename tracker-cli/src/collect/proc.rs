//! Reads what /proc says about a process, for collector and parent. The parsers are pure; what is missing or odd is
//! `None`.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use crate::sys::process;

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rss {
    pub(crate) anon: u64,
    pub(crate) file: u64,
    pub(crate) shmem: u64,
    /// The most of all three so far.
    pub(crate) high: u64,
}

/// The value of a `Name:  123 kB` line, in bytes.
fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let mut words = field(status, name)?.split_ascii_whitespace();
    let value: u64 = words.next()?.parse().ok()?;
    (words.next()? == "kB").then(|| value.saturating_mul(1024))
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

fn parse_rss(status: &str) -> Option<Rss> {
    let part = |name| kilobytes(status, name);
    Some(Rss { anon: part("RssAnon")?, file: part("RssFile")?, shmem: part("RssShmem")?, high: part("VmHWM")? })
}

/// The process's id in its own pid namespace, and whether that namespace is ours.
fn parse_own_pid(status: &str) -> Option<(u32, bool)> {
    let mut ids = field(status, "NSpid")?.split_ascii_whitespace();
    let count = ids.clone().count();
    Some((ids.next_back()?.parse().ok()?, count == 1))
}

/// Whether `maps` lists the lanes.
fn maps_lanes(maps: &str, inode: u64) -> bool {
    maps.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.nth(4).and_then(|field| field.parse().ok()) == Some(inode)
            && fields.next().is_some_and(|path| path.starts_with("/memfd:memtrack-lanes"))
    })
}

/// A file of /proc: what programs, threads and files are called in it may be any bytes.
fn read(path: &str) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
}

/// Resident memory of `pid`.
pub(crate) fn rss(pid: u32) -> Option<Rss> {
    parse_rss(&read(&format!("/proc/{pid}/status")).ok()?)
}

/// The name of thread `tid`.
pub(super) fn thread_name(pid: u32, tid: u32) -> Option<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
    if name.last() == Some(&b'\n') {
        name.pop();
    }
    Some(name)
}

/// Device and inode of the program that `pid` runs.
pub(super) fn program(pid: u32) -> Option<(u64, u64)> {
    let metadata = fs::metadata(format!("/proc/{pid}/exe")).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Whether a process is the one that an image's record names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Here,
    /// Certainly not.
    Absent,
    /// It may be, but we cannot tell.
    Unclear,
}

/// What one reading of `maps` says; `None` when there is no memory to say anything about.
fn seen_in(maps: io::Result<String>, lanes: u64) -> Option<Sight> {
    match maps {
        Ok(maps) if maps.is_empty() => None,
        Ok(maps) if maps_lanes(&maps, lanes) => Some(Sight::Here),
        Ok(_) => Some(Sight::Absent),
        Err(error) if process::is_absence(&error) => None,
        Err(_) => Some(Sight::Unclear),
    }
}

fn has_lanes(pid: u32, lanes: u64) -> Sight {
    let of_first = seen_in(read(&format!("/proc/{pid}/maps")), lanes);
    // A first thread that has ended has no memory, while others may go on.
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_any = || threads().find_map(|thread| seen_in(read(thread.path().join("maps").to_str()?), lanes));
    of_first.or_else(of_any).unwrap_or(Sight::Absent)
}

/// What `pid` calls itself. `Err`: whether it is there at all.
fn own_pid(pid: u32) -> Result<(u32, bool), Sight> {
    match read(&format!("/proc/{pid}/status")) {
        Ok(status) => parse_own_pid(&status).ok_or(Sight::Unclear),
        // Where processes of others are hidden, it may be there nevertheless.
        Err(error) if process::is_absence(&error) && !process::exists(pid) => Err(Sight::Absent),
        Err(_) => Err(Sight::Unclear),
    }
}

/// Whether the process that calls itself `own` is the one that we call so too, alive and recorded. One that we may not
/// look into is ours if it came from `root`.
pub(super) fn sight(own: u32, lanes: u64, root: u32) -> Sight {
    let sight = match own_pid(own) {
        Ok(called) if called == (own, true) => has_lanes(own, lanes),
        Ok(_) => Sight::Absent,
        Err(sight) => sight,
    };
    if sight == Sight::Unclear && descends(own, root) { Sight::Here } else { sight }
}

/// What the recorded processes in pid namespaces below ours call themselves, and what we call them; `None` for one that
/// we may not look into.
pub(super) fn in_other_namespaces(lanes: u64) -> HashMap<u32, Option<u32>> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut found = HashMap::new();
    for pid in pids {
        let Ok((own, false)) = own_pid(pid) else { continue };
        match has_lanes(pid, lanes) {
            Sight::Here => drop(found.insert(own, Some(pid))),
            Sight::Unclear => drop(found.entry(own).or_insert(None)),
            Sight::Absent => {}
        }
    }
    found
}

/// Whether `pid` is `ancestor` or came from it. A process that is gone already came from elsewhere.
pub(crate) fn descends(pid: u32, ancestor: u32) -> bool {
    let mut pid = pid;
    for _ in 0..64 {
        if pid == ancestor {
            return true;
        }
        match state(pid) {
            Some((_, parent)) if parent > 1 => pid = parent,
            _ => return false,
        }
    }
    false
}

/// State and parent of a process.
pub(crate) fn state(pid: u32) -> Option<(char, u32)> {
    parse_state(&read(&format!("/proc/{pid}/stat")).ok()?)
}

fn parse_state(stat: &str) -> Option<(char, u32)> {
    // The name before it may contain anything, parentheses too.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Opens a file that `pid` maps but that has no name any more. Only root may.
pub(super) fn open_deleted(pid: u32, path: &[u8]) -> Option<File> {
    let maps = fs::read(format!("/proc/{pid}/maps")).ok()?;
    let range = deleted_range(&maps, path)?;
    File::open(format!("/proc/{pid}/map_files/{range}")).ok()
}

/// The addresses of the first mapping of the deleted file `path`.
fn deleted_range(maps: &[u8], path: &[u8]) -> Option<String> {
    let name = [b" ", path, b" (deleted)"].concat();
    let line = maps.split(|byte| *byte == b'\n').find(|line| line.ends_with(&name))?;
    let range = line.split(|byte| *byte == b' ').next()?;
    String::from_utf8(range.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcat\nNSpid:\t1200\t7\nVmHWM:\t  310 kB\nVmRSS:\t  300 kB\nRssAnon:\t     100 kB\nRssFile:\t     180 kB\n\
                          RssShmem:\t       20 kB\n";

    #[test]
    fn status_is_parsed() {
        assert_eq!(parse_rss(STATUS), Some(Rss { anon: 102_400, file: 184_320, shmem: 20_480, high: 317_440 }));
        assert_eq!(parse_own_pid(STATUS), Some((7, false)));
        assert_eq!(parse_own_pid("NSpid:\t15\n"), Some((15, true)));
        assert_eq!(parse_rss("VmHWM: 1 kB\nRssAnon:\t1 MB\nRssFile: 1 kB\nRssShmem: 1 kB"), None);
        assert_eq!(parse_own_pid("NSpid:\n"), None);
    }

    #[test]
    fn lanes_are_found_by_inode_and_name() {
        let line = "7f00-7f01 rw-s 00000000 00:01 2048    /memfd:memtrack-lanes (deleted)\n";
        assert!(maps_lanes(line, 2048));
        assert!(!maps_lanes(line, 2049));
        assert!(!maps_lanes("7f00-7f01 rw-s 00000000 00:01 2048    /memfd:other (deleted)\n", 2048));
        assert!(!maps_lanes("7f00-7f01 rw-p 00000000 00:00 0\n", 0));
    }

    #[test]
    fn only_what_is_certain_is_absent() {
        let ours = "7f00-7f01 rw-s 00000000 00:01 2048    /memfd:memtrack-lanes (deleted)\n";
        let refused = |number| Err(io::Error::from_raw_os_error(number));
        for (maps, sight) in [
            (Ok(ours.to_owned()), Some(Sight::Here)),
            (Ok(ours.replace("2048", "2049")), Some(Sight::Absent)),
            (Ok(String::new()), None),
            (refused(libc::ENOENT), None),
            (refused(libc::ESRCH), None),
            (refused(libc::EACCES), Some(Sight::Unclear)),
            (refused(libc::EMFILE), Some(Sight::Unclear)),
            (refused(libc::EIO), Some(Sight::Unclear)),
        ] {
            let text = format!("{maps:?}");
            assert_eq!(seen_in(maps, 2048), sight, "{text}");
        }
    }

    #[test]
    fn hostile_names_do_not_confuse() {
        assert_eq!(parse_state("7 (a) T 1 (b) S 12 7 7\n"), Some(('S', 12)));
        assert_eq!(parse_state("7 (x"), None);
        assert_eq!(parse_state("7 (x)"), None);
    }

    #[test]
    fn deleted_files_are_found_by_name() {
        let maps = b"10-20 r--p 0 00:01 7    /lib/a.so\n30-40 r-xp 0 00:01 8   /tmp/a b.so (deleted)\n";
        assert_eq!(deleted_range(maps, b"/tmp/a b.so").as_deref(), Some("30-40"));
        assert_eq!(deleted_range(maps, b"/lib/a.so"), None);
    }

    #[test]
    fn we_know_ourselves() {
        let pid = std::process::id();
        assert!(rss(pid).unwrap().anon > 0);
        assert!(program(pid).is_some());
        assert!(thread_name(pid, pid).is_some());
        assert_eq!(own_pid(pid), Ok((pid, true)));
        assert_eq!(sight(pid, 1, pid), Sight::Absent);
        let parent = state(pid).unwrap().1;
        assert!(descends(pid, pid) && descends(pid, parent) && !descends(parent, pid));
    }
}
