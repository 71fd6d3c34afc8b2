//! \[unsafe\] Functions of a few bytes with unwind tables made for the purpose, and the rule that each address must get.

use std::arch::global_asm;

use crate::program;
use crate::unwind::rules::{self, Rule};

global_asm!(
    ".pushsection .text.unwind_test,\"ax\",@progbits",
    ".p2align 4",
    // Its last instruction is a call that does not return: the return address is the next function's first byte.
    ".globl unwind_test_noreturn",
    "unwind_test_noreturn:",
    ".cfi_startproc",
    "sub rsp, 24",
    ".cfi_def_cfa_offset 32",
    ".byte 0xe8, 0, 0, 0, 0",
    ".cfi_endproc",
    ".globl unwind_test_neighbour",
    "unwind_test_neighbour:",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "nop",
    ".globl unwind_test_frame",
    "unwind_test_frame:",
    "leave",
    ".cfi_def_cfa rsp, 8",
    ".cfi_restore rbp",
    "ret",
    ".cfi_endproc",
    // No table covers these.
    ".globl unwind_test_gap",
    "unwind_test_gap:",
    "nop",
    "nop",
    "nop",
    // Nothing that has a table stands in front of it.
    ".globl unwind_test_start",
    "unwind_test_start:",
    ".cfi_startproc",
    "nop",
    ".globl unwind_test_plain",
    "unwind_test_plain:",
    ".cfi_def_cfa r10, 0",
    "nop",
    ".globl unwind_test_register",
    "unwind_test_register:",
    // CFA = *(rbp - 24), rbp saved at *rbp: DW_CFA_def_cfa_expression, DW_CFA_expression.
    ".cfi_escape 0x0f, 3, 0x76, 0x68, 0x06",
    ".cfi_escape 0x10, 6, 2, 0x76, 0",
    "nop",
    ".globl unwind_test_realigned",
    "unwind_test_realigned:",
    // CFA = rsp + 8 + (rip & 15 >= 11) * 8, as the procedure linkage table has it.
    ".cfi_escape 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22",
    "nop",
    ".globl unwind_test_linkage",
    "unwind_test_linkage:",
    "nop",
    ".cfi_endproc",
    ".globl unwind_test_signal",
    "unwind_test_signal:",
    ".cfi_startproc",
    ".cfi_signal_frame",
    "nop",
    "nop",
    ".cfi_endproc",
    ".globl unwind_test_root",
    "unwind_test_root:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "nop",
    "nop",
    ".cfi_endproc",
    ".popsection",
);

unsafe extern "C" {
    static unwind_test_neighbour: u8;
    static unwind_test_frame: u8;
    static unwind_test_gap: u8;
    static unwind_test_start: u8;
    static unwind_test_plain: u8;
    static unwind_test_register: u8;
    static unwind_test_realigned: u8;
    static unwind_test_linkage: u8;
    static unwind_test_signal: u8;
    static unwind_test_root: u8;
}

/// `$label` as a return address.
macro_rules! at {
    ($label:ident) => {
        (&raw const $label) as usize
    };
}

/// The rule for `pc` by the tables of this test program.
fn resolve(pc: usize, exact: bool) -> Rule {
    find_program();
    super::resolve(pc, exact, &mut |_| ())
}

/// As a session does when it starts.
fn find_program() {
    // SAFETY: reads what the kernel passed to this process.
    let headers = unsafe { (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM)) };
    program::set_headers((headers.0 as usize, headers.1 as usize));
}

fn plain(from_rbp: bool, offset: i64, rbp: i64) -> Rule {
    Rule::plain(from_rbp, offset, rbp).expect("fits")
}

#[test]
fn each_kind_of_address_has_its_rule() {
    for (what, pc, exact, rule) in [
        // A call's own row counts, not that of the instruction behind it.
        ("behind a call in the middle", at!(unwind_test_frame), false, plain(true, 16, 16)),
        ("interrupted there", at!(unwind_test_frame), true, plain(true, 16, 16)),
        ("interrupted behind it", at!(unwind_test_frame) + 1, true, plain(false, 8, 0)),
        ("behind a call that does not return", at!(unwind_test_neighbour), false, plain(false, 32, 0).at_entry()),
        ("interrupted at a function's first byte", at!(unwind_test_neighbour), true, plain(false, 8, 0)),
        ("put there by hand", at!(unwind_test_start), false, Rule::ROOT),
        ("in a gap", at!(unwind_test_gap) + 2, false, Rule::NONE),
        ("interrupted in a gap", at!(unwind_test_gap) + 1, true, Rule::NONE),
        ("in no module", 0x1000, false, Rule::NONE),
        ("of an ordinary frame", at!(unwind_test_plain), false, plain(false, 8, 0)),
        ("where the CFA is in another register", at!(unwind_test_register), false, Rule::COMPLEX),
        ("in a realigned frame", at!(unwind_test_realigned), false, Rule::realigned(24).expect("fits")),
        ("in a linkage table", at!(unwind_test_linkage), false, Rule::COMPLEX),
        ("of a signal frame", at!(unwind_test_signal) + 1, false, Rule::SIGNAL),
        ("of a signal frame, interrupted", at!(unwind_test_signal), true, Rule::SIGNAL),
        ("in the outermost function", at!(unwind_test_root) + 1, false, Rule::ROOT),
    ] {
        assert_eq!(resolve(pc, exact), rule, "{what}");
    }
}

/// The first byte of a function that another one touches: behind a call, or put there by hand. Only on a hand-made stack it
/// is the latter.
#[test]
fn an_entry_is_the_end_of_a_hand_made_stack() {
    let rule = resolve(at!(unwind_test_neighbour), false);
    assert_eq!(rule.on_stack(true), plain(false, 32, 0));
    assert_eq!(rule.on_stack(false), Rule::ROOT);
}

/// Neither a row that needs an evaluation each time, nor a signal frame, nor the first byte of a function is taken for an
/// ordinary frame where rules are looked up.
#[test]
fn only_ordinary_frames_pass_for_ordinary() {
    find_program();
    for (pc, is_ordinary) in [
        (at!(unwind_test_plain), true),
        (at!(unwind_test_frame), false),
        (at!(unwind_test_neighbour), false),
        (at!(unwind_test_register), false),
        (at!(unwind_test_realigned), false),
        (at!(unwind_test_linkage), false),
        (at!(unwind_test_signal) + 1, false),
        (at!(unwind_test_gap) + 2, false),
        (at!(unwind_test_start), false),
    ] {
        assert_eq!(rules::known_ordinary(pc), None, "not learnt yet");
        let rule = rules::rule_for(pc, &mut |_| ());
        assert_eq!(rules::known_ordinary(pc), is_ordinary.then_some(rule), "{rule:?}");
    }
    assert_eq!(rules::known_ordinary(0x10), None, "an entry of the table that was never used");
}
