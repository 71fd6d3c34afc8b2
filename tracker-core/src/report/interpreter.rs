//! The frames that an interpreter needs to run a Python function: of use to those who work on the interpreter, in the way
//! for all others.

use rustc_hash::FxHashMap;

use super::build::join;
use super::filter::Matching;
use super::profile::{Frame, FrameId, FrameKind, Profile, Row, Stack, StackId};
use super::slices::Slices;
use super::suppress::Applied;

impl Profile {
    /// Whether a frame is native code of a Python interpreter.
    pub fn is_interpreter(&self, frame: &Frame) -> bool {
        let module = frame.module.and_then(|module| self.modules.get(module as usize));
        module.is_some_and(|module| module.interpreter)
    }

    /// Whether a stack runs through Python functions.
    pub fn is_python(&self, stack: &Stack) -> bool {
        stack.frames.iter().any(|&id| self.frame(id).is_some_and(|frame| frame.kind == FrameKind::Python))
    }

    fn shown(&self, stack: &Stack) -> Stack {
        if !self.is_python(stack) {
            return stack.clone();
        }
        let is_python = |id: &FrameId| self.frame(*id).is_some_and(|frame| frame.kind == FrameKind::Python);
        let innermost = stack.frames.iter().position(is_python).unwrap_or(0);
        let outermost = stack.frames.iter().rposition(is_python).unwrap_or(0);
        // Between two modules, one of which imports the other, stand half a dozen frames of the import system.
        let shows = |at: usize, frame: &Frame| {
            let needed = if frame.kind == FrameKind::Python { innermost } else { outermost };
            !self.is_interpreter(frame) && (at <= needed || !self.is_runtime(frame))
        };
        let frames = stack.frames.iter().enumerate();
        let frames = frames.filter(|&(at, &id)| self.frame(id).is_none_or(|frame| shows(at, frame)));
        Stack { frames: frames.map(|(_, &id)| id).collect(), function: stack.function }
    }
}

/// A profile, and what was decided for its whole stacks: it holds whatever of them is shown.
#[derive(Debug)]
pub struct Judged<'s> {
    pub profile: Profile,
    /// Which leaks are set apart.
    pub applied: Applied<'s>,
    /// Which stacks a filter matches.
    pub matching: Matching,
}

impl Judged<'_> {
    /// The same numbers over stacks without what an interpreter needs to run Python: its own frames, those of the import
    /// system but the innermost, and those of the C library and the loader outside of the first Python function. Stacks that
    /// run through no Python stay as they are, and those apart for which something else was decided. What happened over
    /// time is left out.
    #[must_use]
    pub fn without_interpreter(self) -> Self {
        let Self { mut profile, applied, matching } = self;
        let mut shown = Shown::of(&profile);
        for row in profile.regions.iter_mut().flat_map(|region| &mut region.rows) {
            row.stack = shown.place(row, &applied, &matching);
        }
        let mut rows: Vec<Row> = Vec::with_capacity(profile.rows.len());
        let mut known: FxHashMap<(StackId, u32), usize> = FxHashMap::default();
        for row in profile.rows {
            let row = Row { stack: shown.place(&row, &applied, &matching), ..row };
            let next = rows.len();
            let at = *known.entry((row.stack, row.thread)).or_insert(next);
            match rows.get_mut(at) {
                Some(same) => join(same, &row),
                None => rows.push(row),
            }
        }
        profile.rows = rows;
        profile.slices = Slices::default();
        profile.stacks = shown.kept;
        let matching = if matching.is_of_all() { matching } else { Matching::told(shown.matched) };
        Self { profile, applied: Applied::told(shown.rules), matching }
    }
}

/// Stacks as they are shown, told apart by what was decided for their rows.
struct Shown<'s> {
    /// Of each stack of the profile, its shown form.
    forms: Vec<u32>,
    /// The forms, all different.
    stacks: Vec<Stack>,
    ids: FxHashMap<(u32, Option<&'s str>, bool), StackId>,
    kept: Vec<Stack>,
    rules: Vec<Option<&'s str>>,
    matched: Vec<bool>,
}

