//! Profiles in the file formats of other tools: one file per format, each behind [`Exporter`].

use std::fmt::Debug;
use std::io;

use crate::report::filter::Selection;
use crate::report::metric::Metric;

mod collapsed;
mod svg;

/// Writes one format.
pub trait Exporter: Debug + Sync {
    /// The name a user types.
    fn name(&self) -> &'static str;

    /// Writes one metric of a selection. Nothing is left out but rows without a value and, in pictures, what could not be seen.
    ///
    /// # Errors
    /// Those of `out`.
    fn export(&self, selection: &Selection<'_>, metric: Metric, out: &mut dyn io::Write) -> io::Result<()>;
}

/// Every format there is. A new one is one file and one line here.
pub const ALL: [&dyn Exporter; 2] = [&collapsed::Collapsed, &svg::Svg];
