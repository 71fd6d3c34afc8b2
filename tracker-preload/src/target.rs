//! Can the library work in a program that is about to be executed? Answered from its file's first bytes, as the loader
//! would read them. No allocation, no libc.

use tracker_core::format::record::UntrackedReason;
use tracker_core::format::wire::Reader;

use crate::os;

/// Bytes of a `#!` line that the kernel looks at.
const LINE: usize = 256;
/// Bytes read from a file's start: the ELF header and most program headers.
const HEAD: usize = 512;
/// Most bytes of dynamic strings that are searched for a sanitizer's runtime.
const STRINGS_LIMIT: u64 = 4 << 20;

/// Whether to follow, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Follow,
    /// It runs, but the library cannot work in it.
    Untrackable(UntrackedReason),
    /// Not a program the kernel knows by itself; adding nothing changes nothing.
    Leave,
}

/// Judges the program behind `fd`. Closes nothing. Of the stack it takes little: two kilobytes at most.
pub(crate) fn judge(fd: i32) -> Verdict {
    match interpreter(fd) {
        Script::No => judge_file(fd),
        Script::Of(interpreter) => {
            let verdict = judge_file(interpreter);
            os::close(interpreter);
            verdict
        }
        Script::Broken => Verdict::Leave,
    }
}

enum Script {
    No,
    /// Its interpreter, open.
    Of(i32),
    Broken,
}

/// A frame of its own: its buffers are gone when the interpreter is judged.
#[inline(never)]
fn interpreter(fd: i32) -> Script {
    let mut line = [0u8; LINE + 1];
    let len = os::read_at(fd, line.get_mut(..LINE).unwrap_or_default(), 0);
    let Some(text) = line.get(..len).and_then(|line| line.strip_prefix(b"#!")) else { return Script::No };
    let text = text.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let skipped = b"#!".len() + text.iter().take_while(|byte| blank(byte)).count();
    let end = skipped + text.iter().skip_while(|byte| blank(byte)).take_while(|byte| !blank(byte)).count();
    // The kernel, too, cuts a longer line there.
    if let Some(behind) = line.get_mut(end) {
        *behind = 0;
    }
    line.get(skipped..=end).filter(|_| end > skipped).and_then(os::open).map_or(Script::Broken, Script::Of)
}

#[inline(never)]
fn judge_file(fd: i32) -> Verdict {
    let mut head = [0u8; HEAD];
    let len = os::read_at(fd, &mut head, 0);
    let head = head.get(..len).unwrap_or(&[]);
    if !head.starts_with(b"\x7fELF") {
        return Verdict::Leave;
    }
    match judge_elf(fd, head) {
        Some(None) => Verdict::Follow,
        Some(Some(reason)) => Verdict::Untrackable(reason),
        None => Verdict::Leave,
    }
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    len: u64,
}

/// `None`: not an executable file. `Some(None)`: nothing speaks against it.
fn judge_elf(fd: i32, head: &[u8]) -> Option<Option<UntrackedReason>> {
    use UntrackedReason as Reason;
    match (head.get(4)?, head.get(18..20)?) {
        (2, [62, 0]) => {}
        (1, _) => return Some(Some(Reason::OtherClass)),
        _ => return Some(Some(Reason::OtherMachine)),
    }
    if os::gains_privilege(fd) {
        return Some(Some(Reason::SetUid));
    }
    let table = Reader::new(head.get(32..40)?).u64()?;
    let count = usize::from(Reader::new(head.get(56..58)?).u16()?);
    let segments = move || (0..count.min(32)).map_while(move |index| segment(fd, head, table, index));
    let Some(interpreter) = segments().find(|segment| segment.kind == libc::PT_INTERP) else {
        return Some(Some(Reason::Static));
    };
    let mut name = [0u8; 128];
    let len = os::read_at(fd, &mut name, interpreter.offset);
    let name = name.get(..len.min(interpreter.len as usize))?;
    if contains(name, b"ld-musl") {
        return Some(Some(Reason::Musl));
    }
    if !contains(name, b"ld-linux") {
        return Some(Some(Reason::NoLibc));
    }
    Some(if has_sanitizer(fd, segments).unwrap_or(false) { Some(Reason::Sanitizer) } else { None })
}

fn segment(fd: i32, head: &[u8], table: u64, index: usize) -> Option<Segment> {
    let at = table.checked_add(56 * index as u64)?;
    let mut bytes = [0u8; 56];
    match usize::try_from(at).ok().and_then(|at| head.get(at..at.checked_add(56)?)) {
        Some(inside) => bytes.iter_mut().zip(inside).for_each(|(to, from)| *to = *from),
        None if os::read_at(fd, &mut bytes, at) == 56 => {}
        None => return None,
    }
    let mut reader = Reader::new(&bytes);
    let (kind, _flags, offset, address, _physical, len) =
        (reader.u32()?, reader.u32()?, reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
    Some(Segment { kind, offset, address, len })
}

/// Whether the dynamic strings name a sanitizer's runtime, which insists on being the first library.
fn has_sanitizer<I: Iterator<Item = Segment>>(fd: i32, segments: impl Fn() -> I) -> Option<bool> {
    let dynamic = segments().find(|segment| segment.kind == libc::PT_DYNAMIC)?;
    let (mut strings, mut len) = (0, 0);
    let mut entry = [0u8; 16];
    for index in 0..(dynamic.len / 16).min(256) {
        if os::read_at(fd, &mut entry, dynamic.offset + 16 * index) != 16 {
            break;
        }
        let mut reader = Reader::new(&entry);
        match (reader.u64()?, reader.u64()?) {
            (0, _) => break,
            (5, address) => strings = address,
            (10, bytes) => len = bytes,
            _ => {}
        }
    }
    let load = segments().find(|s| s.kind == libc::PT_LOAD && strings >= s.address && strings - s.address < s.len)?;
    let mut at = load.offset.checked_add(strings - load.address)?;
    let end = at.checked_add(len.min(STRINGS_LIMIT))?;
    const NAMES: [&[u8]; 6] =
        [b"__asan_init", b"__tsan_init", b"__msan_init", b"libasan.so", b"libtsan.so", b"__hwasan_init"];
    let mut block = [0u8; HEAD];
    while at < end {
        let read = os::read_at(fd, &mut block, at);
        let text = block.get(..read).unwrap_or(&[]);
        if NAMES.iter().any(|name| contains(text, name)) {
            return Some(true);
        }
        if read < HEAD {
            break;
        }
        // Blocks overlap, so that a name across their border is found.
        at += HEAD as u64 - 16;
    }
    Some(false)
}

fn contains(text: &[u8], name: &[u8]) -> bool {
    text.windows(name.len()).any(|window| window == name)
}
