//! Regions that programs mark, and the examples in which tests are limited by them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ended, MEMTRACK, compile, record, record_with, run, scratch};
use serde_json::Value;

/// A number of a region in a summary.
fn number(summary: &Value, region: &str, key: &str) -> u64 {
    let regions = summary["regions"].as_array().expect("a list");
    let found = regions.iter().find(|row| row["name"] == region).unwrap_or_else(|| panic!("{region} in {regions:?}"));
    found[key].as_u64().unwrap_or_else(|| panic!("{key} in {found}"))
}

#[test]
fn regions_count_what_happens_in_them() {
    let folder = scratch("regions");
    let victim = folder.join("regions");
    compile("gcc", "regions.c", &["-O1", "-fno-builtin", "-lpthread", "-ldl"], &victim);
    let victim = victim.to_str().expect("plain path");
    for flags in [&[][..], &["--order=exact"]] {
        let capture = record_with("regions", flags, &[victim]);
        for (region, numbers) in [
            // entered, allocations, bytes, peak, leaked, temporary
            ("inner", [2, 103, 4000, 1000, 1000, 3]),
            ("worker", [1, 50, 10_000, 200, 0, 50]),
            ("main", [1, 70, 21_000, 300, 0, 70]),
            ("child", [1, 1, 77, 77, 77, 0]),
        ] {
            let keys =
                ["entered", "allocations", "allocated_bytes", "peak_bytes", "leaked_bytes", "temporary_allocations"];
            let found = keys.map(|key| number(&capture.summary, region, key));
            assert_eq!(found, numbers, "{region} {flags:?}");
        }
        // The thread's own memory comes on top.
        assert!(number(&capture.summary, "outer", "allocations") >= 100 + 3 + 50 + 70);
        assert!(number(&capture.summary, "outer", "leaked_bytes") >= 500);
    }
    let capture = record("regions", &[victim]);
    one_region_is_shown_alone(&capture.path);
    let check = |flags: &[&str]| {
        let folder = capture.path.parent().expect("a folder");
        run(Command::new(MEMTRACK).arg("check").args(flags).arg(&capture.path).current_dir(folder))
    };
    // The program's own limits, and those of a budget file for the same regions.
    let own = check(&[]);
    assert_eq!(own.status, "exit status: 1", "{own:?}");
    for part in ["outer: peak", "outer, per stack: leaked", "FAILED by 400 B", "in outer", "main "] {
        assert!(own.stdout.contains(part), "{part} in {}", own.stdout);
    }
    let budget = scratch("regions-budget").join("memtrack.toml");
    fs::write(&budget, "[[budget.rule]]\ntest = \"^inner$\"\nallocs = 102\nleaked = 1000\n").expect("writable");
    let named = check(&["--config", budget.to_str().expect("plain path")]);
    assert!(named.stdout.contains("103  of 102") && named.stdout.contains("in inner"), "{}", named.stdout);
    let sealed = run(Command::new(MEMTRACK).arg("verify").arg(&capture.path));
    assert!(sealed.stdout.contains("the index says what the events say"), "{sealed:?}");
}

/// `--region` shows the numbers that the summary has of it, and says which regions there are.
fn one_region_is_shown_alone(capture: &Path) {
    let memtrack = |command: &str, region: &str| {
        run(Command::new(MEMTRACK).args(command.split(' ')).args(["--region", region]).arg(capture))
    };
    for (command, numbers) in [
        ("report --allocations", "Allocated 3.9 KiB in 103 allocations"),
        ("report --leaks", "Live when it ended: 1000 B in 100 blocks"),
        ("report --peak", "Peak 1000 B in 100 blocks from 1 stack\n"),
        ("summary", "3.9 KiB  103 allocations of"),
        ("tree --metric allocations", "103"),
        ("table --metric allocated", "3.9 KiB"),
        ("stats", "103"),
        ("check --max allocs=103 --max largest=1000", "1000 B  of 1000 B   ok"),
    ] {
        let told = memtrack(command, "inner");
        assert!(told.stdout.contains(numbers), "{numbers} in {command}: {told:?}");
        assert!(
            command.starts_with("check") || told.stdout.contains("only region inner (entered 2 times)"),
            "{told:?}"
        );
    }
    let folded = memtrack("export --format collapsed --metric allocated", "inner").stdout;
    let values = folded.lines().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    assert_eq!(values.sum::<u64>(), 4000, "{folded}");
    for (command, region, message) in [
        ("report", "Inner", "no region \"Inner\": there are \"child\", \"inner\", \"main\", \"outer\", \"worker\""),
        ("report --from 0s", "inner", "a region is a part of the time: leave --at, --from and --to out"),
        ("export --format ndjson", "inner", "only a region's sums are kept: leave --region out"),
    ] {
        let refused = memtrack(command, region);
        assert_eq!(refused.status, "exit status: 2", "{refused:?}");
        assert!(refused.stderr.contains(message), "{message} in {refused:?}");
    }
}

/// A copy of an example, beside a copy of what it needs.
fn example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let folder = scratch(&format!("example-{name}"));
    let copied = run(Command::new("cp").arg("-r").arg(root.join("examples").join(name)).arg(&folder));
    assert_eq!(copied.status, "exit status: 0", "{copied:?}");
    folder.join(name)
}

