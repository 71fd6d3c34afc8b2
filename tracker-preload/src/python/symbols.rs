//! \[unsafe\] The dynamic symbols of a loaded module, read in memory: `dlsym` takes the loader's lock, and a hook may run
//! inside the loader.

use crate::module::Module;
use crate::unwind::load;

const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_GNU_HASH: usize = 0x6fff_fef5;
/// Entries of a dynamic section that are looked at, and symbols of one hash chain.
const MOST_TAGS: usize = 200;
const LONGEST_CHAIN: usize = 10_000;
/// Size of an `Elf64_Sym`.
const SYMBOL: usize = 24;

/// The symbol table of a module that is loaded, and stays so while this is used.
#[derive(Debug)]
pub(super) struct Symbols<'m> {
    module: &'m Module,
    names: usize,
    table: usize,
    hash: usize,
}

impl<'m> Symbols<'m> {
    /// `None`: the module has no table that can be searched (no GNU hash, which every toolchain writes today).
    pub(super) fn of(module: &'m Module) -> Option<Self> {
        let (start, end) = module.dynamic()?;
        let mut symbols = Self { module, names: 0, table: 0, hash: 0 };
        for at in (start..end).step_by(16).take(MOST_TAGS) {
            let (tag, value) = (symbols.word(at)?, symbols.word(at + 8)?);
            // The loader has put addresses in place of offsets, but not in every module.
            let address = if value < module.range().0 { value + module.bias() } else { value };
            match tag {
                0 => break,
                DT_STRTAB => symbols.names = address,
                DT_SYMTAB => symbols.table = address,
                DT_GNU_HASH => symbols.hash = address,
                _ => {}
            }
        }
        [symbols.names, symbols.table, symbols.hash].iter().all(|found| *found != 0).then_some(symbols)
    }

    /// Address of the symbol that is called `name`.
    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.find_sized(name).map(|(address, _)| address)
    }

    /// The same, and its size.
    pub(super) fn find_sized(&self, name: &[u8]) -> Option<(usize, usize)> {
        let hash = name.iter().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)));
        let (buckets, first) = (self.half(self.hash)?, self.half(self.hash + 4)?);
        let bloom = self.half(self.hash + 8)? as usize;
        let heads = self.hash + 16 + 8 * bloom;
        let chains = heads + 4 * buckets as usize;
        let mut index = self.half(heads + 4 * (hash.checked_rem(buckets)?) as usize)?;
        if index < first {
            return None;
        }
        for _ in 0..LONGEST_CHAIN {
            let link = self.half(chains + 4 * (index - first) as usize)?;
            if link | 1 == hash | 1
                && let Some(found) = self.symbol(index as usize, name)
            {
                return Some(found);
            }
            if link & 1 != 0 {
                break;
            }
            index = index.checked_add(1)?;
        }
        None
    }

    /// The symbol with this index, if it is defined and called `name`.
    fn symbol(&self, index: usize, name: &[u8]) -> Option<(usize, usize)> {
        let at = self.table + SYMBOL * index;
        let text = self.names + self.half(at)? as usize;
        let section = self.half(at + 4)? >> 16;
        let (value, size) = (self.word(at + 8)?, self.word(at + 16)?);
        let same = name.iter().zip(0..).all(|(byte, offset)| self.byte(text + offset) == Some(*byte));
        let whole = self.byte(text + name.len()) == Some(0);
        (same && whole && section != 0).then(|| (value.wrapping_add(self.module.bias()), size))
    }

    fn holds(&self, address: usize, len: usize) -> bool {
        self.module.maps(address) && self.module.maps(address.wrapping_add(len - 1))
    }

    fn word(&self, address: usize) -> Option<usize> {
        // SAFETY: inside a segment of the module.
        (address & 7 == 0 && self.holds(address, 8)).then(|| unsafe { load(address) })
    }

    fn half(&self, address: usize) -> Option<u32> {
        // SAFETY: inside a segment of the module.
        (address & 3 == 0 && self.holds(address, 4)).then(|| unsafe { *(address as *const u32) })
    }

    fn byte(&self, address: usize) -> Option<u8> {
        // SAFETY: inside a segment of the module.
        self.holds(address, 1).then(|| unsafe { *(address as *const u8) })
    }
}
