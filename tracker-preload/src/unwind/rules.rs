//! Packed unwind rules and the table from return address to rule. No unsafe code, no lock: relaxed atomics, each entry
//! whole in one word.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{ModuleSink, cfi};

/// How to leave one frame: bits 0-1 the kind, bits 2-17 the CFA's offset / 8, bits 18-25 where rbp was saved: CFA - 8 × n,
/// 0 for not at all. The return address is always at CFA - 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule(u32);

/// CFA = stack pointer + offset.
pub(super) const FROM_SP: u32 = 0;
/// CFA = rbp + offset.
pub(super) const FROM_RBP: u32 = 1;
const SPECIAL: u32 = 2;
const ENTRY: u32 = 1 << 26;
/// CFA = *(rbp - offset), rbp saved at *rbp.
const REALIGNED: u32 = 3;

impl Rule {
    /// Outermost frame.
    pub(super) const ROOT: Self = Self(SPECIAL | 1 << 2);
    /// Needs [`cfi::evaluate`] each time.
    pub(super) const COMPLEX: Self = Self(SPECIAL | 2 << 2);
    /// The kernel's signal frame.
    pub(super) const SIGNAL: Self = Self(SPECIAL | 3 << 2);
    /// No unwind table covers the address: the frame-pointer convention, which saves rbp 16 bytes below the CFA.
    pub(super) const NONE: Self = Self(SPECIAL | 4 << 2 | 2 << 18);

    /// CFA = (stack pointer or rbp) + `offset`, rbp saved `rbp` bytes below it (0: not saved). `None`: does not fit, or
    /// leads nowhere.
    pub(super) fn plain(from_rbp: bool, offset: i64, rbp: i64) -> Option<Self> {
        if !from_rbp && offset == 0 { None } else { Self::packed(u32::from(from_rbp), offset, rbp) }
    }

    fn packed(kind: u32, offset: i64, rbp: i64) -> Option<Self> {
        let cell = |value: i64, limit: i64| (value >= 0 && value % 8 == 0 && value / 8 <= limit).then_some(value / 8);
        let (offset, rbp) = (cell(offset, 0xffff)?, cell(rbp, 0xff)?);
        Some(Self(kind | (offset as u32) << 2 | (rbp as u32) << 18))
    }

    /// gcc's frame that realigned its stack: CFA = *(rbp - `offset`).
    pub(super) fn realigned(offset: i64) -> Option<Self> {
        Self::packed(REALIGNED, offset, 0)
    }

    /// The return address is also the first byte of another function: somebody may have put it there.
    pub(super) const fn at_entry(self) -> Self {
        Self(self.0 | ENTRY)
    }

    /// The rule on a stack whose bounds are known or not. On a hand-made stack, the first byte of a function was put
    /// there, whatever ends before it.
    #[inline(always)]
    pub(super) const fn on_stack(self, known: bool) -> Self {
        if self.0 & ENTRY == 0 {
            self
        } else if known {
            Self(self.0 & !ENTRY)
        } else {
            Self::ROOT
        }
    }

    /// Whether the step depends on rbp.
    #[inline(always)]
    pub(super) const fn uses_rbp(self) -> bool {
        self.0 & 1 != 0 || self.0 == Self::NONE.0
    }

    /// Whether the caller's rbp is read from the stack, [`Self::rbp_offset`] below the CFA.
    #[inline(always)]
    pub(super) const fn restores_rbp(self) -> bool {
        self.rbp_offset() != 0
    }

    /// Whether the step reads more than the return address and rbp, or other registers.
    #[inline(always)]
    pub(super) const fn is_opaque(self) -> bool {
        matches!(self, Self::COMPLEX | Self::SIGNAL) || self.kind() == REALIGNED
    }

    #[inline(always)]
    pub(super) const fn kind(self) -> u32 {
        self.0 & 3
    }

    #[inline(always)]
    pub(super) const fn cfa_offset(self) -> usize {
        ((self.0 >> 2) & 0xffff) as usize * 8
    }

    #[inline(always)]
    pub(super) const fn rbp_offset(self) -> usize {
        ((self.0 >> 18) & 0xff) as usize * 8
    }

