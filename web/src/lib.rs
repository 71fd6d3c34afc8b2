//! The memory report as a page: served on this machine, or written as one file.
//!
//! ```text
//! Profile → columns → page (askama) + assets → export: one file
//!                                            → serve: axum on loopback, behind one guard
//! ```
//!
//! Both are the same page and the same modules; only where the columns come from differs. Rust aggregates, the page's
//! scripts lay out and draw. Nothing here reads a capture, and no name from a capture ever becomes markup: the page
//! gets them as JSON and sets them as text.
#![forbid(unsafe_code)]

mod assets;
pub mod columns;
mod export;
pub mod kinds;
mod page;
mod script_safe;
pub mod serve;

pub use columns::diff::SideNames;
pub use export::{export_diff_html, export_html};
pub use serve::{ServeOptions, Server, Source, serve};
