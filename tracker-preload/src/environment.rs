//! \[unsafe\] The session's variable in the environment block: found, read, and taken out again, in place. Its text is wiped,
//! too: `/proc/PID/environ` shows that memory, and the token in it opens the collector's door.
//!
//! Called once, before the program's own code, while the process has one thread.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};

use tracker_core::format::lanes::SESSION_VARIABLE;

const PRELOAD: &[u8] = b"LD_PRELOAD";

/// What the variable says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    /// 32 hex digits.
    pub(crate) token: &'static [u8],
    /// The image that started this one, `u32::MAX` for none.
    pub(crate) parent: u32,
    /// An inherited descriptor of the lanes, and its inode.
    pub(crate) descriptor: Option<(i32, u64)>,
    /// Path of this library.
    pub(crate) library: &'static [u8],
}

/// Room for the variable's text, which outlives the variable.
pub(crate) struct Keep(UnsafeCell<[u8; 1280]>);
// SAFETY: a place, for those who know who uses it.
unsafe impl Sync for Keep {}

impl Keep {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new([0; 1280]))
    }

    pub(crate) fn room(&self) -> *mut [u8] {
        self.0.get()
    }
}

/// The program's arguments and environment, as the kernel laid them out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) arguments: *const *const c_char,
    pub(crate) count: usize,
    environment: *mut *mut c_char,
}

impl Start {
    /// From what the loader passes to constructors.
    ///
    /// # Safety
    /// The pointers are those of this process's start.
    pub(crate) unsafe fn new(count: usize, arguments: *const *const c_char, environment: *mut *mut c_char) -> Self {
        Self { arguments, count, environment }
    }

    /// From the block at the upper end of the main stack: argc, argv, NULL, envp, NULL.
    ///
    /// # Safety
    /// `stack_end` is the loader's `__libc_stack_end`.
    pub(crate) unsafe fn from_stack(stack_end: usize) -> Option<Self> {
        if stack_end == 0 || stack_end & 7 != 0 {
            return None;
        }
        let words = stack_end as *mut usize;
        // SAFETY: the block starts with the argument count; a started loader may have moved it, hence the checks.
        unsafe {
            let count = *words;
            if count > 1 << 20 || *words.add(1 + count) != 0 {
                return None;
            }
            Some(Self { arguments: words.add(1).cast(), count, environment: words.add(2 + count).cast() })
        }
    }

    /// Argument `index`.
    pub(crate) fn argument(&self, index: usize) -> Option<&'static [u8]> {
        if index >= self.count {
            return None;
        }
        // SAFETY: argv holds `count` C strings that live as long as the process.
        unsafe {
            let text = *self.arguments.add(index);
            if text.is_null() { None } else { Some(CStr::from_ptr(text).to_bytes()) }
        }
    }

    /// Address and number of the program's headers, from the auxiliary vector behind the environment. Call before
    /// anything is taken out of the environment.
    pub(crate) fn program_headers(&self) -> (usize, usize) {
        let (mut address, mut count) = (0, 0);
        let mut word = self.environment.cast::<usize>();
        // SAFETY: the kernel puts the vector of (kind, value) pairs behind the environment's null pointer; kind 0 ends it.
        unsafe {
            while *word != 0 {
                word = word.add(1);
            }
            word = word.add(1);
            while *word != 0 {
                match (*word).try_into() {
                    Ok(libc::AT_PHDR) => address = *word.add(1),
                    Ok(libc::AT_PHNUM) => count = *word.add(1),
                    _ => {}
                }
                word = word.add(2);
            }
        }
        (address, count)
    }

    /// The last variable of this name, which is the one that the loader takes: its entry and its whole text.
    fn find(&self, name: &[u8]) -> Option<(*mut *mut c_char, &'static mut [u8])> {
        let (mut entry, mut found) = (self.environment, None);
        // SAFETY: envp is an array of C strings that ends with a null pointer; nobody else touches it yet.
        unsafe {
            while !(*entry).is_null() {
                let text = CStr::from_ptr(*entry).to_bytes();
                if text.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'=')) {
                    found = Some((entry, text.len()));
                }
                entry = entry.add(1);
            }
            let (entry, len) = found?;
            Some((entry, core::slice::from_raw_parts_mut((*entry).cast::<u8>(), len)))
        }
    }

    /// Takes the variable at `entry` out of the block.
    fn remove(entry: *mut *mut c_char, text: &mut [u8]) {
        text.fill(0);
        let mut to = entry;
        // SAFETY: the entries behind `entry`, up to and with the null pointer, are moved down by one.
        unsafe {
            while !(*to).is_null() {
                *to = *to.add(1);
                to = to.add(1);
            }
        }
    }

    /// Reads the session's variable into `keep` and takes it and our part of `LD_PRELOAD` out of the environment. `None`:
    /// there is none, it is not of our making, or there is no room for it.
    pub(crate) fn take_session(&self, keep: &'static mut [u8]) -> Option<Session> {
        let (entry, text) = self.find(SESSION_VARIABLE.as_bytes())?;
        let kept = text.get(SESSION_VARIABLE.len() + 1..).and_then(|value| {
            let room = keep.get_mut(..value.len())?;
            room.copy_from_slice(value);
            Some(&*room)
        });
        Self::remove(entry, text);
        let session = parse(kept?)?;
        if let Some((entry, text)) = self.find(PRELOAD) {
            let (start, library) = (PRELOAD.len() + 1, session.library.len());
            let Some(list) = text.get_mut(start..) else { return Some(session) };
            match list.get(library) {
                // Ours alone: the program had none.
                None if list == session.library => Self::remove(entry, text),
                // Ours stands in front of the program's own, which moves to the value's start.
                Some(b':') if list.starts_with(session.library) => {
                    list.copy_within(library + 1.., 0);
                    list.iter_mut().rev().take(library + 1).for_each(|byte| *byte = 0);
                }
                _ => {}
            }
        }
        Some(session)
    }
}

