//! `memtrack serve` as a process: it goes with the one that started it.

mod common;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{Capture, MEMTRACK, record, scratch, victims};

fn recorded(name: &str) -> Capture {
    record(name, &[victims().join("known").to_str().expect("plain path"), "simple"])
}

/// A shell that has started a server, and ends when its input does.
struct Parent {
    shell: Child,
    input: ChildStdin,
    /// The server's id, then what it prints. Ends with the last of the two.
    output: BufReader<std::process::ChildStdout>,
    server: String,
}

impl Parent {
    fn of(capture: &Capture, suppressions: &Path) -> Self {
        let script = r#""$0" serve --suppressions "$2" "$1" 2>&1 & echo $!; read line"#;
        let mut command = Command::new("sh");
        command.args(["-c", script, MEMTRACK]).arg(&capture.path).arg(suppressions);
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let (input, output) = (shell.stdin.take().expect("piped"), shell.stdout.take().expect("piped"));
        let mut this = Self { shell, input, output: BufReader::new(output), server: String::new() };
        this.server = this.line();
        this
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn end(mut self) -> Orphan {
        drop(self.input);
        assert!(self.shell.wait().is_ok_and(|status| !status.success()), "it has read nothing");
        Orphan { output: self.output, server: self.server }
    }
}

/// The server whose parent is gone.
struct Orphan {
    output: BufReader<std::process::ChildStdout>,
    server: String,
}

impl Orphan {
    /// What it prints until it ends, which it must.
    fn rest(mut self) -> String {
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let mut rest = String::new();
            let read = self.output.read_to_string(&mut rest);
            ended.send(read.map(|_| rest))
        });
        let rest = end.recv_timeout(Duration::from_secs(60));
        if rest.is_err() {
            let _ = Command::new("kill").arg(&self.server).status();
        }
        rest.expect("it ends").expect("text")
    }
}

#[test]
fn it_ends_with_its_parent() {
    let mut parent = Parent::of(&recorded("serve-parent"), Path::new("/dev/null"));
    let invitation = parent.line();
    assert!(invitation.starts_with("Open http://127.0.0.1:"), "{invitation}");
    parent.end().rest();
}

/// The parent ends after the start, and before anything is served: while the capture is read, as it were.
#[test]
fn it_ends_with_a_parent_that_ended_earlier() {
    let pipe = scratch("serve-early").join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let parent = Parent::of(&recorded("serve-early"), &pipe);
    // Opens when the server does, which has read the capture then.
    let mut suppressions = File::create(&pipe).expect("a pipe");
    let orphan = parent.end();
    suppressions.write_all(b"leak:nothing\n").expect("the server reads");
    drop(suppressions);
    let rest = orphan.rest();
    assert!(rest.starts_with("Open http://127.0.0.1:"), "{rest}");
}
