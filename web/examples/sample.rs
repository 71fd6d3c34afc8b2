//! Writes or serves the page for a program that never ran:
//! `cargo run -p web --example sample -- [several|many|million|huge|small|hostile] OUT.html`, or `serve` for OUT.html.

mod synthetic;

use std::fs::File;
use std::io::BufWriter;
use std::process::ExitCode;

use tracker_core::report::profile::Profile;
use tracker_core::report::suppress::Applied;
use web::{ServeOptions, export_html, serve};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, out] = arguments.as_slice() else {
        eprintln!("usage: sample several|many|million|huge|small|hostile OUT.html|serve");
        return ExitCode::from(2);
    };
    let profile = match kind.as_str() {
        "several" => synthetic::several_processes(),
        "many" => synthetic::many_nodes(300_000),
        "million" => synthetic::many_nodes(1_000_000),
        "huge" => synthetic::many_nodes(4_000_000),
        "small" => synthetic::small(),
        "hostile" => synthetic::hostile(),
        other => {
            eprintln!("there is no sample {other}: several, many, million, huge, small, hostile");
            return ExitCode::from(2);
        }
    };
    match write(profile, kind, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{out}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(profile: Profile, kind: &str, out: &str) -> std::io::Result<()> {
    let name = format!("memtrack.{kind}.48211.mtk");
    if out == "serve" {
        return serve(vec![(name, Box::new(move || Ok(profile.clone())))], ServeOptions::default());
    }
    export_html(&profile, &name, &Applied::builtin(&profile), &mut BufWriter::new(File::create(out)?))
}
