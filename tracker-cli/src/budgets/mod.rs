//! What a recording is judged by: budget file, flags, suppressions and baselines, brought together. `check`, `run --check` and
//! `baseline` share it.

mod baselines;
mod discover;
pub(crate) mod results;

use std::path::{Path, PathBuf};

use tracker_core::budget::{self, Budget, Level, Limit, Origin, Rule, Run, Scope, Verdict, rule};
use tracker_core::report::filter::Selection;
use tracker_core::report::profile::{Profile, Pymalloc};
use tracker_core::report::suppress::Suppressions;

use self::results::Wanted;
use crate::args::CountArgs;
use crate::captures::{self, Capture};
use crate::error::Error;
use crate::suppressions::{SuppressionArgs, applied, with_carried};

/// Stacks named below a broken budget.
const WORST: usize = 5;

/// Flags about budgets.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Budget")]
pub(crate) struct BudgetArgs {
    /// Budget file [default: memtrack.toml, .config/memtrack.toml, or the memtrack table of pyproject.toml or Cargo.toml,
    /// in this folder or the nearest above that has one; MEMTRACK_CONFIG names another]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A limit on the whole recording, for example peak=256MiB or leaked=0; may be given several times, and replaces that
    /// of the budget file
    #[arg(long, value_name = "KEY=VALUE", value_parser = limit)]
    max: Vec<Limit>,
    /// A limit that is told when it is broken, and decides nothing
    #[arg(long, value_name = "KEY=VALUE", value_parser = limit)]
    warn: Vec<Limit>,
    /// What limits such as peak=+5% are relative to: a file of `memtrack baseline save`, or a capture
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write the baselines anew with what was measured, instead of judging limits that are relative to them
    #[arg(long)]
    update_baseline: bool,
    /// How to tell the result: text, json, markdown, github, gitlab, junit, sarif; with =FILE into a file. May be given
    /// several times. In GitHub Actions annotations and the step's summary come by themselves
    #[arg(long, value_name = "FORMAT[=FILE]", value_parser = results::wanted)]
    format: Vec<Wanted>,
    #[command(flatten)]
    counted: CountArgs,
    #[command(flatten)]
    suppressions: SuppressionArgs,
}

fn limit(text: &str) -> Result<Limit, String> {
    Limit::parse(text).map_err(|error| error.to_string())
}

impl BudgetArgs {
    /// Whether any of them says something about a judgement.
    pub(crate) fn is_used(&self) -> bool {
        !self.max.is_empty()
            || self.config.is_some()
            || self.suppressions.are_used()
            || !self.warn.is_empty()
            || self.baseline.is_some()
            || self.update_baseline
            || !self.format.is_empty()
            || self.counted.pymalloc() != Pymalloc::default()
    }

    /// Finds and reads everything that there is before a recording.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub(crate) fn load(&self) -> Result<Budgets, Error> {
        let (mut budget, folder) =
            match discover::find(self.config.clone().or_else(discover::of_environment).as_deref())? {
                Some(found) => (found.budget, found.folder),
                None => (Budget::default(), PathBuf::from(".")),
            };
        let beside = |path: &str| folder.join(path).to_string_lossy().into_owned();
        for rule in &mut budget.rules {
            rule.baseline = match (&self.baseline, &rule.baseline) {
                (Some(flag), _) => Some(flag.to_string_lossy().into_owned()),
                (None, Some(path)) => Some(beside(path)),
                (None, None) => None,
            };
        }
        self.add_flags(&mut budget);
        for rule in &budget.rules {
            let relative = rule.limits.iter().find(|limit| limit.allowed.is_relative());
            if let (Some(limit), None) = (relative, &rule.baseline) {
                let (name, text) = (limit.measure.name(), &limit.text);
                return Err(Error::usage(format!(
                    "{}: {name} = {text:?} needs a baseline: write `baseline = \"FILE\"`, or give --baseline FILE",
                    rule.origin
                )));
            }
        }
        let listed: Vec<_> = budget.suppressions.iter().map(|(path, origin)| (folder.join(path), origin)).collect();
        Ok(Budgets {
            suppressions: self.suppressions.load(&listed)?,
            default_baseline: self
                .baseline
                .clone()
                .or_else(|| budget.rules.iter().find_map(|rule| rule.baseline.clone()).map(PathBuf::from))
                .unwrap_or_else(|| folder.join(baselines::DEFAULT)),
            budget,
            pymalloc: self.counted.pymalloc(),
            update: self.update_baseline,
            wanted: self.format.clone(),
        })
    }

    fn add_flags(&self, budget: &mut Budget) {
        let base = self.baseline.as_ref().map(|path| path.to_string_lossy().into_owned());
        let inherited = budget.rules.iter().find(|rule| rule.name == rule::PROCESS).and_then(|r| r.baseline.clone());
        for (level, limits) in [(Level::Warn, &self.warn), (Level::Fail, &self.max)] {
            if limits.is_empty() {
                continue;
            }
            for rule in budget.rules.iter_mut().filter(|rule| rule.name == rule::PROCESS && rule.level == level) {
                rule.limits.retain(|limit| limits.iter().all(|flag| flag.measure != limit.measure));
            }
            let rule = Rule {
                name: rule::PROCESS.to_owned(),
                scope: Scope::default(),
                limits: limits.clone(),
                level,
                origin: Origin::Flag,
                baseline: base.clone().or_else(|| inherited.clone()),
            };
            budget.rules.insert(0, rule);
        }
    }
}