/// `1:token:parent:fd:inode:path`, see [`SESSION_VARIABLE`].
fn parse(value: &'static [u8]) -> Option<Session> {
    let mut fields = value.splitn(6, |&byte| byte == b':');
    let mut next = || fields.next();
    let version = next()?;
    let (token, parent, fd, inode, library) = (next()?, next()?, next()?, next()?, next()?);
    if version != b"1" || token.len() != 32 {
        return None;
    }
    let parent = number(parent).map_or(u32::MAX, |parent| parent as u32);
    let descriptor = number(fd).zip(number(inode)).map(|(fd, inode)| (fd as i32, inode));
    Some(Session { token, parent, descriptor, library })
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, CString, c_char};

    use super::Start;

    /// The environment block that a kernel would lay out, before and after the session is taken out of it.
    fn check(before: &[&str], after: &[&str], found: bool) {
        let strings: Vec<CString> = before.iter().map(|text| CString::new(*text).expect("no zero")).collect();
        let mut entries: Vec<*mut c_char> = strings.into_iter().map(CString::into_raw).collect();
        let kept = entries.clone();
        entries.push(std::ptr::null_mut());
        // SAFETY: an environment of the kernel's shape.
        let start = unsafe { Start::new(0, std::ptr::null(), entries.as_mut_ptr()) };
        let session = start.take_session(Box::leak(Box::new([0; 100])));
        assert_eq!(session.is_some(), found);
        if let Some(session) = session {
            assert_eq!((session.parent, session.descriptor), (7, Some((1000, 42))));
            assert_eq!(session.library, b"/x/lib.so");
        }
        let left = entries.iter().take_while(|entry| !entry.is_null());
        // SAFETY: entries are C strings.
        let left: Vec<&str> = left.map(|&entry| unsafe { CStr::from_ptr(entry) }.to_str().expect("text")).collect();
        assert_eq!(left, after);
        // What the kernel shows of the block: the same strings, and nothing of ours between them.
        let bytes = kept.into_iter().zip(before).flat_map(|(entry, text)| {
            // SAFETY: the string's memory, which is leaked.
            unsafe { std::slice::from_raw_parts(entry.cast::<u8>(), text.len() + 1) }
        });
        let shown: Vec<u8> = bytes.copied().collect();
        let shown: Vec<&[u8]> = shown.split(|byte| *byte == 0).filter(|text| !text.is_empty()).collect();
        assert_eq!(shown, after.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
    }

    const SESSION: &str = "MEMTRACK_SESSION=1:0123456789abcdef0123456789abcdef:7:1000:42:/x/lib.so";

    #[test]
    fn the_session_leaves_no_trace() {
        check(&["A=1", SESSION, "LD_PRELOAD=/x/lib.so", "B=2"], &["A=1", "B=2"], true);
        check(&["LD_PRELOAD=/x/lib.so:/own/a.so:/b.so", SESSION], &["LD_PRELOAD=/own/a.so:/b.so"], true);
        check(&["LD_PRELOAD=/own/a.so", SESSION], &["LD_PRELOAD=/own/a.so"], true);
        check(
            &["MEMTRACK_SESSIONS=1", "LD_PRELOAD=/x/lib.so"],
            &["MEMTRACK_SESSIONS=1", "LD_PRELOAD=/x/lib.so"],
            false,
        );
        check(&["MEMTRACK_SESSION=2:x", "C=3"], &["C=3"], false);
        check(
            &["LD_PRELOAD=a", "LD_PRELOAD=/x/lib.so:b", "D=4", SESSION],
            &["LD_PRELOAD=a", "LD_PRELOAD=b", "D=4"],
            true,
        );
    }
}
