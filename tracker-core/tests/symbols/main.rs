//! The symbolizer against real compilers, an independent tool, and files that lie.

mod hostile;
mod oracle;
mod programs;
mod separate;
mod toolchain;
