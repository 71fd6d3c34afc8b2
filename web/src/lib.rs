//! The memory report as a page.
#![forbid(unsafe_code)]
