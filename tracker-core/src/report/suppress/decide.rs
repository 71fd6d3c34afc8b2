//! Which rule of many, if any, a stack meets. A rule is tried where a stack has a frame that is like the line of it that
//! fewest frames are like; and frames are told apart once per name.

use std::collections::hash_map::Entry;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::SuppressionError;
use super::finder::Finder;
use super::rule::{Line, Meter, Rule, Test};
use crate::format::Function;
use crate::report::profile::{Profile, Stack};

/// The tests of all rules, by number, and which rules to try for each.
struct Tests<'s> {
    rules: &'s [Rule],
    tests: Vec<&'s Test>,
    /// The first rule with it.
    first_rule: Vec<u32>,
    /// Rules to try where a frame is like it.
    to_try: Vec<Vec<u32>>,
    /// For each rule the tests of its lines.
    of_rules: Vec<Vec<Option<u32>>>,
    /// Rules that are about no frame.
    of_any: Vec<u32>,
    functions: Finder,
    modules: Finder,
    files: Finder,
}

impl<'s> Tests<'s> {
    fn new(rules: &'s [Rule]) -> Self {
        let mut all = Self {
            rules,
            tests: Vec::new(),
            first_rule: Vec::new(),
            to_try: Vec::new(),
            of_rules: Vec::with_capacity(rules.len()),
            of_any: Vec::new(),
            functions: Finder::default(),
            modules: Finder::default(),
            files: Finder::default(),
        };
        let mut numbers: FxHashMap<&Test, u32> = FxHashMap::default();
        for (number, rule) in (0..).zip(rules) {
            let of_line = |line: &'s Line| match line {
                Line::Any => None,
                Line::Frame(test) => Some(*numbers.entry(test).or_insert_with(|| all.add(test, number))),
            };
            let of_rule: Vec<Option<u32>> = rule.lines.iter().map(of_line).collect();
            // Most first lines name the allocator, which tells nothing.
            let weight = |at: usize, test: u32| {
                let weight = all.tests.get(test as usize).map_or(0, |test| test.weight());
                if at == 0 { 0 } else { weight.max(1) }
            };
            let lines = of_rule.iter().enumerate().filter_map(|(at, test)| Some((weight(at, (*test)?), (*test)?)));
            match lines.max_by_key(|(weight, _)| *weight) {
                Some((_, test)) => all.to_try.get_mut(test as usize).into_iter().for_each(|list| list.push(number)),
                None => all.of_any.push(number),
            }
            all.of_rules.push(of_rule);
        }
        all
    }

    fn add(&mut self, test: &'s Test, rule: u32) -> u32 {
        let number = self.tests.len() as u32;
        self.tests.push(test);
        self.first_rule.push(rule);
        self.to_try.push(Vec::new());
        let finders: &mut [&mut Finder] = match test {
            Test::Name(_) => &mut [&mut self.functions, &mut self.modules, &mut self.files],
            Test::Function { .. } => &mut [&mut self.functions],
            Test::Object(_) => &mut [&mut self.modules],
            Test::Source(_) => &mut [&mut self.files],
        };
        for finder in finders {
            test.pieces().into_iter().for_each(|pieces| finder.add(number, pieces.into_iter()));
        }
        number
    }

    /// The tests among those that `finder` has for `name` that accept it, ascending; of patterns, which are each a rule of
    /// their own, the first one.
    fn accepting(
        &self,
        finder: &Finder,
        name: &str,
        meter: &mut Meter,
        accepts: impl Fn(&Test, &mut Meter) -> bool,
    ) -> Result<Vec<u32>, SuppressionError> {
        let mut accepting = Vec::new();
        if finder.is_empty() {
            return Ok(accepting);
        }
        let mut has_pattern = false;
        for number in finder.candidates(name) {
            let Some(test) = self.tests.get(number as usize) else { continue };
            let is_pattern = matches!(test, Test::Name(_));
            if !(is_pattern && has_pattern) && accepts(test, meter) {
                has_pattern |= is_pattern;
                accepting.push(number);
            }
            if meter.is_empty() {
                let rule = self.first_rule.get(number as usize).and_then(|rule| self.rules.get(*rule as usize));
                return Err(rule.map_or_else(SuppressionError::default, Rule::is_too_general));
            }
        }
        Ok(accepting)
    }
}

/// The tests that a profile's frames and allocators are like.
struct Likeness<'s> {
    tests: Tests<'s>,
    frames: Vec<Vec<u32>>,
    allocators: Vec<Vec<u32>>,
}