/// The root of the sources.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// As it is, the example keeps its budget, as often as it is run; with one allocation more it fails, by so much and at this
/// line.
#[track_caller]
fn keeps_and_breaks(times: u32, test: impl Fn() -> Command, failed_by: &str, line: &str) {
    let go = |broken: bool| -> Ended {
        let mut command = test();
        for variable in ["MEMTRACK_CONFIG", "EXAMPLE_BREAK"].into_iter().chain(common::CI) {
            command.env_remove(variable);
        }
        if broken {
            command.env("EXAMPLE_BREAK", "1");
        }
        run(&mut command)
    };
    for _ in 0..times {
        let kept = go(false);
        assert_eq!(kept.status, "exit status: 0", "{kept:?}");
    }
    for _ in 0..times {
        let broken = go(true);
        assert_ne!(broken.status, "exit status: 0", "{broken:?}");
        let told = format!("{}{}", broken.stdout, broken.stderr);
        assert!(told.contains(&format!("FAILED by {failed_by}\n")), "{failed_by} in {told}");
        assert!(told.contains(line), "{line} in {told}");
    }
}

#[test]
fn a_rust_project() {
    let folder = example("rust");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("there");
    // What it is in the sources, as seen from the copy; without the workspace that the original belongs to.
    let region = folder.join("memtrack-region");
    fs::create_dir_all(region.join("src")).expect("writable");
    fs::copy(root().join("regions/rust/src/lib.rs"), region.join("src/lib.rs")).expect("copied");
    fs::write(
        region.join("Cargo.toml"),
        "[package]\nname = \"memtrack-region\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    )
    .expect("writable");
    fs::write(folder.join("Cargo.toml"), manifest.replace("../../regions/rust", "memtrack-region")).expect("writable");
    keeps_and_breaks(
        3,
        || {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["test", "--offline", "--test", "memory"]).current_dir(&folder);
            let runner = format!("{MEMTRACK} run --check -q --");
            cargo.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
            for variable in
                ["CARGO_TARGET_DIR", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"]
            {
                cargo.env_remove(variable);
            }
            cargo
        },
        "1",
        "src/lib.rs:15",
    );
}

#[test]
fn a_c_project() {
    let folder = example("c");
    let build = folder.join("build");
    let launcher = format!("{MEMTRACK};run;--check;-q;--");
    let configured = run(Command::new("cmake")
        .arg("-S")
        .arg(&folder)
        .arg("-B")
        .arg(&build)
        .arg(format!("-DMEMTRACK_REGIONS={}", root().join("regions").display()))
        .arg(format!("-DCMAKE_TEST_LAUNCHER={launcher}"))
        .arg(format!("-DCMAKE_CROSSCOMPILING_EMULATOR={launcher}")));
    assert_eq!(configured.status, "exit status: 0", "{configured:?}");
    let built = run(Command::new("cmake").arg("--build").arg(&build));
    assert_eq!(built.status, "exit status: 0", "{built:?}");
    keeps_and_breaks(
        3,
        || {
            let mut ctest = Command::new("ctest");
            ctest.args(["--output-on-failure"]).current_dir(&build);
            ctest
        },
        "1",
        "inventory.c:17",
    );
}

#[test]
fn a_python_project() {
    let folder = example("python");
    keeps_and_breaks(
        // Pytest itself is most of what is recorded.
        1,
        || {
            let mut pytest = Command::new(MEMTRACK);
            pytest.args([
                "run",
                "--check",
                "-q",
                "--",
                "/usr/bin/python3",
                "-m",
                "pytest",
                "-q",
                "-p",
                "pytest_memtrack",
            ]);
            pytest.current_dir(&folder).env("PYTHONPATH", root().join("regions/python"));
            pytest.env("PYTHONMALLOC", "malloc").env("PYTHONDONTWRITEBYTECODE", "1");
            pytest
        },
        "512.0 KiB",
        "inventory.py:13",
    );
}

/// Installed, the plugin loads by itself; named on the command line, too, it loads once.
#[test]
fn the_plugin_is_loaded_once() {
    let project = fs::read_to_string(root().join("regions/python/pyproject.toml")).expect("there");
    let (_, section) = project.split_once("[project.entry-points.pytest11]\n").expect("it has a plugin");
    let section = section.split("\n[").next().unwrap_or_default();
    let installed = scratch("regions-installed");
    let about = installed.join("memtrack_region-0.1.0.dist-info");
    fs::create_dir_all(&about).expect("writable");
    fs::write(about.join("METADATA"), "Metadata-Version: 2.1\nName: memtrack-region\nVersion: 0.1.0\n")
        .expect("writable");
    fs::write(about.join("entry_points.txt"), format!("[pytest11]\n{}\n", section.replace('"', ""))).expect("writable");
    let path = format!("{}:{}", installed.display(), root().join("regions/python").display());
    for named in [&[][..], &["-p", "pytest_memtrack"]] {
        let mut pytest = Command::new("/usr/bin/python3");
        pytest.args(["-m", "pytest", "--markers", "-p", "no:cacheprovider"]).args(named).current_dir(&installed);
        let told = run(pytest.env("PYTHONPATH", &path).env("PYTHONDONTWRITEBYTECODE", "1"));
        assert_eq!(told.status, "exit status: 0", "{told:?}");
        assert_eq!(told.stdout.matches("@pytest.mark.limit_leaks").count(), 1, "{told:?}");
    }
}
