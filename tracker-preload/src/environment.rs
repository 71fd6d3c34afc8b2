//! \[unsafe\] The session's variable in the environment block: found, read, and taken out again, in place.
//!
//! Called once, before the program's own code, while the process has one thread.

use core::ffi::{CStr, c_char};

use tracker_core::format::lanes::SESSION_VARIABLE;

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

    /// The last variable of this name: the one that the loader takes.
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
            let text = core::slice::from_raw_parts_mut((*entry).cast::<u8>(), len);
            text.get_mut(name.len() + 1..).map(|value| (entry, value))
        }
    }

    /// Takes the variable at `entry` out of the block.
    fn remove(entry: *mut *mut c_char) {
        let mut to = entry;
        // SAFETY: the entries behind `entry`, up to and with the null pointer, are moved down by one.
        unsafe {
            while !(*to).is_null() {
                *to = *to.add(1);
                to = to.add(1);
            }
        }
    }

    /// Reads the session's variable and takes it and our part of `LD_PRELOAD` out of the environment.
    pub(crate) fn take_session(&self) -> Option<Session> {
        let (entry, value) = self.find(SESSION_VARIABLE.as_bytes())?;
        Self::remove(entry);
        let session = parse(value)?;
        if let Some((entry, list)) = self.find(b"LD_PRELOAD") {
            let library = session.library.len();
            match list.get(library) {
                // Ours alone: the program had none.
                None if list == session.library => Self::remove(entry),
                // Ours stands in front of the program's own, which moves to the value's start.
                Some(b':') if list.starts_with(session.library) => {
                    let rest = list.len() - library - 1;
                    // SAFETY: the string and its final zero move down inside the block.
                    unsafe { core::ptr::copy(list.as_ptr().add(library + 1), list.as_mut_ptr(), rest + 1) };
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
        let session = start.take_session();
        assert_eq!(session.is_some(), found);
        if let Some(session) = session {
            assert_eq!((session.parent, session.descriptor), (7, Some((1000, 42))));
            assert_eq!(session.library, b"/x/lib.so");
        }
        let left = entries.iter().take_while(|entry| !entry.is_null());
        // SAFETY: entries are C strings.
        let left: Vec<&str> = left.map(|&entry| unsafe { CStr::from_ptr(entry) }.to_str().expect("text")).collect();
        assert_eq!(left, after);
        for entry in kept {
            // SAFETY: the lengths may have shrunk; the strings are leaked rather than freed by a wrong size.
            let _ = unsafe { CStr::from_ptr(entry) };
        }
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
