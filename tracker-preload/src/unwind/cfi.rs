//! Rules from the modules' `.eh_frame`, found through the binary search table of `.eh_frame_hdr`.
//!
//! gimli parses; the evaluator is our own, because it only follows three registers and must run on small stacks
//! (gimli's row context takes 25 KB). Source of the rules: System V ABI, AMD64 supplement, section 4.2, and DWARF 5,
//! section 6.4.

use gimli::{
    BaseAddresses, CallFrameInstruction, CommonInformationEntry, EhFrame, EhFrameHdr, EndianSlice, NativeEndian,
    Register, UnwindExpression, UnwindSection, X86_64,
};

use super::expression::{self, Registers};
use super::rules::Rule;
use super::{ModuleSink, load};
use crate::module;

type Slice = EndianSlice<'static, NativeEndian>;

/// Where a register's value in the caller is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Same,
    Undefined,
    /// At CFA + offset.
    At(i64),
    /// At the address that an expression yields.
    AtExpression(Slice),
    /// Something that no allocating code was ever seen to use.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cfa {
    Register(Register, i64),
    Expression(Slice),
    Unset,
}

/// One row of the unwind table: how to leave the frame at one address.
#[derive(Debug, Clone, Copy)]
struct Row {
    cfa: Cfa,
    rbp: Place,
    ra: Place,
}

/// Deepest nesting of remembered rows; compilers use one.
const REMEMBERED: usize = 4;

/// The packed rule for `pc`, a return address unless `exact`.
#[cold]
#[inline(never)]
pub(super) fn resolve(pc: usize, exact: bool, modules: ModuleSink<'_>) -> Rule {
    let lookup = if exact { pc } else { pc - 1 };
    let Some(found) = module::find(lookup) else { return Rule::NONE };
    found.announce(modules);
    let Some(tables) = found.tables() else { return Rule::NONE };
    match row(&tables, lookup) {
        Ok(found) if found.is_signal => Rule::SIGNAL,
        Ok(found) => {
            let is_entry = !exact && found.end == pc as u64 && row(&tables, pc).is_ok();
            if is_entry { pack(&found.row).at_entry() } else { pack(&found.row) }
        }
        // A return address at the first byte of a function: nobody called it, it was put there (makecontext).
        Err(NoRow) if !exact && row(&tables, pc).is_ok() => Rule::ROOT,
        Err(NoRow) => Rule::NONE,
    }
}

/// CFA, return address and rbp of the caller, by whatever the tables say.
#[cold]
pub(super) fn evaluate(pc: usize, exact: bool, registers: &Registers) -> Option<(usize, usize, usize)> {
    let lookup = if exact { pc } else { pc - 1 };
    let tables = module::find(lookup)?.tables()?;
    let row = row(&tables, lookup).ok()?.row;
    let cfa = match row.cfa {
        Cfa::Register(X86_64::RSP, offset) => registers.sp.wrapping_add_signed(offset as isize),
        Cfa::Register(X86_64::RBP, offset) => registers.rbp.wrapping_add_signed(offset as isize),
        Cfa::Expression(code) => expression::evaluate(code.slice(), registers, None)?,
        Cfa::Register(..) | Cfa::Unset => return None,
    };
    let value = |place: Place, same: Option<usize>| {
        let address = match place {
            Place::Same => return same,
            Place::At(offset) => cfa.wrapping_add_signed(offset as isize),
            Place::AtExpression(code) => expression::evaluate(code.slice(), registers, Some(cfa))?,
            Place::Undefined | Place::Other => return None,
        };
        // SAFETY: `readable` keeps the read inside the part of the stack in use.
        registers.readable(address).then(|| unsafe { load(address) })
    };
    Some((cfa, value(row.ra, None)?, value(row.rbp, Some(registers.rbp)).unwrap_or(0)))
}

fn pack(row: &Row) -> Rule {
    let rule = match (row.cfa, row.ra, row.rbp) {
        (_, Place::Undefined | Place::Same, _) => Some(Rule::ROOT),
        (Cfa::Register(register @ (X86_64::RSP | X86_64::RBP), offset), Place::At(-8), rbp) => {
            let saved = match rbp {
                Place::Same | Place::Undefined => Some(0),
                Place::At(at) if at < 0 => Some(-at),
                _ => None,
            };
            saved.and_then(|saved| Rule::plain(register == X86_64::RBP, offset, saved))
        }
        // gcc's realigned frames: DW_OP_breg6 -k, DW_OP_deref; rbp at DW_OP_breg6 0.
        (Cfa::Expression(cfa), Place::At(-8), Place::AtExpression(rbp)) => match (cfa.slice(), rbp.slice()) {
            (&[0x76, offset @ 0x40..=0x7f, 0x06], &[0x76, 0]) => Rule::realigned(128 - i64::from(offset)),
            _ => None,
        },
        _ => None,
    };
    rule.unwrap_or(Rule::COMPLEX)
}

/// No table covers the address, or it makes no sense.
struct NoRow;

impl From<gimli::Error> for NoRow {
    fn from(_: gimli::Error) -> Self {
        Self
    }
}

/// What a table says of an address.
struct Found {
    row: Row,
    /// Of the kernel's signal frame.
    is_signal: bool,
    /// Address behind the function.
    end: u64,
}

