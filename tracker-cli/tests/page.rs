//! The page in a real browser says what `--json` says.

mod common;

use std::path::Path;
use std::process::Command;

use common::{read, record, scratch, victims};

#[test]
fn the_tables_of_the_page_are_those_of_json() {
    let known = victims().join("known");
    let known = known.to_str().expect("plain path");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/tests/browser/numbers.js");
    for mode in ["threads", "fork"] {
        let name = format!("page-{mode}");
        let capture = record(&name, &[known, mode]);
        let path = capture.path.to_str().expect("plain path");
        let folder = scratch(&name);
        let (page, tables) = (folder.join("page.html"), folder.join("tables.json"));
        read(&["flamegraph", "-f", "-o", page.to_str().expect("plain path"), path]);
        let mut all = Vec::new();
        for metric in ["peak", "leaked", "allocated", "allocations", "temporary"] {
            for by in ["function", "module", "file", "thread", "process"] {
                all.push(read(&["table", "--json", "--metric", metric, "--by", by, path]));
            }
        }
        std::fs::write(&tables, format!("[{}]", all.join(","))).expect("writable");
        let compared =
            Command::new("node").arg(&script).arg(format!("file://{}", page.display())).arg(&tables).output();
        let compared = compared.expect("the page is tested with node 20 or newer: apt-get install nodejs");
        let output = String::from_utf8_lossy(&compared.stdout);
        assert!(compared.status.success(), "{mode}: {output}{}", String::from_utf8_lossy(&compared.stderr));
        assert!(output.contains("rows compared"), "{output}");
    }
}
