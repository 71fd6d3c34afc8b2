//! Keys that a user types reach the program as they would without us, and what it does in answer reaches the shell.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{Ended, MEMTRACK, run, scratch};

const PROGRAM: &str = r#"case "$1" in
trap) trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done;;
hup) trap 'exit 7' HUP; echo ready; while :; do sleep 0.02; done;;
read) echo ready; read line; echo "got $line"; exit 6;;
*) echo ready; while :; do sleep 0.02; done;;
esac
"#;

fn session(folder: &Path, case: &str, job: &str) -> Ended {
    let path = folder.join("job");
    fs::write(&path, format!("#!/bin/sh\nexec {job} ./program \"$@\"\n")).expect("ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/victims/terminal.py");
    run(Command::new("python3").arg(script).arg(case).current_dir(folder))
}

#[test]
fn keys_reach_the_program() {
    let folder = scratch("terminal");
    let program = folder.join("program");
    fs::write(&program, format!("#!/bin/sh\nulimit -c 0\n{PROGRAM}")).expect("ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("ours");
    for (case, status) in
        [("interrupt", "5"), ("interrupt_deadly", "-2"), ("quit_deadly", "-3"), ("suspend", "3"), ("hang_up", "7")]
    {
        let plain = session(&folder, case, "");
        assert!(plain.stdout.starts_with(&format!("status {status}\n")), "{case}: {plain:?}");
        let recorded = session(&folder, case, &format!("{MEMTRACK} run -q -f -o {case}.mtk --"));
        assert_eq!(recorded, plain, "{case}");
    }
}
