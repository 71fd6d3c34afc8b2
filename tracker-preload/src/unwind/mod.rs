//! \[unsafe\] Call stacks: walks return addresses from the hook's caller to the root of the thread.
//!
//! The state of a walk is (pc, stack pointer, rbp); each step is a function of the state, the rule for the pc and the
//! memory it reads. Rules come from the modules' own unwind tables ([`cfi`]), resolved once per return address and kept
//! packed ([`rules`]). This file reads the stack; it never writes it and never calls into the C library.
//!
//! Most of a walk is the same as the last one's: [`cache`] keeps that and proves that it still holds.

mod bounds;
mod cache;
mod cells;
mod cfi;
mod expression;
mod memos;
mod rules;

pub(crate) use bounds::Bounds;
pub(crate) use cache::{Entry, Frames, Path};
pub(crate) use memos::Recalled;
pub(crate) use rules::forget_all as forget_rules;

use tracker_core::format::PC_NOT_WALKED;
use tracker_core::format::record::ModuleFields;

use crate::os::PAGE;
use crate::{program, sandbox};
use rules::Rule;

/// Innermost frames that are kept of a stack deeper than the buffer; outermost ones fill the rest.
const INNERMOST: usize = 256;
/// Below this much stack left, the walk is not attempted.
const STACK_RESERVE: usize = 4096;
/// With no more than this between a frame and its stack's end, nobody called it: the loader's entry point, which runs
/// constructors, has no unwind table.
const ROOT_REMAINDER: usize = 64;
/// On a stack whose bounds are unknown, a frame larger than this ends the walk.
const LARGEST_FOREIGN_FRAME: usize = 1 << 24;

/// Where a hook was called: the address of its return address, and the caller's frame pointer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) slot: usize,
    pub(crate) rbp: usize,
}

impl Start {
    /// For hooks that record nothing with a stack.
    pub(crate) const NOWHERE: Self = Self { slot: 0, rbp: 0 };

    /// The return address of the hook.
    #[inline(always)]
    pub(crate) fn caller(self) -> usize {
        if self.slot == 0 {
            return 0;
        }
        // SAFETY: the naked entry points pass the address of their own return address.
        unsafe { load(self.slot) }
    }
}

