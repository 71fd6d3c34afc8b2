//! Compares every stack with an independent unwinder: the `backtrace` crate, which asks libgcc. Never shipped: it costs
//! over 100 ns a frame and links std. Only the tests build it, with the feature `oracle`.
//!
//! Counts go into the file that `MEMTRACK_ORACLE` names, shared by all processes: three little-endian u64 (equal,
//! ended early, different). Text of the first differences goes beside it, into `<file>.txt`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::os;
use crate::unwind::Path;

const VARIABLE: &str = "MEMTRACK_ORACLE";
/// Differences that are written out.
const DETAILED: u64 = 16;

struct Counts {
    equal: AtomicU64,
    /// The oracle stopped at code without unwind tables, where we went on by frame pointers.
    early: AtomicU64,
    different: AtomicU64,
}

fn counts() -> Option<&'static Counts> {
    static COUNTS: OnceLock<usize> = OnceLock::new();
    let address = *COUNTS.get_or_init(|| {
        let open = |path| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).ok();
        let Some(file) = std::env::var_os(VARIABLE).and_then(open) else { return 0 };
        if file.set_len(4096).is_err() {
            return 0;
        }
        os::map_shared(file.as_raw_fd(), 4096) as usize
    });
    // SAFETY: a mapping of 4096 bytes that is never unmapped; Counts is atomics.
    (address != 0).then(|| unsafe { &*(address as *const Counts) })
}

/// Compares a path with what the oracle finds above the hook.
#[inline(never)]
pub(crate) fn compare(path: &Path<'_>) {
    let Some(counts) = counts() else { return };
    let Some(leaf) = path.entries.last().map(|entry| entry.pc) else { return };
    // Leaf first. Not a vector: it would allocate, and be recorded.
    let ours = |index: usize| path.entries.len().checked_sub(index + 1).map(|at| path.entries[at].pc);
    let (mut started, mut at, mut wrong) = (false, 0, None);
    // SAFETY: the hook's depth keeps this thread from coming here twice; libgcc's own locks make it safe across threads.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            let pc = frame.ip() as u64;
            started |= pc == leaf;
            if !started || pc == 0 {
                return true;
            }
            if ours(at) != Some(pc) {
                wrong = Some(pc);
                return false;
            }
            at += 1;
            true
        });
    }
    let counter = match (wrong, ours(at)) {
        (None, None) => &counts.equal,
        (None, Some(_)) => &counts.early,
        (Some(_), _) => &counts.different,
    };
    let before = counter.fetch_add(1, Ordering::Relaxed);
    if let Some(theirs) = wrong
        && before < DETAILED
    {
        describe(path, at, theirs);
    }
}

fn describe(path: &Path<'_>, at: usize, theirs: u64) {
    let Some(mut file) = std::env::var_os(VARIABLE) else { return };
    file.push(".txt");
    let Ok(mut file) = OpenOptions::new().append(true).create(true).open(file) else { return };
    let pcs: Vec<u64> = path.entries.iter().rev().map(|entry| entry.pc).collect();
    let name = |pc: u64| {
        let (start, path) =
            crate::module::find(pc as usize).map_or((0, &b"?"[..]), |module| (module.range().0, module.path()));
        format!("{pc:#x} {}+{:#x}", String::from_utf8_lossy(path), pc as usize - start)
    };
    let ours: Vec<String> = pcs.iter().skip(at.saturating_sub(3)).take(6).map(|&pc| name(pc)).collect();
    // A test reads this text; failing to write it loses only detail.
    let _ =
        writeln!(file, "frame {at} of {}: oracle {}; ours from 3 before: {}", pcs.len(), name(theirs), ours.join(", "));
}
