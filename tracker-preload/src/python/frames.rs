//! \[unsafe\] The Python frames of a thread's last allocation, root first, with everything needed to prove that the
//! interpreter's chain still leads to them.
//!
//! The next capture follows the chain from the innermost frame until it meets one it knows, then compares: each known
//! frame's link, code and place in the code. A known frame is read only after the frame inside it was seen to lead to
//! it, so no address is read that the interpreter does not hold itself. It may not stop early: an outer frame can have
//! returned and been entered again at the same address. Where a frame is elsewhere in its code, it and those inside it
//! are named anew; where a link differs, the whole chain is.

use tracker_core::format::python::{NO_CODE, PythonFrame};

use super::Note;
use super::codes::{self, HIDDEN};
use super::describe::{Texts, describe, doubt};
use super::interpreter::Interpreter;
use super::layout::{Family, Layout, SHIM_OWNER};
use super::memory::Pages;
use super::tasks::Tasks;
use crate::stacks::extend;
use crate::unwind::load;

/// Frames kept; of a deeper stack the innermost.
const FRAMES: usize = 65_536;
/// Entries of the index from a frame's address to its place.
const INDEX: usize = 1024;

/// Is never read as a frame's code: no object lies there.
const NO_OBJECT: usize = 1;

/// Hash of the empty Python stack.
const ROOT_HASH: u64 = 0xD1B5_4A32_D192_ED03;

/// Where the words are that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offsets {
    previous: usize,
    code: usize,
    instruction: usize,
    /// The place in the bytecode is a number of type int, no pointer.
    counts: bool,
    /// 0: the mark cannot change while the rest stays.
    mark: usize,
}

impl Offsets {
    #[inline(always)]
    const fn of(layout: &Layout) -> Self {
        Self {
            previous: layout.frame_previous as usize,
            code: layout.frame_code as usize,
            instruction: layout.frame_instruction as usize,
            counts: matches!(layout.family, Family::Objects),
            mark: if matches!(layout.family, Family::Entries) { layout.frame_mark as usize } else { 0 },
        }
    }
}

/// What a frame's words say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
struct Words {
    code: usize,
    instruction: usize,
    mark: u8,
}

/// One frame.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Entry {
    /// Its address.
    pub(super) frame: usize,
    words: Words,
    /// Hash of the path from the root to this frame. Frames that are not shown do not change it.
    hash: u64,
    /// Number of its code object, [`HIDDEN`] for what is never shown, [`NO_CODE`] for what has no number yet.
    number: u32,
    offset: i32,
    /// It is its eval loop's outermost.
    pub(super) outermost: bool,
    /// The next frame inside that is shown is the outermost that its eval loop shows.
    begins: bool,
}

impl Entry {
    /// Whether it is a frame of the program's.
    pub(super) fn is_shown(&self) -> bool {
        self.number != HIDDEN && self.number != NO_CODE
    }
}

/// What stands outside of a stack's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Root {
    /// Number of the task that is running, 0: none that has a name.
    task: u32,
    /// Outer frames are missing.
    cut: bool,
}

impl Root {
    const NONE: Self = Self { task: 0, cut: false };

    /// Hash of the path that ends here.
    const fn hash(self) -> u64 {
        let hash = if self.task == 0 { ROOT_HASH } else { extend(ROOT_HASH, (self.task as u64) << 32) };
        if self.cut { extend(hash, 1) } else { hash }
    }

    /// What is shown of it, root first, and the hash of the path that ends with each.
    fn shown(self) -> impl Iterator<Item = (PythonFrame, u64)> + Clone {
        let frame = |code, root: Self| (PythonFrame { code, offset: 0 }, root.hash());
        let task = (self.task != 0).then(|| frame(self.task, Self { cut: false, ..self }));
        task.into_iter().chain(self.cut.then(|| frame(NO_CODE, self)))
    }
}

