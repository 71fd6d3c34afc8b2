//! The seam between addresses and names. What stands behind it opens files; this side never does.

/// Where names come from.
pub trait Symbols {
    /// The frames at the linked address of an instruction in a module (its position in the capture's list), innermost
    /// first, each inlined frame before the one it was inlined into. Empty: nothing is known.
    fn frames(&mut self, module: u32, address: u64) -> Vec<Named>;

    /// Name of the code that process `pid` made at run time at this address.
    fn made_at_run_time(&mut self, pid: u32, address: u64) -> Option<String>;

    /// Modules asked about whose frames lack names or lines, each with the reason for a person to read.
    fn notes(&self) -> Vec<(u32, String)>;
}

/// One frame with its names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
    /// Inlined into the next frame.
    pub inlined: bool,
}

/// Knows no names.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSymbols;

impl Symbols for NoSymbols {
    fn frames(&mut self, _module: u32, _address: u64) -> Vec<Named> {
        Vec::new()
    }

    fn made_at_run_time(&mut self, _pid: u32, _address: u64) -> Option<String> {
        None
    }

    fn notes(&self) -> Vec<(u32, String)> {
        Vec::new()
    }
}
