//! How much memory is left for what a symbol file wants to be read: debug data comes in gigabytes, and a report without lines is
//! better than none.

use std::fs;

/// Sections below this are read without asking.
const SMALL: u64 = 64 << 20;

/// Whether `bytes` more can be had and leave as much to the rest of the program.
pub(super) fn is_there_for(bytes: u64) -> bool {
    bytes < SMALL || bytes <= left() / 2
}

/// Bytes that this process may still take, by its limit and by what the machine has. What the kernel does not tell is no limit.
fn left() -> u64 {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (limits, status, machine) = (read("/proc/self/limits"), read("/proc/self/status"), read("/proc/meminfo"));
    let limit = number_behind(&limits, "Max address space");
    let taken = number_behind(&status, "VmSize:").unwrap_or(0) << 10;
    let available = number_behind(&machine, "MemAvailable:").map_or(u64::MAX, |kibibytes| kibibytes << 10);
    limit.map_or(u64::MAX, |limit| limit.saturating_sub(taken)).min(available)
}

/// The number behind `name` at the start of a line; `None`: there is no such line, or a word.
fn number_behind(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says() {
        let limits = "Max file size  unlimited  unlimited  bytes\nMax address space  268435456  unlimited  bytes\n";
        assert_eq!(number_behind(limits, "Max address space"), Some(268_435_456));
        assert_eq!(number_behind(limits, "Max file size"), None);
        assert_eq!(number_behind("MemFree:  1 kB\nMemAvailable:   17 kB\n", "MemAvailable:"), Some(17));
        assert!(is_there_for(SMALL - 1) && !is_there_for(u64::MAX));
    }
}
