//! \[unsafe\] The symbols that the loader binds the program to. Nothing but entry: each hands its arguments, the address
//! of its return address and the caller's frame pointer to its hook.
//!
//! Naked, so that the walk starts at exactly the caller's frame, whatever the compiler does to the hooks.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_void};

use crate::real::{Real, TABLE};
use crate::{entry, exec, hooks, real, regions, sandbox, session, shell, spawn};

/// One that the loader binds.
macro_rules! entry {
    ($(#[$doc:meta])* $name:ident => $hook:path, $slot:literal, $rbp:literal) => {
        entry::point!($(#[$doc])* #[unsafe(no_mangle)] $name => $hook, $slot, $rbp);
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
entry!(memtrack_region_begin => regions::begin, "rdx", "rcx");
entry!(memtrack_region_end => regions::end, "rsi", "rdx");

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

/// `$name`, variadic: goes to `$hook` when its first argument `$register` is one of two, else straight on.
macro_rules! look_through {
    ($name:ident => $hook:path, $real:path, $register:literal, $one:path, $other:path) => {
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name() {
            naked_asm!(
".cfi_startproc",
                concat!("cmp ", $register, ", {one}"),
                "je {hook}",
                concat!("cmp ", $register, ", {other}"),
                "je {hook}",
                "mov r11, [rip + {table} + {entry}]",
                "test r11, r11",
                "jz 2f",
                "jmp r11",
                // Before our constructor: the program's own comes first in rare cases.
                "2:",
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "push r9",
                "push rax",
                ".cfi_adjust_cfa_offset 56",
                "call {resolve}",
                "pop rax",
                "pop r9",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                ".cfi_adjust_cfa_offset -56",
                "jmp [rip + {table} + {entry}]",
".cfi_endproc",
                hook = sym $hook,
                one = const $one,
                other = const $other,
                table = sym TABLE,
                entry = const $real as usize * size_of::<usize>(),
                resolve = sym resolve,
            )
        }
    };
}

extern "C" fn resolve() {
    real::resolve();
}

look_through!(prctl => sandbox::prctl, Real::Prctl, "edi", sandbox::SET_SECCOMP, sandbox::SET_NAME);
look_through!(syscall => sandbox::syscall, Real::Syscall, "rdi", sandbox::SYS_SECCOMP, sandbox::SYS_PRCTL);

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
/// A cancellation point, so the C library's wait is called from here: no compiled frame of ours may be unwound through.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn system() {
    naked_asm!(
    ".cfi_startproc",
        "sub rsp, {size}",
        ".cfi_adjust_cfa_offset {size}",
        "mov [rsp], rdi",
        "call {forward}",
        "mov rdi, [rsp]",
        "test rax, rax",
        "jz 2f",
        "add rsp, {size}",
        ".cfi_adjust_cfa_offset -{size}",
        "jmp rax",
        ".cfi_adjust_cfa_offset {size}",
        "2:",
        "mov rsi, rsp",
        "call {begin}",
        "test eax, eax",
        "jz 4f",
        "3:",
        "mov edi, [rsp]",
        "lea rsi, [rsp + 4]",
        "xor edx, edx",
        "call [rsp + 8]",
        "mov rdi, rsp",
        "mov esi, eax",
        "call {again}",
        "test eax, eax",
        "jnz 3b",
        "4:",
        "mov rdi, rsp",
        "call {end}",
        "add rsp, {size}",
        ".cfi_adjust_cfa_offset -{size}",
        "ret",
    ".cfi_endproc",
        // Keeps the stack aligned: the return address is eight bytes more.
        size = const size_of::<shell::Call>().next_multiple_of(16) + 8,
        forward = sym shell::forward,
        begin = sym shell::begin,
        again = sym shell::again,
        end = sym shell::end,
    )
}
plain!(popen => shell::popen, (command: *const c_char, mode: *const c_char) -> *mut c_void);
plain!(pclose => shell::pclose, (stream: *mut c_void) -> c_int);
plain!(fclose => shell::fclose, (stream: *mut c_void) -> c_int);
plain!(pthread_setname_np => sandbox::pthread_setname_np, (thread: usize, name: *const c_char) -> c_int);

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: unsafe extern "C" fn(c_int, *const *const c_char, *mut *mut c_char) = session::constructor;