/// Is told each module at the first sight of an address in it.
pub(crate) type ModuleSink<'s> = &'s mut dyn FnMut(&ModuleFields<'_>);

/// Something that can answer the frames above a hook.
pub(crate) trait Walk {
    fn walk(&mut self, start: Start, bounds: Bounds, modules: ModuleSink<'_>) -> Path<'_>;
}

/// For hooks too deeply nested to have a buffer.
pub(crate) struct NoFrames;

impl Walk for NoFrames {
    fn walk(&mut self, _: Start, _: Bounds, _: ModuleSink<'_>) -> Path<'_> {
        Path::only(PC_NOT_WALKED)
    }
}

impl<const N: usize> Walk for &mut Frames<N> {
    #[inline(always)]
    fn walk(&mut self, start: Start, bounds: Bounds, modules: ModuleSink<'_>) -> Path<'_> {
        let known = bounds.contain(start.slot);
        if known && start.slot - bounds.low < STACK_RESERVE {
            return Path::only(PC_NOT_WALKED);
        }
        let high = if known { bounds.high } else { usize::MAX };
        let state = State::returned(start.caller(), start.slot, start.rbp);
        if program::checks_unwinding() {
            return self.check(state, high, modules);
        }
        self.unwind(state, high, program::generation(), modules)
    }
}

impl<const N: usize> Frames<N> {
    /// The path that a walk would answer, where it can be told without one.
    #[inline(always)]
    pub(crate) fn recall(&mut self, start: Start, bounds: Bounds) -> Option<Recalled<'_>> {
        // With less left than the walk's reserve it does not begin, and nothing was remembered.
        let high = if bounds.contain(start.slot) { bounds.high } else { usize::MAX };
        if program::checks_unwinding() || cfg!(feature = "oracle") {
            return None;
        }
        self.recall_path(State::returned(start.caller(), start.slot, start.rbp), high, program::generation())
    }

    /// The frames from `state` outwards, by the rules alone; a difference to what is cached or remembered is counted.
    #[cold]
    #[inline(never)]
    fn check(&mut self, state: State, high: usize, modules: ModuleSink<'_>) -> Path<'_> {
        let generation = program::generation();
        let known = match self.recall_path(state, high, generation) {
            Some(recalled) => recalled.hash,
            None => self.unwind(state, high, generation, modules).hash(),
        };
        let path = self.walk_afresh(state, high, modules);
        if path.hash() != known {
            program::count_difference();
        }
        path
    }
}

/// One frame: where it will continue, with the registers that unwinding needs.
#[derive(Debug, Clone, Copy)]
struct State {
    pc: usize,
    sp: usize,
    rbp: usize,
    /// `pc` is where the frame was interrupted, not a return address.
    exact: bool,
}

enum Step {
    Next(State),
    /// The outermost frame was reached.
    Root,
    /// There is a caller, but no way to find it.
    Lost,
}

impl State {
    /// A frame that will go on at `pc`, read from `slot`.
    #[inline(always)]
    fn returned(pc: usize, slot: usize, rbp: usize) -> Self {
        Self { pc, sp: slot.wrapping_add(8), rbp, exact: false }
    }

    /// What a walk that begins with it depends on.
    #[inline(always)]
    fn key(&self) -> memos::Key {
        memos::Key { slot: self.slot(), pc: self.pc, rbp: self.rbp }
    }

    /// Where its return address stands.
    #[inline(always)]
    fn slot(&self) -> usize {
        self.sp.wrapping_sub(8)
    }

    /// How to leave this frame.
    #[inline(always)]
    fn rule(self, high: usize, modules: ModuleSink<'_>) -> Rule {
        let rule = if self.exact { cfi::resolve(self.pc, true, modules) } else { rules::rule_for(self.pc, modules) };
        rule.on_stack(high != usize::MAX)
    }

    #[inline(always)]
    fn step(self, rule: Rule, high: usize) -> Step {
        match rule.kind() {
            rules::FROM_SP => self.leave(self.sp.wrapping_add(rule.cfa_offset()), rule, high),
            rules::FROM_RBP => self.leave(self.rbp.wrapping_add(rule.cfa_offset()), rule, high),
            _ => self.step_special(rule, high),
        }
    }

    /// The caller's state, given the canonical frame address.
    #[inline(always)]
    fn leave(self, cfa: usize, rule: Rule, high: usize) -> Step {
        if !self.admits(cfa, high) {
            return if cfa > high { Step::Root } else { Step::Lost };
        }
        let saved = rule.rbp_offset();
        if high == usize::MAX && (!self.reaches(cfa - 8) || (saved != 0 && !self.reaches(cfa.wrapping_sub(saved)))) {
            return Step::Lost;
        }
        // SAFETY: `admits` bounds the frame: both cells lie between the stack pointer and the end of a stack in use.
        unsafe {
            let rbp = if saved == 0 { self.rbp } else { load(cfa.wrapping_sub(saved)) };
            Step::Next(Self { pc: load(cfa - 8), sp: cfa, rbp, exact: false })
        }
    }

    /// Whether `cfa` may be the end of this frame.
    #[inline(always)]
    fn admits(self, cfa: usize, high: usize) -> bool {
        cfa > self.sp && cfa <= high && cfa & 7 == 0 && (high != usize::MAX || cfa - self.sp < LARGEST_FOREIGN_FRAME)
    }

    /// Whether a cell of a stack with unknown bounds can be read: on this frame's page, or on one that the kernel knows, if it
    /// may be asked.
    fn reaches(self, cell: usize) -> bool {
        (cell ^ self.sp.wrapping_sub(8)) < PAGE || sandbox::is_readable(cell)
    }

    #[cold]
    #[inline(never)]
    fn step_special(self, rule: Rule, high: usize) -> Step {
        match rule {
            Rule::ROOT => Step::Root,
            Rule::SIGNAL => self.step_signal(),
            Rule::NONE => self.step_frame_pointer(high),
            Rule::COMPLEX => self.step_complex(high),
            _ => self.step_realigned(rule, high),
        }
    }

    /// gcc's realigned frames: CFA = *(rbp - k), the caller's rbp at *rbp.
    fn step_realigned(self, rule: Rule, high: usize) -> Step {
        let at = self.rbp.wrapping_sub(rule.cfa_offset());
        if at < self.sp || at >= high || self.rbp >= high || self.rbp & 7 != 0 {
            return Step::Lost;
        }
        if high == usize::MAX && !(self.reaches(at) && self.reaches(self.rbp)) {
            return Step::Lost;
        }
        // SAFETY: both cells were just found to be in the part of the stack in use.
        let (cfa, rbp) = unsafe { (load(at), load(self.rbp)) };
        if !self.admits(cfa, high) || (high == usize::MAX && !self.reaches(cfa - 8)) {
            return Step::Lost;
        }
        // SAFETY: `admits` bounds the frame.
        Step::Next(Self { pc: unsafe { load(cfa - 8) }, sp: cfa, rbp, exact: false })
    }

    /// Code without unwind tables, above all code made at run time: the frame-pointer convention, only where the
    /// bounds of the stack are known.
    fn step_frame_pointer(self, high: usize) -> Step {
        let rbp = self.rbp;
        if high.saturating_sub(self.sp) <= ROOT_REMAINDER {
            return Step::Root;
        }
        if high == usize::MAX || rbp < self.sp || rbp & 7 != 0 || rbp.saturating_add(16) > high {
            return Step::Lost;
        }
        // SAFETY: rbp and rbp + 8 lie between the stack pointer and the stack's end.
        let (saved, pc) = unsafe { (load(rbp), load(rbp + 8)) };
        Step::Next(Self { pc, sp: rbp + 16, rbp: saved, exact: false })
    }

    /// The frame the kernel built for a signal handler: `sp` points at its ucontext (x86-64 layout).
    fn step_signal(self) -> Step {
        const REGISTERS: usize = 40;
        const RBP: usize = REGISTERS + 10 * 8;
        const RSP: usize = REGISTERS + 15 * 8;
        const RIP: usize = REGISTERS + 16 * 8;
        // SAFETY: the pc is in the C library's signal return code, so the kernel put a whole frame here.
        let (rbp, sp, pc) = unsafe { (load(self.sp + RBP), load(self.sp + RSP), load(self.sp + RIP)) };
        Step::Next(Self { pc, sp, rbp, exact: true })
    }

    /// Rules that do not fit the packed form, evaluated anew each time.
    fn step_complex(self, high: usize) -> Step {
        // Of a stack with unknown bounds, this frame's page.
        let end = if high == usize::MAX { (self.sp | 0xfff) + 1 } else { high };
        match cfi::evaluate(
            self.pc,
            self.exact,
            &expression::Registers { sp: self.sp, rbp: self.rbp, pc: self.pc, end },
        ) {
            Some((cfa, pc, rbp)) if self.admits(cfa, high) => Step::Next(Self { pc, sp: cfa, rbp, exact: false }),
            _ => Step::Lost,
        }
    }
}

/// Reads a word of the stack.
///
/// # Safety
/// `address` must be readable.
#[inline(always)]
pub(crate) unsafe fn load(address: usize) -> usize {
    // SAFETY: the caller's promise. Volatile: other frames may be changing their locals' cells.
    unsafe { (address as *const usize).read_volatile() }
}
