//! Searching bytes, with the C library's fast search.

/// Where `needle` first starts in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    // SAFETY: pointers and lengths are those of live slices.
    let found = unsafe { libc::memmem(bytes.as_ptr().cast(), bytes.len(), needle.as_ptr().cast(), needle.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}
