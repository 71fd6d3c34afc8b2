//! The library inside the target: it forwards every allocator call, and leaves a record of it in the lanes.
//!
//! House rules, for every function that a hook can reach (`docs/inside-the-target.md` has the reasons):
//! no allocation, no lock, no panic, no libc call but those named in `real.rs` and `weak.rs`; no system call on the
//! fast path; `errno` untouched; at most 2 KiB of stack. The program owns no descriptor, thread, signal handler or
//! file of ours.
//!
//! ```text
//! exports → hooks → thread (which recorder?) → unwind (frames) → stacks (id) → recorder (bytes) → chunk (lanes)
//! ```
//!
//! Unsafe code lives in the files whose first line says so, and nowhere else.
#![cfg_attr(all(feature = "interpose", not(feature = "oracle")), no_std)]
#![cfg_attr(
    not(feature = "interpose"),
    allow(dead_code, reason = "without its entry points, as the unit tests build it, the library is unreachable")
)]
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod chunk;
mod entry;
mod environment;
mod exec;
#[cfg(feature = "interpose")]
mod exports;
mod hooks;
mod lanes;
mod module;
#[cfg(feature = "oracle")]
mod oracle;
mod os;
mod program;
mod python;
mod real;
mod recorder;
mod regions;
mod sandbox;
mod scratch;
mod session;
mod shell;
mod spawn;
mod stacks;
mod target;
mod thread;
mod unwind;
mod weak;

/// Nothing here panics; the linker proves most of it. Should it happen all the same, the target is ended at once
/// rather than unwound through foreign frames.
#[cfg(all(feature = "interpose", not(feature = "oracle")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    os::abort()
}
