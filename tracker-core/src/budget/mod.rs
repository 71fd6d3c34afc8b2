//! Memory budgets: limits on a recording's numbers, for use in CI.
//!
//! ```text
//! budget file, --max → rule (scope, limits, level)      capture → subjects of the scope → number
//!                        └───────────── evaluate → Verdict ─────────────┘        baseline ↗
//! ```
//!
//! Everything here is pure: files are found, read and written by the command line.

pub mod baseline;
mod declared;
pub mod evaluate;
pub mod file;
pub mod fingerprint;
mod growth;
pub mod limit;
pub mod matcher;
pub mod measure;
pub mod render;
pub mod rule;
mod subject;
mod suggest;

pub use baseline::Baseline;
pub use declared::DeclaredError;
pub use evaluate::{Baselines, Missing, Outcome, Run, Verdict, evaluate};
pub use limit::Limit;
pub use measure::{Measure, Unit};
pub use rule::{Budget, Level, Origin, Rule, Scope};
