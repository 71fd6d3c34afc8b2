//! What is in doubt while several threads share one epoch.
//!
//! Inside an epoch the order between threads is not recorded; it is guessed from what the allocator can do, and a guess
//! can be wrong. A wrong guess shows as an allocation where a block is still live, or as a free where none is. Neither
//! may cost a count: the first keeps both blocks (a *double*), the second is a *debt* that a later allocation of the
//! same address pays. What is left when the epoch ends was no wrong guess but a missing event.
//!
//! Honest captures have few doubts; a hostile one may have nothing else, so nothing here searches.

use rustc_hash::FxHashMap;

use super::heap::Block;

/// An image and an address in it.
type Place = (u32, u64);

/// A block whose address was given out again before a free of it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Double {
    pub(super) image: u32,
    pub(super) address: u64,
    pub(super) block: Block,
}

/// A free that came before the allocation it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debt {
    pub(super) image: u32,
    pub(super) address: u64,
    /// The stream of the free.
    pub(super) stream: u32,
    /// It is the intent of a realloc whose result is to come.
    pub(super) intent: bool,
    /// Another stream freed the address in this epoch too. Then it may be that free which is open, and the next
    /// allocation, whoever's, the block that it freed.
    pub(super) any: bool,
}

/// The streams that freed at one place in this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freed {
    Only(u32),
    Several,
}

impl Freed {
    fn by(&mut self, stream: u32) {
        if *self != Self::Only(stream) {
            *self = Self::Several;
        }
    }
}

/// The debts of one place, oldest first.
#[derive(Debug, Default)]
struct Debts {
    /// Stream, and whether it is an intent; `None` once it is paid or void.
    all: Vec<Option<(u32, bool)>>,
    /// Those before this one are `None`.
    first: usize,
}

impl Debts {
    fn oldest(&mut self) -> Option<(u32, bool)> {
        while let Some(debt) = self.all.get(self.first) {
            if debt.is_some() {
                return *debt;
            }
            self.first += 1;
        }
        None
    }
}

/// The doubts of the epoch at hand.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    doubles: FxHashMap<Place, Vec<Block>>,
    debts: FxHashMap<Place, Debts>,
    /// Of each stream with the intent of a realloc in debt: where.
    intents: FxHashMap<u32, (Place, usize)>,
    /// Who freed what in this epoch, until there is a debt: then it is looked up in `freed`.
    recent: Vec<(Place, u32)>,
    freed: FxHashMap<Place, Freed>,
}

/// Frees remembered per epoch, of places without a debt. A thread that only frees does not end its epoch, so there is no
/// natural bound.
const MAX_FREED: usize = 4096;

impl Doubts {
    /// `block` was live at `address` when that was allocated again.
    pub(super) fn double(&mut self, image: u32, address: u64, block: Block) {
        self.doubles.entry((image, address)).or_default().push(block);
    }

    /// The newest block was taken from `address`: the one that was live before it, if there is one.
    #[inline]
    pub(super) fn uncover(&mut self, image: u32, address: u64) -> Option<Block> {
        if self.doubles.is_empty() { None } else { self.doubles.get_mut(&(image, address))?.pop() }
    }

    /// Remembers that `stream` freed the block at `address`.
    #[inline]
    pub(super) fn freed(&mut self, image: u32, address: u64, stream: u32) {
        if !self.debts.is_empty() {
            self.note((image, address), stream);
        } else if self.recent.len() < MAX_FREED {
            self.recent.push(((image, address), stream));
        }
    }

    fn note(&mut self, place: Place, stream: u32) {
        let room = self.freed.len() < MAX_FREED || self.debts.contains_key(&place);
        match self.freed.get_mut(&place) {
            Some(freed) => freed.by(stream),
            None if room => drop(self.freed.insert(place, Freed::Only(stream))),
            None => {}
        }
    }

    /// `stream` frees `address`, or has the intent to, where nothing is live.
    pub(super) fn owe(&mut self, image: u32, address: u64, stream: u32, intent: bool) {
        for (place, stream) in std::mem::take(&mut self.recent) {
            self.note(place, stream);
        }
        let place = (image, address);
        let debts = &mut self.debts.entry(place).or_default().all;
        if intent {
            self.intents.insert(stream, (place, debts.len()));
        }
        debts.push(Some((stream, intent)));
        self.note(place, stream);
    }

    /// Whether an allocation of `address` by `stream` is one whose free has been seen already.
    #[inline]
    pub(super) fn owed(&mut self, image: u32, address: u64, stream: u32) -> bool {
        !self.debts.is_empty() && self.open((image, address), stream).is_some()
    }

    /// The same, and then the debt is paid.
    #[inline]
    pub(super) fn pay(&mut self, image: u32, address: u64, stream: u32) -> Option<Debt> {
        if self.debts.is_empty() {
            return None;
        }
        let place = (image, address);
        let debt = self.open(place, stream)?;
        if debt.intent {
            self.intents.remove(&debt.stream);
        }
        let debts = self.debts.get_mut(&place)?;
        debts.first += 1;
        if debts.oldest().is_none() {
            self.debts.remove(&place);
        }
        Some(debt)
    }

    /// The oldest debt at a place that an allocation by `stream` may pay: one of another stream, unless several freed it.
    fn open(&mut self, place: Place, stream: u32) -> Option<Debt> {
        let any = self.any(place);
        let debt = self.debts.get_mut(&place)?.oldest()?;
        (any || debt.0 != stream).then(|| to_debt(place, debt, any))
    }

    fn any(&self, place: Place) -> bool {
        self.freed.get(&place) == Some(&Freed::Several)
    }

    /// The realloc under way in `stream` has got its result: a block is `freed`, or not. Whether its intent was a debt.
    pub(super) fn end_realloc(&mut self, stream: u32, freed: bool) -> bool {
        let Some((place, at)) = self.intents.remove(&stream) else { return false };
        if let Some(debt) = self.debts.get_mut(&place).and_then(|debts| debts.all.get_mut(at)) {
            *debt = freed.then_some((stream, false));
        }
        true
    }

    /// Ends the epoch. What is left of it: blocks that are gone without a free, and frees without a block.
    pub(super) fn settle(&mut self) -> Left {
        let mut left = Left::default();
        // Most epochs leave nothing, and a map that was large once takes long to walk over.
        if !self.doubles.is_empty() {
            for ((image, address), blocks) in std::mem::take(&mut self.doubles) {
                left.doubles.extend(blocks.into_iter().map(|block| Double { image, address, block }));
            }
        }
        if !self.debts.is_empty() {
            for (place, debts) in std::mem::take(&mut self.debts) {
                let any = self.any(place);
                let open = debts.all.into_iter().skip(debts.first).flatten();
                left.debts.extend(open.map(|debt| to_debt(place, debt, any)));
            }
        }
        if !self.freed.is_empty() {
            self.freed = FxHashMap::default();
            self.intents = FxHashMap::default();
        }
        self.recent.clear();
        left
    }
}

fn to_debt((image, address): Place, (stream, intent): (u32, bool), any: bool) -> Debt {
    Debt { image, address, stream, intent, any }
}

/// See [`Doubts::settle`].
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) doubles: Vec<Double>,
    pub(super) debts: Vec<Debt>,
}
