//! Whether a capture is what it says: every block against its check sums, the index against a fresh replay.

use std::io;

use super::profile::Profile;
use crate::capture::payload::Loader;
use crate::capture::scan::{Piece, Scan};
use crate::capture::source::Source;

/// What is wrong, and what was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Blocks that are whole.
    pub blocks: u64,
    /// Offsets of bytes that are no block, or a damaged one, and how many.
    pub damaged: Vec<(u64, u64)>,
    pub index: IndexState,
}

/// How the index compares with a replay of what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexState {
    /// There is none that this version reads.
    None,
    /// Everything in it is as the replay says.
    Equal,
    /// These parts are not.
    Differs(Vec<&'static str>),
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.damaged.is_empty() && !matches!(self.index, IndexState::Differs(_))
    }
}

/// Reads every block: how many are whole, and where damage is.
pub(super) fn blocks(source: &impl Source) -> io::Result<(u64, Vec<(u64, u64)>)> {
    let mut scan = Scan::new(source, source.size()?);
    let (mut loader, mut payload) = (Loader::new()?, Vec::new());
    let (mut whole, mut damaged) = (0, Vec::new());
    while let Some(piece) = scan.next_piece()? {
        match piece {
            Piece::Block(found) if loader.load(source, &found.header, found.payload_at(), &mut payload)? => whole += 1,
            Piece::Block(found) => damaged.push((found.at, found.end() - found.at)),
            Piece::Damage(hole) | Piece::Tail(hole) => damaged.push((hole.at, hole.len)),
        }
    }
    Ok((whole, damaged))
}

/// The parts in which two profiles differ. Notes on symbols tell of the machine that wrote them, and may.
pub(super) fn differences(a: &Profile, b: &Profile) -> Vec<&'static str> {
    let description = |p: &Profile| (p.state, p.session.clone(), p.duration_ns, p.exit);
    [
        ("description", description(a) == description(b)),
        ("totals", a.totals == b.totals),
        ("processes", a.processes == b.processes),
        ("threads", a.threads == b.threads),
        ("modules", a.modules == b.modules),
        ("frames", a.frames == b.frames),
        ("stacks", a.stacks == b.stacks),
        ("rows", a.rows == b.rows),
        ("timeline", a.timeline == b.timeline),
        ("slices", a.slices == b.slices),
        ("regions", a.regions == b.regions),
        ("sizes", a.sizes == b.sizes),
        ("untracked programs", a.untracked == b.untracked),
        ("remarks", (&a.warnings, a.pymalloc) == (&b.warnings, b.pymalloc)),
    ]
    .into_iter()
    .filter_map(|(part, equal)| (!equal).then_some(part))
    .collect()
}
