//! The page in a real browser, and its scripts under node. Both fail with what to install when something is missing.

#[path = "../examples/synthetic/mod.rs"]
mod synthetic;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tracker_core::report::diff::Diff;
use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Metric;
use tracker_core::report::profile::{Profile, State};
use tracker_core::report::suppress::Applied;
use web::{ServeOptions, Server, SideNames, Source, export_diff_html, export_html};

/// The tests' own folder, which node finds `package.json` from.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn node(arguments: &[&str], environment: &[(&str, String)]) {
    let run = Command::new("node")
        .args(arguments)
        .current_dir(root())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .expect("the page's scripts are tested with node 20 or newer: apt-get install nodejs");
    assert!(
        run.status.success(),
        "node {}\n{}{}",
        arguments.join(" "),
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
}

/// Writes the page of `profile` and gives its address.
fn export(profile: &Profile, name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.html"));
    let name = format!("memtrack.{name}.48211.mtk");
    export_html(profile, &name, &Applied::builtin(profile), &mut BufWriter::new(File::create(&path).unwrap())).unwrap();
    format!("file://{}", path.display())
}

/// Writes the page of a change: `parse` holds 20 bytes more from one of its callers, what `operator new` gave is gone.
fn export_diff() -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("diff.html");
    let (before, mut after) = (synthetic::small(), synthetic::small());
    let more = after.rows.iter_mut().find(|row| row.metrics.peak_bytes == 50).unwrap();
    more.metrics.peak_bytes += 20;
    let gone = after.rows.iter_mut().find(|row| row.metrics.peak_bytes == 40).unwrap();
    gone.metrics.peak_bytes = 0;
    let whole = |profile| vec![Selection::whole(profile)];
    let diff = Diff::new(whole(&before), whole(&after), Metric::Peak);
    let names = SideNames { before: vec!["</script><b>old.mtk".into()], after: vec!["new.mtk".into()] };
    export_diff_html(&diff, &names, &mut BufWriter::new(File::create(&path).unwrap())).unwrap();
    format!("file://{}", path.display())
}

/// Serves until the test's process ends.
fn served(source: impl Source) -> String {
    served_all(vec![("memtrack.served.48211.mtk".into(), Box::new(source))])
}

fn served_all(captures: Vec<(String, Box<dyn Source>)>) -> String {
    let server = Server::bind(captures, ServeOptions::default()).unwrap();
    let url = server.url();
    thread::spawn(move || server.run().unwrap());
    url
}

/// All frames at one line of a file that is there.
fn with_source() -> Profile {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page.c");
    std::fs::write(&path, "int main(void) {\n\tif (1 < 2)\n\t\treturn <b>parse();\n}\n").unwrap();
    let mut profile = synthetic::small();
    profile.session.start_unix_ns = u64::MAX;
    for frame in &mut profile.frames {
        (frame.file, frame.line) = (path.to_str().map(str::to_owned), Some(3));
    }
    profile
}

#[test]
fn scripts() {
    node(&["--test", "tests/js/"], &[]);
}

#[test]
fn page() {
    let mut reads = 0;
    let running = served(move || {
        reads += 1;
        let mut profile = synthetic::small();
        profile.state = if reads < 3 { State::Running } else { State::Complete };
        // New names move the numbers of all others.
        profile.processes[0].exe = format!("/opt/app{reads}");
        profile.duration_ns += reads;
        Ok(profile)
    });
    let mut environment = vec![
        ("PAGE_SEVERAL", export(&synthetic::several_processes(), "several")),
        ("PAGE_MANY", export(&synthetic::many_nodes(300_000), "many")),
        ("PAGE_SMALL", export(&synthetic::small(), "small")),
        ("PAGE_HOSTILE", export(&synthetic::hostile(), "hostile")),
        ("PAGE_DIFF", export_diff()),
        ("PAGE_SERVED", served(|| Ok(synthetic::small()))),
        ("PAGE_SOURCE", served(|| Ok(with_source()))),
        ("PAGE_RUNNING", running),
        (
            "PAGE_TWO",
            served_all(vec![
                ("one.mtk".into(), Box::new(|| Ok(synthetic::small()))),
                ("<b>two.mtk".into(), Box::new(|| Ok(synthetic::hostile()))),
            ]),
        ),
    ];
    // A folder for pictures of what the tests saw.
    if let Ok(folder) = std::env::var("PAGE_SHOTS") {
        environment.push(("PAGE_SHOTS", folder));
    }
    node(&["--test", "tests/browser/page.test.js"], &environment);
}
