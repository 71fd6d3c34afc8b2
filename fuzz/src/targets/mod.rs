//! One function for each kind of hostile input.

mod blocks;
mod index;
mod meta;
mod perf_map;
mod records;
mod replay;
mod requests;
mod suppressions;
mod symbols;
mod views;

pub use blocks::blocks;
pub use index::index;
pub use meta::meta;
pub use perf_map::perf_map;
pub use records::records;
pub use replay::replay;
pub use requests::{request_seeds, requests};
pub use suppressions::suppressions;
pub use symbols::symbols;
pub use views::views;
