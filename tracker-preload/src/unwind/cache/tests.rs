//! \[unsafe\] Stacks made by hand, in memory of the test's own, walked with the cache after every change: what it answers must be
//! what was built. The frames are of all the kinds that compilers make; between two walks they return, are called anew
//! from elsewhere, keep other values in rbp, or another stack is used.

use super::{Frames, Path, State};
use crate::unwind::rules::{self, Rule};
use crate::unwind::{Bounds, Start, Walk as _};

/// Code addresses of each kind of frame; call sites are 1 apart.
const CODE: usize = 0x40_0000;
const KINDS: usize = 8;
const SITES: usize = 3;

/// What a frame does with the stack, and the rule that says so.
#[derive(Debug, Clone, Copy)]
struct Kind {
    rule: fn() -> Option<Rule>,
    /// Bytes from its stack pointer to its CFA.
    size: usize,
    /// How far below the CFA it saves rbp; 0: not at all.
    saves: usize,
    rbp: Rbp,
}

/// What a frame's own code has in rbp.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rbp {
    /// What its caller had.
    Kept,
    /// Some value.
    Data,
    /// The place that it saved rbp in.
    Frame,
}

const ALL: [Kind; KINDS] = [
    Kind { rule: || Rule::plain(false, 8, 0), size: 8, saves: 0, rbp: Rbp::Kept },
    Kind { rule: || Rule::plain(false, 48, 0), size: 48, saves: 0, rbp: Rbp::Kept },
    Kind { rule: || Rule::plain(false, 32, 16), size: 32, saves: 16, rbp: Rbp::Data },
    Kind { rule: || Rule::plain(false, 64, 40), size: 64, saves: 40, rbp: Rbp::Data },
    Kind { rule: || Rule::plain(false, 40, 16), size: 40, saves: 16, rbp: Rbp::Data },
    Kind { rule: || Rule::plain(true, 16, 16), size: 40, saves: 16, rbp: Rbp::Frame },
    // Realigned: the CFA stands below the saved rbp.
    Kind { rule: || Rule::realigned(8), size: 56, saves: 16, rbp: Rbp::Frame },
    // No table: the frame-pointer convention.
    Kind { rule: || Some(Rule::NONE), size: 24, saves: 16, rbp: Rbp::Frame },
];
/// These two leave everything inside of them where it was when they change places.
const ALIKE: [usize; 2] = [4, 5];
const REALIGNED: usize = 6;

/// One call: a frame of some kind, about to call from some site, with some value in rbp if it keeps data there.
#[derive(Debug, Clone, Copy)]
struct Call {
    kind: usize,
    site: usize,
    data: usize,
    /// Words that a frame with a frame pointer took beside its own (`alloca`).
    more: usize,
}

impl Call {
    fn pc(self) -> usize {
        CODE + self.kind * 0x100 + self.site
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn call(&mut self, kinds: usize) -> Call {
        Call { kind: self.below(kinds), site: self.below(SITES), data: self.below(1000), more: self.below(3) }
    }
}

/// A stack's memory, and the calls on it, outermost first.
struct Stack {
    words: Vec<usize>,
    calls: Vec<Call>,
    /// Calls as they were at other times.
    others: [Vec<Call>; 3],
}

impl Stack {
    fn new() -> Self {
        Self { words: vec![0x5a5a; 2048], calls: Vec::new(), others: Default::default() }
    }

    fn high(&self) -> usize {
        self.words.as_ptr_range().end as usize
    }

    fn put(&mut self, address: usize, value: usize) {
        let index = (address - self.words.as_ptr() as usize) / 8;
        self.words[index] = value;
    }

    /// Lays the frames out, and answers the state at the innermost one's call.
    fn lay_out(&mut self) -> State {
        let (mut sp, mut rbp) = (self.high() - 64, 0xdead);
        // Nobody called the outermost frame.
        sp -= 8;
        self.put(sp, 0);
        for call in self.calls.clone() {
            let (kind, cfa) = (ALL[call.kind], sp + 8);
            if kind.saves != 0 {
                self.put(cfa - kind.saves, rbp);
            }
            match kind.rbp {
                Rbp::Kept => (),
                Rbp::Data => rbp = call.data,
                Rbp::Frame => rbp = cfa - kind.saves,
            }
            if call.kind == REALIGNED {
                self.put(rbp - 8, cfa);
            }
            let more = if call.kind == ALIKE[1] { 16 * call.more } else { 0 };
            sp = cfa - kind.size - more - 8;
            self.put(sp, call.pc());
        }
        State::returned(self.calls.last().map_or(0, |call| call.pc()), sp, rbp)
    }

