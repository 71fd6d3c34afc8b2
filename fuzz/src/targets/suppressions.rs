//! Suppression files.

use tracker_core::report::filter::Selection;
use tracker_core::report::rows::{Kind, Limits, Report};
use tracker_core::report::sketch::{Numbers, Sketch};
use tracker_core::report::suppress::Suppressions;

/// A file is taken or its bad line is named; what it sets apart and what is left are all there is.
pub fn suppressions(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut suppressions = Suppressions::builtin();
    if let Err(error) = suppressions.add_file("fuzz.supp", &text) {
        assert!((1..=text.lines().count()).contains(&error.line), "{error}");
    }
    let leak = Numbers { allocated: (3, 300), leaked: (2, 200), ..Numbers::default() };
    let profile = Sketch::new("./app")
        .row("malloc: parse_node@src/parser.c:12 parse_file@src/parser.c:40 main@src/main.c:9", leak)
        .row("malloc: ~operator_new!/lib/libstdc++.so.6 Cache::grow@cache/cache.cpp:77 worker start", leak)
        .row(
            "malloc: _IO_file_doallocate!/lib/x86_64-linux-gnu/libc.so.6 puts!/lib/x86_64-linux-gnu/libc.so.6 main",
            leak,
        )
        .row("malloc:", leak)
        .build();
    let Ok(applied) = suppressions.apply(&profile) else { return };
    let report = Report::new(Selection::whole(&profile), Kind::Leaks, &Limits::default(), &applied);
    let apart = report.suppressed_sum();
    assert_eq!((report.sum.bytes + apart.bytes, report.sum.blocks + apart.blocks), (800, 8));
}