/// A Python stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    pub(super) entries: &'a [Entry],
    root: Root,
    pub(super) interpreter: Option<&'static Interpreter>,
    /// The record on the C stack that names the innermost frame, in the versions that have one.
    pub(super) record: usize,
}

impl<'a> Path<'a> {
    /// No Python is running.
    pub(crate) const NONE: Self = Self { entries: &[], root: Root::NONE, interpreter: None, record: 0 };

    /// Hash of the whole path; `None` for an empty one.
    #[inline(always)]
    pub(crate) fn hash(&self) -> Option<u64> {
        self.entries.last().map(|leaf| leaf.hash).filter(|hash| *hash != self.root.hash())
    }

    /// The frames shown, root first, and the hash of the path that ends with each.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (PythonFrame, u64)> + Clone + use<'a> {
        let shown = self.entries.iter().filter(|entry| entry.is_shown());
        let frames = shown.map(|entry| (PythonFrame { code: entry.number, offset: entry.offset }, entry.hash));
        self.root.shown().chain(frames)
    }

    /// Length and id of the longest part, from the root on, whose hash `known` has an id for.
    pub(crate) fn known_part(&self, known: impl Fn(u64) -> Option<u32>) -> Option<(usize, u32)> {
        let from_leaf = self.entries.iter().enumerate().rev().filter(|(_, entry)| entry.is_shown());
        let (at, id) = from_leaf.into_iter().find_map(|(at, entry)| Some((at, known(entry.hash)?)))?;
        let inner = self.entries.get(at + 1..).unwrap_or(&[]).iter().filter(|entry| entry.is_shown()).count();
        Some((self.shown().count() - inner, id))
    }
}

/// The frames of a thread. Zero is its valid initial state: nothing known.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Frames {
    /// Entries from the root on that the next capture may find again.
    known: usize,
    /// Deaths of code objects that were counted when they were named.
    deaths: u32,
    /// Task outside of the entries.
    task: u32,
    /// Where in `entries` the frame with an address may be: its index plus one.
    index: [u32; INDEX],
    pages: Pages,
    texts: Texts,
    tasks: Tasks,
    entries: [Entry; FRAMES],
}

impl Frames {
    /// The next capture starts from nothing.
    pub(crate) fn forget(&mut self) {
        self.known = 0;
    }