    fn change(&mut self, random: &mut Random, kinds: usize) {
        let len = self.calls.len();
        match random.below(14) {
            // Some return, others are called.
            0 | 1 => {
                self.calls.truncate(len - random.below(len.min(6) + 1));
                let room = 40usize.saturating_sub(self.calls.len());
                (0..random.below(room.min(6) + 1)).for_each(|_| self.calls.push(random.call(kinds)));
            }
            // The same again as some time ago, with the present outer part or its own.
            6..12 => {
                let other = &mut self.others[random.below(3)];
                let same = random.below(len.min(other.len()) + 1);
                let (mut before, now) = (other.clone(), self.calls.clone());
                before[..same].copy_from_slice(&now[..same]);
                *other = std::mem::replace(&mut self.calls, before);
            }
            // Deep inside, one frame is called from elsewhere, or has something else in rbp, with all inner ones as they were.
            2 if len != 0 => self.calls[random.below(len)].site = random.below(SITES),
            3 if len != 0 => self.calls[random.below(len)].data = random.below(1000),
            // What was data in rbp becomes the way to the caller, or the other way round.
            4 if len != 0 => {
                let call = &mut self.calls[random.below(len)];
                if kinds > ALIKE[1]
                    && let Some(at) = ALIKE.iter().position(|kind| *kind == call.kind)
                {
                    call.kind = ALIKE[1 - at];
                }
            }
            // One frame takes more and another less: those between them move, and only rbp knows.
            5 if len != 0 => {
                let (more, less) = (random.below(len), random.below(len));
                if self.calls[less].more > 0 && self.calls[more].kind == ALIKE[1] && self.calls[less].kind == ALIKE[1] {
                    self.calls[less].more -= 1;
                    self.calls[more].more += 1;
                }
            }
            _ => (),
        }
    }
}

type Small = Frames<512>;

fn frames() -> Box<Small> {
    // SAFETY: all zero is the initial state; see its definition.
    unsafe { Box::new_zeroed().assume_init() }
}

fn teach() {
    for (kind, facts) in ALL.iter().enumerate() {
        let rule = (facts.rule)().expect("fits");
        (0..SITES).for_each(|site| rules::teach(Call { kind, site, data: 0, more: 0 }.pc(), rule));
    }
}

/// What the walk answers, leaf last; where it was recalled, the path of that hash.
fn walk(frames: &mut Small, state: State, high: usize, generation: u32) -> Vec<usize> {
    let recalled = frames.recall_path(state, high, generation).map(|path| path.hash);
    let path = frames.unwind(state, high, generation, &mut |_| ());
    assert_eq!(path.marker, 0);
    assert!(recalled.is_none_or(|hash| hash == path.hash()));
    pcs(path)
}

fn pcs(path: Path<'_>) -> Vec<usize> {
    path.entries.iter().map(|entry| entry.pc as usize).collect()
}

fn built(stack: &Stack) -> Vec<usize> {
    stack.calls.iter().map(|call| call.pc()).collect()
}

/// Without and with the kinds that are never cached, which end what can be. What is recalled is not walked: the cache
/// stands as it was, and must serve for other walks all the same.
#[test]
fn the_cache_answers_what_is_there() {
    teach();
    for kinds in [2, 5, 6, KINDS] {
        let mut random = Random(kinds as u64);
        let (mut frames, mut joined, mut recalled) = (frames(), 0, 0);
        let mut stacks = [Stack::new(), Stack::new()];
        for round in 0..40_000 {
            let at = usize::from(random.below(16) == 0);
            let stack = &mut stacks[at];
            stack.change(&mut random, kinds);
            let (state, high) = (stack.lay_out(), stack.high());
            let known = match frames.recall_path(state, high, 0) {
                Some(path) => {
                    recalled += 1;
                    path.hash
                }
                None => {
                    joined += frames.cached;
                    let path = frames.unwind(state, high, 0, &mut |_| ());
                    assert_eq!(pcs(path), built(stack), "kinds {kinds}, round {round}");
                    path.hash()
                }
            };
            let path = frames.walk_afresh(state, high, &mut |_| ());
            assert_eq!(pcs(path), built(stack), "kinds {kinds}, round {round}");
            assert_eq!(path.hash(), known, "kinds {kinds}, round {round}: the same path has the same hash");
        }
        assert!(joined > 40_000, "there was something to prove");
        assert!(recalled > 2_000, "{recalled} walks were recalled");
    }
}

/// Everything that a recalled walk depends on, changed alone.
#[test]
fn a_memo_is_for_one_state_alone() {
    teach();
    let call = |kind, site| Call { kind, site, data: 7, more: 0 };
    // The frame-pointer frame makes rbp live in all that is inside of it.
    let outer = [call(1, 0), call(2, 1), call(5, 0), call(1, 1)];
    type Change = fn(&mut Small, &mut State, &mut Stack);
    let changes: [(&str, bool, Change); 11] = [
        ("nothing", true, |_, _, _| ()),
        ("the start's slot", false, |_, state, _| state.sp += 8),
        ("the start's rbp", false, |_, state, _| state.rbp += 8),
        ("a cell of the memo", false, |_, state, stack| stack.put(state.slot() + 16, CODE)),
        ("a cell of the cache", false, |_, _, stack| stack.put(stack.high() - 72, 1)),
        ("the joint's slot", false, |frames, _, _| frames.entries[3].slot += 8),
        ("the joint's path", false, |frames, _, _| frames.entries[3].hash += 1),
        ("the joint's rbp", false, |frames, _, _| frames.entries[3].rbp += 8),
        ("the joint is not in the cache", false, |frames, _, _| frames.cached = 3),
        ("the stack's end", false, |frames, _, _| frames.high += 8),
        ("the generation", false, |frames, _, _| frames.generation += 1),
    ];
    for (what, recalled, change) in changes {
        let (mut stack, mut frames) = (Stack::new(), frames());
        stack.calls = [&outer[..], &[call(0, 0)]].concat();
        let state = stack.lay_out();
        walk(&mut frames, state, stack.high(), 0);
        stack.calls = [&outer[..], &[call(0, 1), call(0, 2)]].concat();
        let (mut state, high) = (stack.lay_out(), stack.high());
        walk(&mut frames, state, high, 0);
        // Some of these share the memo's place.
        let others = (1..1000).map(|more| State { pc: state.pc + more, ..state });
        assert_eq!(others.filter(|other| frames.recall_path(*other, high, 0).is_some()).count(), 0);
        change(&mut frames, &mut state, &mut stack);
        assert_eq!(frames.recall_path(state, high, 0).is_some(), recalled, "{what}");
    }
}

/// Memos of an earlier code generation, or of another stack, say nothing.
#[test]
fn what_is_forgotten_is_not_recalled() {
    teach();
    let (mut stack, mut frames) = (Stack::new(), frames());
    stack.calls = vec![Call { kind: 1, site: 0, data: 7, more: 0 }];
    let (state, high) = (stack.lay_out(), stack.high());
    walk(&mut frames, state, high, 0);
    assert!(frames.recall_path(state, high, 0).is_some());
    let mut other = Stack::new();
    other.calls = stack.calls.clone();
    let elsewhere = other.lay_out();
    walk(&mut frames, elsewhere, other.high(), 0);
    walk(&mut frames, elsewhere, high, 0);
    assert!(frames.recall_path(state, high, 0).is_none());
    assert!(frames.recall_path(elsewhere, high, 0).is_some());
}

/// Where nothing comes back nothing is remembered, until it may have changed.
#[test]
fn memos_rest_where_nothing_comes_back() {
    teach();
    let mut frames = frames();
    let mut site = 0;
    let mut walk_elsewhere = |frames: &mut Small, walks: usize| {
        for _ in 0..walks {
            site += 1;
            let mut stack = Stack::new();
            stack.calls = vec![Call { kind: 1, site: site % SITES, data: 0, more: 0 }; 1 + site % 20];
            walk(frames, stack.lay_out(), stack.high(), 0);
        }
    };
    let mut stack = Stack::new();
    stack.calls = vec![Call { kind: 1, site: 0, data: 0, more: 0 }];
    let (state, high) = (stack.lay_out(), stack.high());
    let is_remembered = |frames: &mut Small| {
        walk(frames, state, high, 0);
        frames.recall_path(state, high, 0).is_some()
    };
    assert!(is_remembered(&mut frames));
    walk_elsewhere(&mut frames, 100);
    assert!(!is_remembered(&mut frames));
    walk_elsewhere(&mut frames, 1024);
    assert!(is_remembered(&mut frames));
}

/// Unchanged return addresses prove nothing where a frame finds its caller through rbp.
#[test]
fn a_frame_pointer_that_moved_moves_the_frames() {
    teach();
    let call = |kind, site| Call { kind, site, data: 7, more: 0 };
    let mut stack = Stack::new();
    // The frame-pointer frame's CFA follows from rbp, which the data frame inside of it saved.
    stack.calls = vec![call(1, 0), call(1, 1), call(5, 0), call(2, 0), call(0, 0)];
    let mut cached = frames();
    let (state, high) = (stack.lay_out(), stack.high());
    assert_eq!(walk(&mut cached, state, high, 0), built(&stack));
    // The saved rbp now points to a frame farther out, whose caller is another one, the outermost of all.
    let saved = state.slot() + 8 + 8 + 32 - 16;
    let copy = high - 48;
    stack.put(copy, 0);
    stack.put(copy + 8, CODE + 0x100 + 2);
    stack.put(saved, copy);
    let moved = walk(&mut cached, state, high, 0);
    let mut unmoved = frames();
    assert_eq!(moved, walk(&mut unmoved, state, high, 0));
    assert_ne!(moved, built(&stack));
}

/// The stack of a coroutine lies above the thread's own: the thread's end is not its end, and it has none that is known.
#[test]
fn bounds_are_those_of_the_stack_in_use() {
    teach();
    let mut stacks = [Stack::new(), Stack::new()];
    stacks.sort_by_key(Stack::high);
    let [own, other] = &mut stacks;
    let calls: Vec<Call> = (0..30).map(|n| Call { kind: n % 3, site: n % SITES, data: 7, more: 0 }).collect();
    let bounds = Bounds { low: own.words.as_ptr() as usize, high: own.high() };
    let mut frames = frames();
    for round in 0..6 {
        let stack = if round % 2 == 0 { &mut *other } else { &mut *own };
        stack.calls = calls[..20 + round].to_vec();
        let state = stack.lay_out();
        let start = Start { slot: state.slot(), rbp: state.rbp };
        let mut frames = &mut *frames;
        let path = frames.walk(start, bounds, &mut |_| ()).entries.to_vec();
        assert_eq!(pcs(Path { marker: 0, entries: &path }), built(stack), "round {round}");
    }
}

/// What lies behind the first cell that differs may not be there any more: it is not read. Two pages of stack, the outer one
/// of which goes away while the inner one holds a whole stack of its own.
#[test]
fn nothing_is_read_behind_a_difference() {
    const PAGE: usize = 4096;
    teach();
    for known in [true, false] {
        // SAFETY: a mapping of the test's own.
        let low = unsafe {
            let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            libc::mmap(std::ptr::null_mut(), 2 * PAGE, prot, flags, -1, 0) as usize
        };
        // SAFETY: words of that mapping.
        let put = |address: usize, value: usize| unsafe { (address as *mut usize).write(value) };
        // Frames of 8 bytes, in either page.
        let (first, last) = (low + PAGE - 512, low + PAGE + 1024);
        (first..last).step_by(8).for_each(|slot| put(slot, CODE + slot / 8 % SITES));
        put(last, 0);
        let high = if known { low + 2 * PAGE } else { usize::MAX };
        let state = State::returned(CODE + first / 8 % SITES, first, 0);
        let mut frames = frames();
        assert_eq!(walk(&mut frames, state, high, 0).len(), (last - first) / 8);
        assert!(frames.recall_path(state, high, 0).is_some());
        // The walk now ends in the inner page, and whoever compares a cell of the outer one dies.
        put(low + PAGE - 64, 0);
        // SAFETY: the outer page is ours.
        assert_eq!(unsafe { libc::mprotect((low + PAGE) as *mut _, PAGE, libc::PROT_NONE) }, 0);
        assert!(frames.recall_path(state, high, 0).is_none());
        assert_eq!(walk(&mut frames, state, high, 0).len(), (low + PAGE - 64 - first) / 8);
        // SAFETY: nothing refers to it any more.
        unsafe { libc::munmap(low as *mut _, 2 * PAGE) };
    }
}

/// An address means something else after `dlclose`.
#[test]
fn another_generation_has_other_rules() {
    teach();
    let pc = CODE + 0x5000;
    rules::teach(pc, Rule::plain(false, 16, 0).expect("fits"));
    let mut stack = Stack::new();
    let high = stack.high();
    let slot = high - 80;
    (0..10).for_each(|word| stack.put(slot + 8 * word, 0));
    stack.put(slot, pc);
    stack.put(slot + 16, CODE);
    stack.put(slot + 32, CODE + 1);
    let (state, mut cached) = (State::returned(pc, slot, 0), frames());
    assert_eq!(walk(&mut cached, state, high, 0), [CODE, pc]);
    rules::teach(pc, Rule::plain(false, 32, 0).expect("fits"));
    assert_eq!(walk(&mut cached, state, high, 1), [CODE + 1, pc]);
}
