//! The page's skeleton: markup without a single name from a capture.
//!
//! Scripts import each other by bare names (`#units`); an import map gives these names addresses, so served and
//! exported pages run the same files.

use askama::Template;
use serde_json::{Map, Value};

use crate::assets::Module;

/// What the template needs.
#[derive(Debug, Template)]
#[template(path = "page.html")]
pub(crate) struct Page<'a> {
    pub(crate) body: Body,
    /// Lets the page's own inline elements run, and nothing else.
    pub(crate) nonce: &'a str,
    /// A policy for pages that no server sends headers for.
    pub(crate) policy: Option<String>,
    pub(crate) style: Style<'a>,
    /// JSON, safe inside a script element.
    pub(crate) import_map: String,
    /// JSON, safe inside a script element; absent when the page must fetch.
    pub(crate) data: Option<String>,
}

/// What the page is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// One capture.
    Report,
    /// What changed between two sides.
    Diff,
}

/// Where the style sheet is.
#[derive(Debug)]
pub(crate) enum Style<'a> {
    Inline(&'a str),
    Linked(String),
}

/// The import map that gives each module the address `address` says.
pub(crate) fn import_map(modules: &[Module], address: impl Fn(&Module) -> String) -> String {
    let imports: Map<String, Value> =
        modules.iter().map(|module| (format!("#{}", module.name), Value::String(address(module)))).collect();
    let map = Value::Object(Map::from_iter([("imports".to_owned(), Value::Object(imports))]));
    // A map of strings always serializes.
    crate::script_safe::to_vec(&map).ok().and_then(|json| String::from_utf8(json).ok()).unwrap_or_default()
}
