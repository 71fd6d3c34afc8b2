//! \[unsafe\] The symbols that the loader binds the program to. Nothing but entry: each hands its arguments, the address
//! of its return address and the caller's frame pointer to its hook.
//!
//! Naked, so that the walk starts at exactly the caller's frame, whatever the compiler does to the hooks.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_void};

use crate::{exec, hooks, session, shell, spawn};

/// `$name` with its arguments in the first registers; slot and frame pointer go into the next two.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident => $hook:path, $slot:literal, $rbp:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
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

entry!(malloc => hooks::malloc, "rsi", "rdx");
entry!(calloc => hooks::calloc, "rdx", "rcx");
entry!(realloc => hooks::realloc, "rdx", "rcx");
entry!(reallocarray => hooks::reallocarray, "rcx", "r8");
entry!(aligned_alloc => hooks::aligned_alloc, "rdx", "rcx");
entry!(memalign => hooks::memalign, "rdx", "rcx");
entry!(posix_memalign => hooks::posix_memalign, "rcx", "r8");
entry!(valloc => hooks::valloc, "rsi", "rdx");
entry!(pvalloc => hooks::pvalloc, "rsi", "rdx");
entry!(free => hooks::free, "rsi", "rdx");
entry!(
    /// C23; the size is a hint only, so `free` may stand for it where the C library lacks it.
    free_sized => hooks::free, "rsi", "rdx"
);
entry!(
    /// As `free_sized`.
    free_aligned_sized => hooks::free, "rsi", "rdx"
);
entry!(
    /// `free` under its old name, which glibc keeps for old programs.
    cfree => hooks::free, "rsi", "rdx"
);
entry!(munmap => hooks::munmap, "rdx", "rcx");

/// `$name` with more arguments than registers allow for two more: they are put on the stack, as the hook's struct.
macro_rules! entry_on_stack {
    ($name:ident => $hook:path, $($store:literal),*) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
".cfi_startproc",
                "mov rax, rsp",
                "sub rsp, 56",
                ".cfi_adjust_cfa_offset 56",
                $($store,)*
                "mov rdi, rsp",
                "mov rsi, rax",
                "mov rdx, rbp",
                "call {hook}",
                "add rsp, 56",
                ".cfi_adjust_cfa_offset -56",
                "ret",
".cfi_endproc",
                hook = sym $hook,
            )
        }
    };
}

entry_on_stack!(mmap => hooks::mmap, "mov [rsp], rdi", "mov [rsp + 8], rsi", "mov [rsp + 16], edx", "mov [rsp + 20], ecx",
    "mov [rsp + 24], r8d", "mov [rsp + 32], r9");
entry_on_stack!(mmap64 => hooks::mmap, "mov [rsp], rdi", "mov [rsp + 8], rsi", "mov [rsp + 16], edx", "mov [rsp + 20], ecx",
    "mov [rsp + 24], r8d", "mov [rsp + 32], r9");
entry_on_stack!(mremap => hooks::mremap, "mov [rsp], rdi", "mov [rsp + 8], rsi", "mov [rsp + 16], rdx",
    "mov [rsp + 24], ecx", "mov [rsp + 32], r8");

/// C's variable arguments: those in registers go into an array, those on the stack stay where they are.
macro_rules! entry_variadic {
    ($name:ident => $hook:path) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
".cfi_startproc",
                "sub rsp, 56",
                ".cfi_adjust_cfa_offset 56",
                "mov [rsp], rsi",
                "mov [rsp + 8], rdx",
                "mov [rsp + 16], rcx",
                "mov [rsp + 24], r8",
                "mov [rsp + 32], r9",
                "mov rsi, rsp",
                "lea rdx, [rsp + 64]",
                "call {hook}",
                "add rsp, 56",
                ".cfi_adjust_cfa_offset -56",
                "ret",
".cfi_endproc",
                hook = sym $hook,
            )
        }
    };
}

entry_variadic!(execl => exec::execl);
entry_variadic!(execlp => exec::execlp);
entry_variadic!(execle => exec::execle);

/// `$name` that needs nothing but its arguments.
macro_rules! plain {
    ($name:ident => $hook:path, ($($arg:ident: $type:ty),*) -> $result:ty) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            // SAFETY: the caller's arguments, passed on.
            unsafe { $hook($($arg),*) }
        }
    };
}

type Strings = *const *const c_char;

plain!(dlclose => hooks::dlclose, (handle: *mut c_void) -> c_int);
plain!(execve => exec::execve, (path: *const c_char, arguments: Strings, environment: Strings) -> c_int);
plain!(execv => exec::execv, (path: *const c_char, arguments: Strings) -> c_int);
plain!(execvp => exec::execvp, (file: *const c_char, arguments: Strings) -> c_int);
plain!(execvpe => exec::execvpe, (file: *const c_char, arguments: Strings, environment: Strings) -> c_int);
plain!(fexecve => exec::fexecve, (fd: c_int, arguments: Strings, environment: Strings) -> c_int);
plain!(execveat => exec::execveat,
    (folder: c_int, path: *const c_char, arguments: Strings, environment: Strings, flags: c_int) -> c_int);
plain!(posix_spawn => spawn::posix_spawn,
    (pid: *mut c_int, path: *const c_char, actions: *const c_void, attributes: *const c_void, arguments: Strings,
        environment: Strings) -> c_int);
plain!(posix_spawnp => spawn::posix_spawnp,
    (pid: *mut c_int, file: *const c_char, actions: *const c_void, attributes: *const c_void, arguments: Strings,
        environment: Strings) -> c_int);
plain!(system => shell::system, (command: *const c_char) -> c_int);
plain!(popen => shell::popen, (command: *const c_char, mode: *const c_char) -> *mut c_void);
plain!(pclose => shell::pclose, (stream: *mut c_void) -> c_int);

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: unsafe extern "C" fn(c_int, *const *const c_char, *mut *mut c_char) = session::constructor;
