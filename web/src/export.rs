//! The page as one file: style, modules and data inside, nothing fetched.

use std::io;

use askama::Template as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tracker_core::report::diff::Diff;
use tracker_core::report::profile::Profile;
use tracker_core::report::suppress::Applied;

use crate::assets::{MODULES, STYLE, content_hash};
use crate::columns::diff::{SideNames, diff_columns};
use crate::page::{Body, Page, Style, import_map};
use crate::{columns, script_safe};

/// The data element's content: compressed columns.
#[derive(Serialize)]
struct Embedded {
    encoding: &'static str,
    /// Length of the columns' JSON in bytes.
    length: usize,
    data: String,
}

/// Trades a tenth of the size for a third of the time against the highest level.
const COMPRESSION_LEVEL: u8 = 6;

/// Writes `profile` as a self-contained page that opens from `file:` without any network. `name` is what the page calls the
/// capture, usually its file's name; leaks that `suppressed` sets apart are marked.
///
/// # Errors
/// Those of `out`.
pub fn export_html(
    profile: &Profile,
    name: &str,
    suppressed: &Applied<'_>,
    out: &mut impl io::Write,
) -> io::Result<()> {
    write_page(Body::Report, &columns::columns(profile, name, suppressed), out)
}

/// The same of what changed between two sides.
///
/// # Errors
/// Those of `out`.
pub fn export_diff_html(diff: &Diff<'_>, names: &SideNames, out: &mut impl io::Write) -> io::Result<()> {
    write_page(Body::Diff, &diff_columns(diff, names), out)
}

fn write_page(body: Body, columns: &impl Serialize, out: &mut impl io::Write) -> io::Result<()> {
    let json = script_safe::to_vec(columns)?;
    let compressed = miniz_oxide::deflate::compress_to_vec_zlib(&json, COMPRESSION_LEVEL);
    let embedded = Embedded { encoding: "deflate+base64", length: json.len(), data: STANDARD.encode(compressed) };
    let data = String::from_utf8(script_safe::to_vec(&embedded)?).map_err(io::Error::other)?;

    // Nothing in the page's markup comes from the capture, so the nonce need not be secret: it only keeps scripts
    // from anywhere else out. Modules named by the import map inherit it from the script that imports them.
    let nonce = content_hash(STYLE);
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; base-uri 'none'; \
         form-action 'none'"
    );
    let page = Page {
        body,
        nonce: &nonce,
        policy: Some(policy),
        style: Style::Inline(STYLE),
        import_map: import_map(&MODULES, |module| {
            format!("data:text/javascript;base64,{}", STANDARD.encode(&module.source))
        }),
        data: Some(data),
    };
    page.write_into(out)?;
    out.flush()
}