impl<'s> Likeness<'s> {
    fn of(rules: &'s [Rule], profile: &Profile, meter: &mut Meter) -> Result<Self, SuppressionError> {
        let tests = Tests::new(rules);
        let (mut functions, mut modules, mut files) =
            (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
        let mut frames = Vec::with_capacity(profile.frames.len());
        for frame in &profile.frames {
            let mut all = Vec::new();
            if let Some(name) = frame.function.as_deref() {
                let find = || tests.accepting(&tests.functions, name, meter, |test, m| test.accepts_function(name, m));
                all.extend(known(&mut functions, name, find)?);
            }
            if let Some(path) = profile.module_path(frame) {
                let find = || tests.accepting(&tests.modules, path, meter, |test, m| test.accepts_module(path, m));
                all.extend(known(&mut modules, path, find)?);
            }
            if let Some(path) = frame.file.as_deref() {
                let name = frame.line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"));
                let find =
                    || tests.accepting(&tests.files, &name, meter, |test, m| test.accepts_file(path, frame.line, m));
                all.extend(known(&mut files, (path, frame.line), find)?);
            }
            all.sort_unstable();
            all.dedup();
            frames.push(all);
        }
        let of_allocator = |function: Function| {
            let is = |test: &Test, meter: &mut Meter| {
                matches!(test, Test::Function { .. }) && test.accepts_function(function.name(), meter)
            };
            tests.accepting(&tests.functions, function.name(), meter, is)
        };
        let allocators = Function::ALL.into_iter().map(of_allocator).collect::<Result<_, _>>()?;
        Ok(Self { tests, frames, allocators })
    }

    fn of_allocator(&self, stack: &Stack) -> &[u32] {
        let list = stack.function.and_then(|function| self.allocators.get(function as usize));
        list.map_or(&[], Vec::as_slice)
    }

    fn of_frame(&self, stack: &Stack, at: usize) -> &[u32] {
        let list = stack.frames.get(at).and_then(|id| self.frames.get(id.0 as usize));
        list.map_or(&[], Vec::as_slice)
    }

    /// The first rule that a stack meets. The places of a stack are its allocator and then its frames; a rule may begin
    /// with the frames, as valgrind's do where a function stands for its allocator, like `operator new`.
    fn rule(&self, stack: &Stack, meter: &mut Meter) -> Result<Option<&'s Rule>, SuppressionError> {
        let end = stack.frames.len() + 1;
        let of_place = |at: usize| match at.checked_sub(1) {
            None => self.of_allocator(stack),
            Some(at) => self.of_frame(stack, at),
        };
        let mut to_try: Vec<u32> = self.tests.of_any.clone();
        for test in (0..end).flat_map(of_place) {
            to_try.extend(self.tests.to_try.get(*test as usize).into_iter().flatten());
        }
        to_try.sort_unstable();
        to_try.dedup();
        meter.spend(end + to_try.len());
        for number in to_try {
            let Some(rule) = self.tests.rules.get(number as usize) else { continue };
            let lines = self.tests.of_rules.get(number as usize).map_or(&[][..], Vec::as_slice);
            let is = |line: usize, at: usize| {
                let test = lines.get(line).copied().flatten();
                test.is_some_and(|test| of_place(at).binary_search(&test).is_ok())
            };
            let met = rule.is_path(0, end, meter, is) || rule.is_path(1, end, meter, is);
            if meter.is_empty() {
                return Err(rule.is_too_general());
            }
            if met {
                return Ok(Some(rule));
            }
        }
        Ok(None)
    }
}

/// What is known of `key`, or else found out.
fn known<K: Hash + Eq>(
    known: &mut FxHashMap<K, Vec<u32>>,
    key: K,
    find: impl FnOnce() -> Result<Vec<u32>, SuppressionError>,
) -> Result<&[u32], SuppressionError> {
    match known.entry(key) {
        Entry::Occupied(found) => Ok(found.into_mut()),
        Entry::Vacant(place) => Ok(place.insert(find()?)),
    }
}

/// For each stack of `profile` the first of `rules` that it meets.
///
/// # Errors
/// Names a rule where there are too many that are too general for so many names.
pub(super) fn decide<'s>(
    rules: &'s [Rule],
    profile: &Profile,
    meter: &mut Meter,
) -> Result<Vec<Option<&'s Rule>>, SuppressionError> {
    if rules.is_empty() {
        return Ok(vec![None; profile.stacks.len()]);
    }
    let likeness = Likeness::of(rules, profile, meter)?;
    profile.stacks.iter().map(|stack| likeness.rule(stack, meter)).collect()
}