/// All that a recording is judged by.
#[derive(Debug)]
pub(crate) struct Budgets {
    budget: Budget,
    /// Those of files.
    suppressions: Suppressions,
    /// Where `baseline save` writes unless told.
    default_baseline: PathBuf,
    /// What counts of memory that is recorded twice.
    pymalloc: Pymalloc,
    update: bool,
    wanted: Vec<Wanted>,
}

impl Budgets {
    /// Reads all of the named captures, or the newest in this folder.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub(crate) fn read_all(&self, named: &[PathBuf]) -> Result<Vec<Capture>, Error> {
        captures::read_all(named, self.pymalloc)
    }

    /// Reads one, with what happened over time.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(&self, path: &Path) -> Result<Profile, Error> {
        captures::profile(path, self.pymalloc)
    }

    /// How often the program is to run, and how often before that without being recorded, as the budget file says.
    pub(crate) fn runs(&self) -> (Option<u32>, Option<u32>) {
        (self.budget.repeat, self.budget.warmup)
    }

    /// Whether limits mean a baseline's numbers.
    pub(crate) fn is_relative(&self) -> bool {
        self.budget.rules.iter().flat_map(|rule| &rule.limits).any(|limit| limit.allowed.is_relative())
    }

    /// Whether baselines are to be written anew.
    pub(crate) fn updates(&self) -> bool {
        self.update
    }

    /// Results are wanted in these formats, text when none is named.
    pub(crate) fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }

    /// The rules of files and flags, and those that the recorded program itself has.
    ///
    /// # Errors
    /// The program's are not understood.
    pub(crate) fn complete(&self, captures: &[Capture]) -> Result<Budget, Error> {
        let regions = captures.iter().flat_map(|capture| &capture.profile.regions);
        self.budget.with_declared(regions).map_err(|error| Error::usage(error.to_string()))
    }

    /// Judges recordings of one program by the [complete](Self::complete) budget; or writes their baselines anew first,
    /// where that is asked for.
    ///
    /// # Errors
    /// A baseline that cannot be read or written, or is none of this program; suppressions that the program carries and
    /// that are none.
    pub(crate) fn judge<'p, 'b>(&self, runs: &[Selection<'p>], budget: &'b Budget) -> Result<Verdict<'p, 'b>, Error> {
        let suppressions = self.suppressions_of(runs)?;
        let runs = recorded(runs, &suppressions)?;
        if self.update {
            baselines::save(self, &runs, None)?;
        }
        let baselines = self.baselines(&runs)?;
        budget::evaluate(&runs, budget, &baselines, WORST).map_err(|error| Error::usage(error.to_string()))
    }

    /// Measures recordings and writes their baselines: at `path`, or wherever the budget has them. Answers where.
    ///
    /// # Errors
    /// One cannot be written; suppressions that the program carries and that are none.
    pub(crate) fn save(&self, runs: &[Selection<'_>], path: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
        baselines::save(self, &recorded(runs, &self.suppressions_of(runs)?)?, path)
    }

    /// Those of files, and those that the programs of these recordings carry.
    fn suppressions_of(&self, runs: &[Selection<'_>]) -> Result<Suppressions, Error> {
        with_carried(self.suppressions.clone(), runs.iter().map(Selection::profile))
    }
}

fn recorded<'p, 's>(runs: &[Selection<'p>], suppressions: &'s Suppressions) -> Result<Vec<Run<'p, 's>>, Error> {
    let run = |selection: &Selection<'p>| {
        Ok(Run { selection: selection.clone(), suppressed: applied(suppressions, selection.profile())? })
    };
    runs.iter().map(run).collect()
}
