//! `sudo memtrack run` and `memtrack run sudo`, with a real sudo whose rules are those of a mount namespace of the test's
//! own. Only root can make that one.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use common::{Ended, MEMTRACK, open, run, scratch, victims};

/// `nobody`, who may become root here. An account that sudo can look up.
const CALLER: u32 = 65534;

const RULES: &str = "Defaults !requiretty\nDefaults !pam_session\nDefaults env_keep += \"LD_LIBRARY_PATH\"\n\
                     ALL ALL=(ALL:ALL) NOPASSWD: ALL\n";

/// Runs `command` as the caller.
fn as_caller(folder: &Path, command: &str) -> Ended {
    let script = format!(
        "mount --bind rules /etc/sudoers || exit 50
         exec setpriv --reuid {CALLER} --regid {CALLER} --clear-groups sh -c '{command}'"
    );
    run(Command::new("unshare").args(["-m", "sh", "-c", &script]).current_dir(folder))
}

#[test]
fn captures_belong_to_who_called() {
    if !fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0) {
        println!("not root: not tried");
        return;
    }
    assert!(Path::new("/usr/bin/sudo").exists(), "apt-get install sudo");
    let folder = scratch("sudo");
    fs::write(folder.join("rules"), RULES).expect("ours");
    fs::set_permissions(folder.join("rules"), fs::Permissions::from_mode(0o440)).expect("ours");
    let out = folder.join("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir(&out).expect("ours");
    chown(&out, Some(CALLER), Some(CALLER)).expect("root");
    let known = victims().join("known");
    let known = known.to_str().expect("plain path");

    let plain = as_caller(&folder, &format!("sudo -n {known} simple; echo $?"));
    assert!(plain.stdout.ends_with("0\n") && plain.stderr.is_empty(), "{plain:?}");
    let inside = as_caller(&folder, &format!("sudo -n {MEMTRACK} run -q -o out/inside.mtk {known} simple; echo $?"));
    assert_eq!(inside, plain);
    let metadata = fs::metadata(out.join("inside.mtk")).expect("it was written");
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (CALLER, CALLER, 0o600));
    let expected = common::record("sudo-plain", &[known, "simple"]);
    for key in ["allocations", "frees", "leaked_bytes"] {
        assert_eq!(open(out.join("inside.mtk")).number(None, key), expected.number(None, key), "{key}");
    }

    // sudo itself is another user's program: it runs unrecorded, and so does what it starts.
    let outside = as_caller(&folder, &format!("{MEMTRACK} run -q -o out/outside.mtk sudo -n {known} simple; echo $?"));
    assert_eq!(outside, plain);
    let capture = open(out.join("outside.mtk"));
    assert_eq!(capture.number(None, "allocations"), 0);
    assert!(capture.summary["untracked"].to_string().contains("sudo"), "{}", capture.summary);
}