    /// Where the caller's rbp was saved. The CFA is right behind the cell that holds the caller's return address.
    #[inline(always)]
    pub(super) const fn rbp_cell(self, outer_slot: usize) -> usize {
        outer_slot.wrapping_add(8).wrapping_sub(self.rbp_offset())
    }
}

const BITS: u32 = 16;
const LEN: usize = 1 << BITS;
const RULE_BITS: u32 = 28;
/// Addresses whose tag fits beside the rule.
const ADDRESS_LIMIT: u64 = 1 << (64 - RULE_BITS + BITS);

/// One word an entry: the address without its low 16 bits, then the rule. The index is invertible given the tag, so a
/// matching tag is a matching address.
static TABLE: [AtomicU64; LEN] = [const { AtomicU64::new(0) }; LEN];

#[inline(always)]
fn place(pc: usize) -> (u64, usize) {
    let tag = (pc as u64) >> BITS;
    (tag, (pc ^ (tag as usize).wrapping_mul(0x9E37)) & (LEN - 1))
}

/// The rule for a return address, if it was learnt.
#[inline(always)]
pub(super) fn known(pc: usize) -> Option<Rule> {
    let (tag, index) = place(pc);
    let value = TABLE.get(index)?.load(Relaxed);
    (value >> RULE_BITS == tag).then_some(Rule(value as u32 & ((1 << RULE_BITS) - 1)))
}

/// The rule for a return address, if it was learnt and is what nearly all are: the CFA is an offset above the stack pointer,
/// on any stack.
#[inline(always)]
pub(super) fn known_ordinary(pc: usize) -> Option<Rule> {
    let (tag, index) = place(pc);
    // What is left of the word where the tag is equal is the rule.
    let rest = TABLE.get(index)?.load(Relaxed) ^ tag << RULE_BITS;
    const OTHERS: u64 = !((1 << RULE_BITS) - 1) | (3 | ENTRY) as u64;
    // A rule of zero is a place that was never used.
    (rest & OTHERS == u64::from(FROM_SP) && rest != 0).then_some(Rule(rest as u32))
}

/// The rule for a return address.
#[inline(always)]
pub(super) fn rule_for(pc: usize, modules: ModuleSink<'_>) -> Rule {
    known(pc).unwrap_or_else(|| learn(pc, modules))
}

#[cold]
#[inline(never)]
fn learn(pc: usize, modules: ModuleSink<'_>) -> Rule {
    let rule = cfi::resolve(pc, false, modules);
    let (tag, index) = place(pc);
    if (pc as u64) < ADDRESS_LIMIT
        && let Some(entry) = TABLE.get(index)
    {
        entry.store(tag << RULE_BITS | u64::from(rule.0), Relaxed);
    }
    rule
}

/// Makes a rule up.
#[cfg(test)]
pub(super) fn teach(pc: usize, rule: Rule) {
    let (tag, index) = place(pc);
    TABLE[index].store(tag << RULE_BITS | u64::from(rule.0), Relaxed);
}

/// Drops all rules, after a module was unloaded.
pub(crate) fn forget_all() {
    TABLE.iter().for_each(|entry| entry.store(0, Relaxed));
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn rules_keep_what_they_are_given() {
        for (from_rbp, offset, rbp) in [(false, 8, 0), (true, 16, 16), (false, 0x7_fff8, 2040), (true, 0, 0)] {
            let rule = Rule::plain(from_rbp, offset, rbp).expect("fits");
            assert_eq!(rule.kind(), u32::from(from_rbp));
            assert_eq!((rule.cfa_offset(), rule.rbp_offset()), (offset as usize, rbp as usize));
        }
        for (offset, rbp) in [(-8, 0), (0, 0), (4, 0), (0x8_0000, 0), (8, 2048), (8, 3)] {
            assert_eq!(Rule::plain(false, offset, rbp), None);
        }
        let special = [Rule::ROOT, Rule::COMPLEX, Rule::SIGNAL, Rule::NONE];
        assert!(special.iter().all(|rule| rule.kind() == super::SPECIAL));
        assert_eq!(Rule::realigned(56).map(|rule| (rule.kind(), rule.cfa_offset())), Some((super::REALIGNED, 56)));
    }
}
