//! `memtrack verify`: is every block whole, and does the index say what the events say?

use std::process::ExitCode;

use tracker_core::report::verify::IndexState;

use crate::args::CaptureArg;
use crate::error::Error;
use crate::output::units::{bytes, counted};
use crate::{captures, output};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
}

/// Places of damage that are listed.
const LISTED: usize = 20;

/// Prints what was found. Exit code 1 when anything is wrong.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    let verified = captures::verify(&path)?;
    let mut text = format!("{}\n  {} whole\n", captures::name(&path), counted(verified.blocks, "block"));
    for (at, len) in verified.damaged.iter().take(LISTED) {
        text += &format!("  damaged: {} at {at:#x}\n", bytes(*len));
    }
    if let Some(more) = verified.damaged.len().checked_sub(LISTED).filter(|more| *more > 0) {
        text += &format!("  damaged: {} more\n", counted(more as u64, "place"));
    }
    text += &match &verified.index {
        IndexState::None => {
            "  no index that this memtrack reads; the next command that reads the capture adds one\n".to_owned()
        }
        IndexState::Equal => "  the index says what the events say\n".to_owned(),
        IndexState::Differs(parts) => format!("  the index differs from the events: {}\n", parts.join(", ")),
    };
    output::print(&text)?;
    Ok(ExitCode::from(u8::from(!verified.is_good())))
}