    /// The Python stack of the calling thread.
    #[inline]
    pub(super) fn capture(&mut self, interpreter: &'static Interpreter, note: Note<'_>) -> Path<'_> {
        let deaths = codes::deaths();
        if deaths != self.deaths {
            self.forget();
            self.deaths = deaths;
        }
        let (state, holds_lock) = interpreter.state(&mut self.pages);
        if state == 0 {
            return Path::NONE;
        }
        let Some((innermost, record)) = interpreter.innermost(state, &mut self.pages) else {
            doubt(interpreter, note);
            return Path::NONE;
        };
        if innermost == 0 {
            return Path::NONE;
        }
        let layout = &interpreter.layout;
        let (mut base, mut free, mut cut) = self.follow(layout, innermost);
        let mut dirty = base;
        if base > 0 {
            match self.verify(layout, base) {
                Some(first) => dirty = first,
                None => {
                    (base, free, cut) = self.follow_all(layout, innermost);
                    dirty = base;
                }
            }
        }
        let task = self.tasks.running(interpreter, (state, holds_lock), (&mut self.pages, &mut self.texts), note);
        if task != self.task {
            self.task = task;
            dirty = 0;
        }
        let root = Root { task, cut };
        let total = base + (FRAMES - free);
        self.settle(base, free);
        self.name(interpreter, dirty..total, root, note);
        if cut && free > 0 {
            doubt(interpreter, note);
        }
        Path { entries: self.entries.get(..total).unwrap_or(&[]), root, interpreter: Some(interpreter), record }
    }

    /// Follows the whole chain: what was known leads elsewhere.
    #[cold]
    #[inline(never)]
    fn follow_all(&mut self, layout: &Layout, innermost: usize) -> (usize, usize, bool) {
        self.forget();
        self.follow(layout, innermost)
    }

    /// Follows the chain from `at` to a known frame or its end. New frames are put from the end downwards, so that they
    /// stand root first. Answers how many of the known entries are outside of them, where the new ones start, and
    /// whether outer frames are missing.
    #[inline(always)]
    fn follow(&mut self, layout: &Layout, mut at: usize) -> (usize, usize, bool) {
        let mut free = FRAMES;
        while at != 0 {
            let place = self.index.get(slot(at)).map_or(0, |place| *place as usize);
            if place != 0 && place <= self.known && self.entries.get(place - 1).is_some_and(|entry| entry.frame == at) {
                return (place, free, false);
            }
            if free <= self.known {
                if self.known == 0 {
                    return (0, free, true);
                }
                // No room for the known ones beside the new: they are new, too.
                self.known = 0;
            }
            let Some((words, previous)) = self.read(layout, at) else { return (0, free, true) };
            free -= 1;
            if let Some(entry) = self.entries.get_mut(free) {
                (entry.frame, entry.words, entry.number) = (at, words, NO_CODE);
            }
            at = previous;
        }
        (0, free, false)
    }

    /// The words of the frame at `at`, and the next outer frame.
    #[inline(always)]
    fn read(&mut self, layout: &Layout, at: usize) -> Option<(Words, usize)> {
        let mut word = |offset: u16| self.pages.word(at + usize::from(offset));
        let (previous, code, instruction) =
            (word(layout.frame_previous)?, word(layout.frame_code)?, word(layout.frame_instruction)?);
        let mark = if layout.frame_mark == 0 { 0 } else { self.pages.byte(at + usize::from(layout.frame_mark))? };
        Some((Words { code, instruction: layout.instruction(instruction), mark }, previous))
    }

    /// Compares the `base` outermost known frames with the interpreter's. Answers the outermost one that has moved, or
    /// `base`; `None`: the chain leads elsewhere.
    #[inline(always)]
    fn verify(&mut self, layout: &Layout, base: usize) -> Option<usize> {
        const ENTRIES: Offsets = Offsets::of(&Layout::ENTRIES);
        const SHIMS: Offsets = Offsets::of(&Layout::SHIMS);
        // Numbers that the compiler knows need no registers, of which the loop has too few.
        match Offsets::of(layout) {
            ENTRIES => self.verify_with(&ENTRIES, base),
            SHIMS => self.verify_with(&SHIMS, base),
            offsets => self.verify_with(&offsets, base),
        }
    }

    /// One loop with nothing in it but loads and comparisons: this is most of what Python costs.
    #[inline(always)]
    fn verify_with(&mut self, offsets: &Offsets, base: usize) -> Option<usize> {
        let mut dirty = base;
        let mut frames = self.entries.get_mut(..base)?.iter_mut().rev();
        let (mut next, mut at) = (frames.next(), base);
        while let Some(entry) = next {
            at -= 1;
            next = frames.next();
            let outer = next.as_ref().map_or(0, |outer| outer.frame);
            // SAFETY: the interpreter's chain leads to this frame, and it was readable when it was entered here; the mark
            // lies between other fields.
            let (found, words) = unsafe {
                let instruction = load(entry.frame + offsets.instruction);
                let words = Words {
                    code: load(entry.frame + offsets.code),
                    instruction: if offsets.counts { instruction as u32 as usize } else { instruction },
                    mark: match offsets.mark {
                        0 => entry.words.mark,
                        mark => (load(entry.frame + (mark & !7)) >> (8 * (mark & 7))) as u8,
                    },
                };
                (load(entry.frame + offsets.previous), words)
            };
            if found != outer {
                return None;
            }
            let moved = (words.code ^ entry.words.code)
                | (words.instruction ^ entry.words.instruction)
                | usize::from(words.mark ^ entry.words.mark);
            if moved != 0 {
                entry.words = words;
                entry.number = NO_CODE;
                dirty = at;
            }
        }
        Some(dirty)
    }

    /// Moves the new frames behind the `base` entries that stand.
    #[inline(always)]
    fn settle(&mut self, base: usize, free: usize) {
        for (to, from) in (base..).zip(free..FRAMES) {
            let Some(mut entry) = self.entries.get(from).copied() else { break };
            if let Some(place) = self.index.get_mut(slot(entry.frame)) {
                *place = to as u32 + 1;
            }
            let known = to < self.known;
            if let Some(place) = self.entries.get_mut(to) {
                // What stood here in the last stack is often the same function, called again.
                if known && place.words.code == entry.words.code {
                    entry.number = place.number;
                }
                *place = entry;
            }
        }
    }

    /// Numbers and hashes of the entries in `range`, which ends with the innermost.
    #[inline(always)]
    fn name(&mut self, interpreter: &'static Interpreter, range: core::ops::Range<usize>, root: Root, note: Note<'_>) {
        let layout = &interpreter.layout;
        let (start, end) = (range.start, range.end);
        let outer = start.checked_sub(1).and_then(|index| self.entries.get(index));
        let mut hash = outer.map_or(root.hash(), |entry| entry.hash);
        let mut begins = outer.is_none_or(|entry| entry.begins);
        for index in start..end {
            let Some(entry) = self.entries.get_mut(index) else { break };
            let shim = layout.has_shims() && entry.words.mark >= SHIM_OWNER;
            if shim {
                (entry.number, entry.outermost, entry.hash, entry.begins) = (HIDDEN, true, hash, true);
                begins = true;
                continue;
            }
            let code = entry.words.code & !3;
            if entry.number == NO_CODE {
                entry.number = match codes::number(code) {
                    Some(number) => number,
                    None => describe(interpreter, code, (&mut self.pages, &mut self.texts), note).unwrap_or(NO_CODE),
                };
            }
            entry.offset = layout.offset(entry.words.instruction, code);
            if entry.number == NO_CODE {
                // What has no number yet is never found unchanged.
                entry.words.code = NO_OBJECT;
            }
            entry.outermost = match layout.family {
                Family::Objects => true,
                Family::Entries => entry.words.mark != 0,
                Family::ShimsByRecord | Family::Shims => false,
            };
            if entry.is_shown() {
                let opens = begins || (layout.family == Family::Entries && entry.outermost);
                let value = u64::from(entry.number) << 32 | u64::from(entry.offset as u32);
                hash = extend(hash, value | u64::from(opens) << 63);
                begins = false;
            }
            (entry.hash, entry.begins) = (hash, begins);
        }
        self.known = if root.cut { 0 } else { end };
    }
}

/// Where the index has a frame. Frames are at least 16 bytes apart.
#[inline(always)]
const fn slot(frame: usize) -> usize {
    (frame >> 4 ^ frame >> 14) & (INDEX - 1)
}

impl Layout {
    #[inline(always)]
    fn has_shims(&self) -> bool {
        matches!(self.family, Family::ShimsByRecord | Family::Shims)
    }

    /// The place in the bytecode in a word that was read there.
    #[inline(always)]
    const fn instruction(&self, word: usize) -> usize {
        if matches!(self.family, Family::Objects) { word as u32 as usize } else { word }
    }

    /// Bytes into the bytecode of the object at `code`.
    #[inline(always)]
    const fn offset(&self, instruction: usize, code: usize) -> i32 {
        match self.family {
            // 3.10 counts in instructions.
            Family::Objects if self.frame_instruction == 96 => (instruction as i32).wrapping_mul(2),
            Family::Objects => instruction as i32,
            _ => instruction.wrapping_sub(code).wrapping_sub(self.code_start as usize) as i32,
        }
    }
}
