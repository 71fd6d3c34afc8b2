//! Reads what /proc says about a process. The parsers are pure; what is missing or odd is `None`.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rss {
    pub(super) anon: u64,
    pub(super) file: u64,
    pub(super) shmem: u64,
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
    Some(Rss { anon: part("RssAnon")?, file: part("RssFile")?, shmem: part("RssShmem")? })
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

/// Resident memory of `pid`.
pub(super) fn rss(pid: u32) -> Option<Rss> {
    parse_rss(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
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

/// Whether the process `pid` maps the lanes; yes when we may not look.
fn has_lanes(pid: u32, lanes: u64) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/maps")) {
        Ok(maps) => maps_lanes(&maps, lanes),
        Err(error) => error.kind() == ErrorKind::PermissionDenied,
    }
}

fn own_pid(pid: u32) -> Option<(u32, bool)> {
    parse_own_pid(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Whether the process that calls itself `own` is the one that we call so too, alive and recorded.
pub(super) fn is_here(own: u32, lanes: u64) -> bool {
    own_pid(own) == Some((own, true)) && has_lanes(own, lanes)
}

/// The recorded processes in pid namespaces below ours: what they call themselves, and what we call them.
pub(super) fn in_other_namespaces(lanes: u64) -> HashMap<u32, u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((own_pid(pid).filter(|(_, same)| !same)?.0, pid)))
        .filter(|(_, pid)| has_lanes(*pid, lanes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcat\nNSpid:\t1200\t7\nVmRSS:\t  300 kB\nRssAnon:\t     100 kB\nRssFile:\t     180 kB\n\
                          RssShmem:\t       20 kB\n";

    #[test]
    fn status_is_parsed() {
        assert_eq!(parse_rss(STATUS), Some(Rss { anon: 102_400, file: 184_320, shmem: 20_480 }));
        assert_eq!(parse_own_pid(STATUS), Some((7, false)));
        assert_eq!(parse_own_pid("NSpid:\t15\n"), Some((15, true)));
        assert_eq!(parse_rss("RssAnon:\t1 MB\nRssFile: 1 kB\nRssShmem: 1 kB"), None);
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
    fn we_know_ourselves() {
        let pid = std::process::id();
        assert!(rss(pid).unwrap().anon > 0);
        assert!(program(pid).is_some());
        assert!(thread_name(pid, pid).is_some());
        assert_eq!(own_pid(pid), Some((pid, true)));
        assert!(!is_here(pid, 1));
    }
}
