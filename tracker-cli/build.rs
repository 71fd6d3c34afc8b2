//! Builds the library that goes into the target and makes it available to `src/preload.rs` as bytes.
//!
//! `cargo install` never installs a cdylib, so the library travels inside the binary: a nested cargo builds it alone
//! (its `no_std` and its exported `malloc` must not meet the rest of the workspace) into a folder of its own.
//!
//! - `MEMTRACK_PRELOAD_SO=FILE` embeds this file instead of building one.
//! - `MEMTRACK_PRELOAD_PATH=FILE` embeds nothing; the library is expected there at run time (distributions).

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the library is built from, relative to this package: absolute paths would make each checkout rebuild.
const SOURCES: [&str; 7] = [
    "../tracker-preload/src",
    "../tracker-preload/Cargo.toml",
    "../tracker-core/src/format",
    "../tracker-core/src/lib.rs",
    "../tracker-core/Cargo.toml",
    "../Cargo.toml",
    "../Cargo.lock",
];

/// Libraries that rustc and the libc crate name on every link line. They are found here as empty linker scripts first,
/// so the library needs nothing: no DT_NEEDED entry, no symbol version. What it uses is in the program's own libc.
const EMPTY_LIBRARIES: [&str; 7] = ["c", "m", "rt", "pthread", "util", "dl", "gcc_s"];

const LINK_ARGUMENTS: [&str; 7] = [
    "-nostartfiles",
    "-nodefaultlibs",
    "-Wl,-z,initfirst",
    "-Wl,-z,nodelete",
    "-Wl,-soname,libmemtrack_preload.so",
    "-Wl,--hash-style=both",
    "-Wl,--unresolved-symbols=ignore-all",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MEMTRACK_PRELOAD_SO");
    println!("cargo::rerun-if-env-changed=MEMTRACK_PRELOAD_PATH");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));

    let generated = if let Some(path) = env::var_os("MEMTRACK_PRELOAD_PATH") {
        format!("Library::Installed({:?})", PathBuf::from(path))
    } else {
        let library = match env::var_os("MEMTRACK_PRELOAD_SO") {
            Some(file) => {
                let file = fs::canonicalize(&file).expect("MEMTRACK_PRELOAD_SO names the library to embed");
                println!("cargo::rerun-if-changed={}", file.display());
                file
            }
            None => build(&out),
        };
        let bytes = fs::read(&library).expect("the library was built");
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        format!("Library::Embedded {{ bytes: include_bytes!({library:?}), hash: \"{:016x}\" }}", hasher.finish())
    };
    fs::write(out.join("preload.rs"), generated).expect("OUT_DIR is writable");
}

fn build(out: &Path) -> PathBuf {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let empty = out.join("empty-libraries");
    fs::create_dir_all(&empty).expect("OUT_DIR is writable");
    for library in EMPTY_LIBRARIES {
        fs::write(empty.join(format!("lib{library}.so")), "/* Nothing. */\n").expect("OUT_DIR is writable");
    }

    let target = env::var("TARGET").expect("cargo sets TARGET");
    let target_dir = out.join("preload");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .args(["rustc", "--manifest-path", "../tracker-preload/Cargo.toml", "-p", "tracker-preload", "--lib"])
        .args(["--crate-type", "cdylib", "--profile", "preload", "--features", "interpose"])
        .args(["--target", &target, "--target-dir"])
        .arg(&target_dir)
        // Both are needed: with a build-dir in the user's configuration the nested cargo would wait for the lock that
        // the outer one holds.
        .env("CARGO_BUILD_BUILD_DIR", &target_dir)
        // Clippy, coverage, sanitizers and the like are meant for the outer build. The empty list also outranks
        // rustflags from a configuration file.
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR")
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .args(["--", "-C"])
        .arg(format!("link-arg=-L{}", empty.display()));
    for argument in LINK_ARGUMENTS {
        cargo.args(["-C", &format!("link-arg={argument}")]);
    }
    let status = cargo.status().expect("cargo can be started");
    assert!(status.success(), "building the preload library failed: {cargo:?}");
    target_dir.join(target).join("preload").join("libtracker_preload.so")
}