fn row(tables: &module::Tables, address: usize) -> Result<Found, NoRow> {
    let bases = BaseAddresses::default().set_eh_frame_hdr(tables.header_address as u64);
    let header = EhFrameHdr::new(tables.header, NativeEndian).parse(&bases, 8)?;
    let gimli::Pointer::Direct(frames) = header.eh_frame_ptr() else { return Err(NoRow) };
    let section = EhFrame::new(tables.bytes_from(frames as usize).ok_or(NoRow)?, NativeEndian);
    let bases = bases.set_eh_frame(frames);
    let table = header.table().ok_or(NoRow)?;
    let fde = table.fde_for_address(&section, &bases, address as u64, EhFrame::cie_from_offset)?;
    let cie = fde.cie();
    let mut machine = Machine {
        row: Row { cfa: Cfa::Unset, rbp: Place::Same, ra: Place::Undefined },
        initial: Row { cfa: Cfa::Unset, rbp: Place::Same, ra: Place::Undefined },
        remembered: [None; REMEMBERED],
        depth: 0,
        location: fde.initial_address(),
        target: address as u64,
    };
    let mut instructions = cie.instructions(&section, &bases);
    while let Some(instruction) = instructions.next()? {
        machine.run(cie, &section, instruction)?;
    }
    machine.initial = machine.row;
    let mut instructions = fde.instructions(&section, &bases);
    while let Some(instruction) = instructions.next()? {
        if !machine.run(cie, &section, instruction)? {
            break;
        }
    }
    Ok(Found { row: machine.row, is_signal: fde.is_signal_trampoline(), end: fde.end_address() })
}

struct Machine {
    row: Row,
    initial: Row,
    remembered: [Option<Row>; REMEMBERED],
    depth: usize,
    location: u64,
    target: u64,
}

impl Machine {
    /// Executes one instruction. False: the row is complete.
    fn run(
        &mut self,
        cie: &CommonInformationEntry<Slice>,
        section: &EhFrame<Slice>,
        instruction: CallFrameInstruction<usize>,
    ) -> Result<bool, NoRow> {
        use CallFrameInstruction as I;
        let data = cie.data_alignment_factor();
        let factored = |offset: i64| offset.wrapping_mul(data);
        let code = |expression: UnwindExpression<usize>| expression.get(section).map(|e| e.0);
        match instruction {
            I::SetLoc { address } => {
                self.location = address;
                return Ok(self.location <= self.target);
            }
            I::AdvanceLoc { delta } => {
                let step = u64::from(delta).wrapping_mul(cie.code_alignment_factor());
                let next = self.location.wrapping_add(step);
                if next > self.target {
                    return Ok(false);
                }
                self.location = next;
            }
            I::DefCfa { register, offset } => self.row.cfa = Cfa::Register(register, offset as i64),
            I::DefCfaSf { register, factored_offset } => {
                self.row.cfa = Cfa::Register(register, factored(factored_offset))
            }
            I::DefCfaRegister { register } => match &mut self.row.cfa {
                Cfa::Register(of, _) => *of = register,
                _ => return Err(NoRow),
            },
            I::DefCfaOffset { offset } => self.set_offset(offset as i64)?,
            I::DefCfaOffsetSf { factored_offset } => self.set_offset(factored(factored_offset))?,
            I::DefCfaExpression { expression } => self.row.cfa = Cfa::Expression(code(expression)?),
            I::Undefined { register } => self.set(register, Place::Undefined),
            I::SameValue { register } => self.set(register, Place::Same),
            I::Offset { register, factored_offset } => self.set(register, Place::At(factored(factored_offset as i64))),
            I::OffsetExtendedSf { register, factored_offset } => {
                self.set(register, Place::At(factored(factored_offset)))
            }
            I::Expression { register, expression } => self.set(register, Place::AtExpression(code(expression)?)),
            I::ValOffset { register, .. } | I::ValOffsetSf { register, .. } | I::ValExpression { register, .. } => {
                self.set(register, Place::Other);
            }
            I::Register { dest_register, .. } => self.set(dest_register, Place::Other),
            I::Restore { register } => match register {
                X86_64::RBP => self.row.rbp = self.initial.rbp,
                X86_64::RA => self.row.ra = self.initial.ra,
                _ => {}
            },
            I::RememberState => {
                *self.remembered.get_mut(self.depth).ok_or(NoRow)? = Some(self.row);
                self.depth += 1;
            }
            I::RestoreState => {
                self.depth = self.depth.checked_sub(1).ok_or(NoRow)?;
                self.row = self.remembered.get(self.depth).copied().flatten().ok_or(NoRow)?;
            }
            _ => {}
        }
        Ok(true)
    }

    fn set(&mut self, register: Register, place: Place) {
        match register {
            X86_64::RBP => self.row.rbp = place,
            X86_64::RA => self.row.ra = place,
            _ => {}
        }
    }

    fn set_offset(&mut self, to: i64) -> Result<(), NoRow> {
        match &mut self.row.cfa {
            Cfa::Register(_, offset) => {
                *offset = to;
                Ok(())
            }
            _ => Err(NoRow),
        }
    }
}

#[cfg(test)]
mod tests;