impl<'s> Shown<'s> {
    fn of(profile: &Profile) -> Self {
        let mut stacks = Vec::new();
        let mut known: FxHashMap<Stack, u32> = FxHashMap::default();
        let mut form = |stack| {
            *known.entry(profile.shown(stack)).or_insert_with_key(|stack| {
                stacks.push(stack.clone());
                stacks.len() as u32 - 1
            })
        };
        let forms = profile.stacks.iter().map(&mut form).collect();
        Self { forms, stacks, ids: FxHashMap::default(), kept: Vec::new(), rules: Vec::new(), matched: Vec::new() }
    }

    /// Where a row's stack is kept. A profile's rows name its own stacks: another one stays what it is, nothing.
    fn place(&mut self, row: &Row, applied: &Applied<'s>, matching: &Matching) -> StackId {
        let form = self.forms.get(row.stack.0 as usize).copied();
        let Some((form, stack)) = form.and_then(|form| Some((form, self.stacks.get(form as usize)?))) else {
            return row.stack;
        };
        let (rule, matched) = (applied.rule(row), matching.matches(row.stack));
        *self.ids.entry((form, rule, matched)).or_insert_with(|| {
            self.kept.push(stack.clone());
            self.rules.push(rule);
            self.matched.push(matched);
            StackId(self.kept.len() as u32 - 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Judged;
    use crate::report::filter::{Filter, Matching};
    use crate::report::metric::Metric;
    use crate::report::pattern::Pattern;
    use crate::report::profile::{Profile, Row};
    use crate::report::sketch::{Numbers, Sketch};
    use crate::report::suppress::{Applied, Suppressions};

    fn hidden(profile: Profile) -> Profile {
        Judged { profile, applied: Applied::default(), matching: Matching::default() }.without_interpreter().profile
    }

    fn profile(stacks: &[&str]) -> Profile {
        let row = |sketch: Sketch, stack: &&str| sketch.row(stack, Numbers { peak: (1, 10), ..Numbers::default() });
        let interpreter = |profile: &mut Profile| {
            for module in &mut profile.modules {
                module.interpreter = module.path.ends_with("python3.11");
            }
        };
        stacks.iter().fold(Sketch::new("python3 a.py"), row).with(interpreter).build()
    }

    #[track_caller]
    fn check(stack: &str, expected: &str, blamed: &str) {
        let whole = profile(&[stack]);
        let frame = whole.blamed(&whole.stacks[0]).map(|frame| whole.frame_name(frame).into_owned());
        assert_eq!(frame.as_deref(), Some(blamed), "{stack}");
        let shown = hidden(whole);
        let names = shown.stacks[0].frames.iter().map(|id| shown.frame_name(&shown.frames[id.0 as usize]));
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{stack}");
    }

    #[test]
    fn python_functions_stay_and_their_interpreter_goes() {
        const LOOP: &str = "_PyEval_EvalFrameDefault!/usr/bin/python3.11";
        const START: &str =
            "Py_RunMain!/usr/bin/python3.11 __libc_start_main!/lib/libc.so.6 _start!/usr/bin/python3.11";
        let python =
            format!("malloc: list_resize!/usr/bin/python3.11 py:load@a.py:3 py:<module>@a.py:9 {LOOP} {START}");
        check(&python, "load <module>", "load");
        let extension = format!("malloc: parse!/opt/fast.so call!/usr/bin/python3.11 py:load@a.py:3 {LOOP} {START}");
        check(&extension, "parse load", "parse");
        check(&format!("{python} [task_crawler]"), "load <module> [task crawler]", "load");
        let back = format!("malloc: py:key@a.py:1 {LOOP} sort!/opt/fast.so py:load@a.py:3 {LOOP} host!/opt/host");
        check(&back, "key sort load host", "key");
        let import = format!("malloc: py:exec_module@<frozen_importlib.bootstrap>:9 py:<module>@a.py:2 {LOOP} {START}");
        check(&import, "exec_module <module>", "<module>");
        let nested = import.replace("py:<module>@a.py:2", "py:load@<frozen_importlib.bootstrap>:3 py:<module>@a.py:2");
        let nested =
            nested.replace("py:<module>", "py:<module>@b.py:1 py:find@<frozen_importlib.bootstrap>:7 py:<module>");
        check(&nested, "exec_module <module> <module>", "<module>");
        let native = format!("malloc: PyList_New!/usr/bin/python3.11 {START}");
        check(
            &native,
            &native["malloc: ".len()..].replace("!/usr/bin/python3.11", "").replace("!/lib/libc.so.6", ""),
            "PyList_New",
        );
    }

    #[test]
    fn stacks_that_became_equal_are_one_and_the_sums_stay() {
        let stacks = ["malloc: a!/usr/bin/python3.11 py:load@a.py:3", "malloc: b!/usr/bin/python3.11 py:load@a.py:3"];
        let shown = hidden(profile(&stacks));
        assert_eq!((shown.stacks.len(), shown.rows.len()), (1, 1));
        assert_eq!((shown.rows[0].metrics.peak_bytes, shown.totals.metrics.peak_bytes), (20, 20));
    }

    #[test]
    fn what_only_the_whole_stack_tells_stays_apart() {
        let stacks =
            ["malloc: alpha!/usr/bin/python3.11 py:load@a.py:3", "malloc: beta!/usr/bin/python3.11 py:load@a.py:3"];
        let mut suppressions = Suppressions::none();
        suppressions.add_file("x.supp", "leak:alpha").expect("a suppression");
        let whole = profile(&stacks);
        let applied = suppressions.apply(&whole).expect("few");
        let shown = Judged { profile: whole, applied, matching: Matching::default() }.without_interpreter();
        assert_eq!((shown.profile.stacks.len(), shown.profile.rows.len()), (2, 2));
        assert_eq!(shown.profile.stacks[0], shown.profile.stacks[1]);
        let rules: Vec<_> = shown.profile.rows.iter().map(|row| shown.applied.rule(row)).collect();
        assert_eq!(rules, [Some("alpha"), None]);
    }

    #[test]
    fn a_filter_matches_frames_that_are_hidden() {
        let stacks = [
            "malloc: alpha!/usr/bin/python3.11 py:load@a.py:3",
            "malloc: beta!/opt/fast.so py:load@a.py:3",
            "free: main",
        ];
        for (functions, modules, expected) in [
            (&["alpha"][..], &[][..], &["load"][..]),
            (&["alpha", "load"], &[], &["load"]),
            (&["load"], &[], &["load", "beta load"]),
            (&[], &["python3.11"], &["load"]),
            (&["gamma"], &[], &[]),
        ] {
            let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(text)).collect();
            let filter = Filter { functions: patterns(functions), modules: patterns(modules), ..Filter::default() };
            let profile = profile(&stacks);
            let matching = filter.matching(&profile);
            let whole = filter.select(&profile).expect("a selection").total(Metric::Peak);
            let shown = Judged { profile, applied: Applied::default(), matching }.without_interpreter();
            let selection = filter.select_matching(&shown.profile, &shown.matching).expect("a selection");
            assert_eq!(selection.total(Metric::Peak), whole, "{functions:?} {modules:?}");
            let frames = |row: &&Row| {
                let names = shown.profile.stacks[row.stack.0 as usize].frames.iter();
                names
                    .map(|id| shown.profile.frame_name(&shown.profile.frames[id.0 as usize]))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            assert_eq!(selection.rows().iter().map(frames).collect::<Vec<_>>(), expected);
        }
    }
}
