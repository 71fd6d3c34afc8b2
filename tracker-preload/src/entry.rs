//! \[unsafe\] How a foreign caller gets into a hook: naked, so that the walk starts at exactly the caller's frame, whatever the
//! compiler does to the hooks.

/// `$name` with its arguments in the first registers; slot and frame pointer go into the next two.
macro_rules! point {
    ($(#[$attribute:meta])* $visibility:vis $name:ident => $hook:path, $slot:literal, $rbp:literal) => {
        $(#[$attribute])*
        #[unsafe(naked)]
        $visibility unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
".cfi_startproc",
                concat!("mov ", $slot, ", rsp"),
                concat!("mov ", $rbp, ", rbp"),
                "jmp {hook}",
".cfi_endproc",
                hook = sym $hook,
            )
        }
    };
}
pub(crate) use point;
