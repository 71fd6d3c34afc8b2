//! Which asyncio task the calling thread runs, if the program has given it a name: from 3.14 on a thread's state says it.
//!
//! Names that asyncio counts up tell nothing that the coroutine does not, and would make each of a server's requests a
//! stack of its own; so they are none. Of given names the first [`NAMES`] of a thread are told apart.
//!
//! Tasks and texts end, and others begin at their addresses: so it is the text that is compared, at each allocation.

use super::Note;
use super::describe::{Characters, Texts, characters, describe_task, text};
use super::interpreter::Interpreter;
use super::layout::{OBJECT_TYPE, TASK_NAME, TYPE_BASE, TYPE_NAME};
use super::memory::Pages;
use crate::stacks::extend;

/// Names of a thread that have numbers of their own; those after them have one together.
const NAMES: usize = 256;
/// A power of two, so much more than names that looking for one ends soon.
const SLOTS: usize = 1024;
/// Bytes of a name that are kept, and characters that are compared.
const LONGEST: usize = 128;
/// Types between a task's own and asyncio's.
const MOST_BASES: usize = 16;

/// A name that has a number. Hash 0: none.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Name {
    hash: u64,
    number: u32,
}

/// The tasks of a thread. Zero is its valid initial state: nothing known.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Tasks {
    /// Type of the last task, and whether it is asyncio's or one derived from it.
    kind: usize,
    is_known: bool,
    /// Addresses of the last task and of its name; hash and number of that name.
    task: usize,
    name: usize,
    hash: u64,
    number: u32,
    /// Names in the table, and the number of all others.
    count: u32,
    others: u32,
    names: [Name; SLOTS],
}

impl Tasks {
    /// Number of the task that runs in the thread with this state; 0: none, or it has no name of its own.
    #[inline(always)]
    pub(super) fn running(
        &mut self,
        interpreter: &Interpreter,
        (state, holds_lock): (usize, bool),
        (pages, texts): (&mut Pages, &mut Texts),
        note: Note<'_>,
    ) -> u32 {
        let place = interpreter.layout.thread_task;
        if place == 0 {
            return 0;
        }
        match pages.word(state + usize::from(place)) {
            None | Some(0) => 0,
            Some(task) => self.number(interpreter, (task, holds_lock), (pages, texts), note).unwrap_or(0),
        }
    }

    #[inline(never)]
    fn number(
        &mut self,
        interpreter: &Interpreter,
        (task, holds_lock): (usize, bool),
        (pages, texts): (&mut Pages, &mut Texts),
        note: Note<'_>,
    ) -> Option<u32> {
        // A thread holds the task that it runs.
        let kind = pages.word(task + OBJECT_TYPE)?;
        if kind != self.kind {
            (self.kind, self.is_known) = (kind, is_task(kind, pages));
        }
        if !self.is_known {
            return None;
        }
        let name = pages.word(task + TASK_NAME)?;
        // Without the lock nothing keeps others from naming it anew meanwhile, and the old text from its end.
        if !holds_lock && (task, name) == (self.task, self.name) {
            return Some(self.number);
        }
        (self.task, self.name) = (task, name);
        // asyncio's own names are numbers until somebody asks for one.
        let hash = if pages.word(name + OBJECT_TYPE)? == interpreter.text_type {
            hash(characters(interpreter, name, pages)?, pages)?
        } else {
            0
        };
        if hash != self.hash {
            let number = match hash {
                0 => Some(0),
                _ => self.find(interpreter, (name, hash), (pages, texts), note),
            };
            // What could not be written now is looked for again.
            (self.hash, self.number) = number.map_or((0, 0), |number| (hash, number));
        }
        Some(self.number)
    }

    /// Number of the name at `name`, known or new. `None`: there is no room to write it.
    #[cold]
    #[inline(never)]
    fn find(
        &mut self,
        interpreter: &Interpreter,
        (name, hash): (usize, u64),
        (pages, texts): (&mut Pages, &mut Texts),
        note: Note<'_>,
    ) -> Option<u32> {
        let text = text(interpreter, name, pages, texts.name.get_mut(..LONGEST)?)?;
        if text.is_empty() || is_counted(text) {
            return Some(0);
        }
        let slot = (0..SLOTS).map(|step| (hash as usize).wrapping_add(step) & (SLOTS - 1));
        let is_place = |slot: &usize| self.names.get(*slot).is_some_and(|name| name.hash == hash || name.hash == 0);
        let place = slot.into_iter().find(is_place)?;
        let known = self.names.get_mut(place)?;
        if known.hash != 0 {
            return Some(known.number);
        }
        if self.count as usize == NAMES {
            if self.others == 0 {
                self.others = describe_task(&[], note)?;
            }
            return Some(self.others);
        }
        *known = Name { hash, number: describe_task(text, note)? };
        self.count += 1;
        Some(known.number)
    }
}

/// Whether a type is `asyncio.Task` as the interpreter brings it, or derived from it.
#[cold]
fn is_task(mut kind: usize, pages: &mut Pages) -> bool {
    const NAME: &[u8] = b"_asyncio.Task\0";
    for _ in 0..MOST_BASES {
        if kind == 0 {
            break;
        }
        let Some(name) = pages.word(kind + TYPE_NAME) else { break };
        let mut bytes = NAME.iter().zip(name..);
        if bytes.all(|(byte, at)| pages.byte(at) == Some(*byte)) {
            return true;
        }
        let Some(base) = pages.word(kind + TYPE_BASE) else { break };
        kind = base;
    }
    false
}

/// Hash of a text, not 0, by its length and its first [`LONGEST`] characters.
#[inline(always)]
fn hash(text: Characters, pages: &mut Pages) -> Option<u64> {
    let mut hash = extend(text.len as u64, text.width as u64);
    let bytes = text.len.min(LONGEST) * text.width;
    for at in (0..bytes).step_by(8) {
        // Behind its end stands whatever was there before.
        let unused = 8 * (at + 8).saturating_sub(bytes);
        hash = extend(hash, (pages.word(text.data + at)? as u64) << unused);
    }
    Some(hash | 1)
}

/// Whether a name is one that asyncio has counted up.
fn is_counted(name: &[u8]) -> bool {
    let number = name.strip_prefix(b"Task-").unwrap_or_default();
    !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::is_counted;

    #[test]
    fn names_that_are_counted_up_are_none() {
        let counted = |name: &str| is_counted(name.as_bytes());
        assert!(["Task-1", "Task-90210"].iter().all(|name| counted(name)));
        assert!(!["Task-", "Task-1a", "task-1", "Task-1-2", "crawler", ""].iter().any(|name| counted(name)));
    }
}
