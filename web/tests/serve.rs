//! The server, spoken to over raw sockets: who is answered, and what every answer says.

#[path = "../examples/synthetic/mod.rs"]
#[allow(dead_code, reason = "the example's other profiles are not needed here")]
mod synthetic;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tracker_core::report::profile::State;
use web::{ServeOptions, Server, Source};

/// A running server. It ends with the test's process.
struct Running {
    address: SocketAddr,
    token: String,
}

fn named(source: impl Source) -> (String, Box<dyn Source>) {
    ("small.mtk".into(), Box::new(source))
}

impl Running {
    fn new(source: impl Source) -> Self {
        Self::of(vec![named(source)])
    }

    fn of(captures: Vec<(String, Box<dyn Source>)>) -> Self {
        let options = ServeOptions { idle: None, ..ServeOptions::default() };
        let server = Server::bind(captures, options).unwrap();
        let url = server.url();
        let (address, token) = url.strip_prefix("http://").unwrap().split_once("/#token=").unwrap();
        let running = Self { address: address.parse().unwrap(), token: token.to_owned() };
        thread::spawn(move || server.run().unwrap());
        running
    }

    fn small() -> Self {
        Self::new(|| Ok(synthetic::small()))
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends bytes on a connection of their own and reads to its end.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that refuses early may have hung up before everything was written.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{error}"),
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A request with the right `Host` and more header lines.
    fn ask(&self, method: &str, path: &str, lines: &[&str]) -> Answer {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for line in lines {
            request += &format!("{line}\r\n");
        }
        Answer::new(&self.raw(format!("{request}\r\n").as_bytes()))
    }

    fn session(&self) -> String {
        let answer = self.ask("POST", "/api/session", &[&format!("Memtrack-Token: {}", self.token)]);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        format!("Memtrack-Session: {}", json["session"].as_str().unwrap())
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn new(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

#[test]
fn page_and_assets_are_answered() {
    let server = Running::small();
    let page = server.ask("GET", "/", &[]);
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let map: Value = serde_json::from_str(
        page.body.split("importmap").nth(1).unwrap().split_once('>').unwrap().1.split_once("</script>").unwrap().0,
    )
    .unwrap();
    for (name, address) in map["imports"].as_object().unwrap() {
        let module = server.ask("GET", address.as_str().unwrap(), &[]);
        assert_eq!(module.status, 200, "{name}");
        assert_eq!(module.header("content-type"), Some("text/javascript; charset=utf-8"), "{name}");
    }
    let style = page.body.split("<link rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(server.ask("GET", style, &[]).header("content-type"), Some("text/css; charset=utf-8"));
    let head = server.ask("HEAD", "/", &[]);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn skeleton_says_nothing_of_the_capture() {
    let server = Running::new(|| Ok(synthetic::hostile()));
    let page = server.ask("GET", "/", &[]);
    assert!(!page.body.contains("pwned") && !page.body.contains("small.mtk"), "{}", page.body);
}

#[test]
fn nonce_is_new_each_time_and_in_the_policy() {
    let server = Running::small();
    let nonce = || {
        let page = server.ask("GET", "/", &[]);
        let nonce = page.body.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(page.header("content-security-policy").unwrap().contains(&format!("'nonce-{nonce}'")));
        nonce
    };
    assert_ne!(nonce(), nonce());
}

#[test]
fn data_wants_a_session_and_a_session_wants_the_token() {
    let server = Running::small();
    assert_eq!(server.ask("GET", "/api/profile/0", &[]).status, 403);
    for token in ["", "0", &server.token[1..], &server.token.to_uppercase(), &format!("{}0", server.token)] {
        // A token of digits alone has no upper case.
        if token == server.token {
            continue;
        }
        let answer = server.ask("POST", "/api/session", &[&format!("Memtrack-Token: {token}")]);
        assert_eq!(answer.status, 403, "{token}");
        assert!(!answer.body.contains("session\""), "{}", answer.body);
    }
    assert_eq!(server.ask("POST", "/api/session", &[]).status, 403);
    assert_eq!(server.ask("GET", "/api/session", &[&format!("Memtrack-Token: {}", server.token)]).status, 405);
    assert_eq!(server.ask("POST", &format!("/api/session?token={}", server.token), &[]).status, 403);

    let session = server.session();
    let answer = server.ask("GET", "/api/profile/0", &[&session]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let columns: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(columns["summary"]["totals"]["peak_bytes"], 200);

    let tag = format!("If-None-Match: {}", answer.header("etag").unwrap());
    let again = server.ask("GET", "/api/profile/0", &[&session, &tag]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(server.ask("GET", "/api/profile/0", &[&tag]).status, 403);
    assert_eq!(server.ask("POST", "/api/profile/0", &[&session]).status, 405);
}

/// Lines of the file that the capture's frame names, and of no file that a request names.
#[test]
fn source_lines_are_those_of_frames() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("served.c");
    fs::write(&path, "one\ntwo </script>\nthree\n").unwrap();
    let file = path.to_str().unwrap().to_owned();
    let server = Running::new({
        let file = file.clone();
        move || {
            let mut profile = synthetic::small();
            profile.session.start_unix_ns = u64::MAX;
            for frame in &mut profile.frames {
                (frame.file, frame.line) = (Some(file.clone()), Some(2));
            }
            Ok(profile)
        }
    });
    let session = server.session();
    let columns: Value = serde_json::from_str(&server.ask("GET", "/api/profile/0", &[&session]).body).unwrap();
    let files = columns["frames"]["file"].as_array().unwrap();
    let frame = files.iter().position(|file| file != 0).unwrap();
    let answer = server.ask("GET", &format!("/api/source/0/{frame}"), &[&session]);
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains('<'), "{}", answer.body);
    let excerpt: Value = serde_json::from_str(&answer.body).unwrap();
    let expected =
        json!({ "file": file, "line": 2, "first": 1, "lines": ["one", "two </script>", "three"], "missing": null });
    assert_eq!(excerpt, expected);
    // A process stands at no line.
    let root: Value = serde_json::from_str(&server.ask("GET", "/api/source/0/0", &[&session]).body).unwrap();
    assert_eq!((&root["lines"], &root["missing"]), (&json!([]), &json!("there is no source file for it")));

    assert_eq!(server.ask("GET", &format!("/api/source/0/{frame}"), &[]).status, 403);
    for path in ["0/9999", "1/0", "0/%2Fetc%2Fpasswd", "0/../../etc/passwd", "0/-1", "0"] {
        let status = server.ask("GET", &format!("/api/source/{path}"), &[&session]).status;
        assert!(status == 404 || status == 400, "{path}: {status}");
    }
}

#[test]
fn every_answer_carries_the_headers() {
    let server = Running::small();
    let session = server.session();
    let long = format!("/{}", "x".repeat(4000));
    let answers = [
        (200, server.ask("GET", "/", &[])),
        (404, server.ask("GET", "/nowhere", &[])),
        (404, server.ask("GET", "/../../etc/passwd", &[])),
        (404, server.ask("GET", "/assets/", &[])),
        (404, server.ask("GET", "/assets/%2e%2e/%2e%2e/etc/passwd", &[])),
        (200, server.ask("GET", "/api/profile/0", &[&session])),
        (404, server.ask("GET", "/api/other", &[&session])),
        (403, server.ask("GET", "/api/other", &[])),
        (403, server.ask("GET", "/", &["Origin: http://evil.example"])),
        (403, server.ask("GET", "/", &["Sec-Fetch-Site: cross-site"])),
        (405, server.ask("OPTIONS", "/", &["Access-Control-Request-Method: GET"])),
        (405, server.ask("TRACE", "/", &[])),
        (405, server.ask("DELETE", "/api/profile/0", &[&session])),
        (405, server.ask("POST", "/", &["Content-Length: 0"])),
        (400, server.ask("GET", "/", &["Upgrade: websocket", "Sec-WebSocket-Key: x"])),
        (400, server.ask("GET", &format!("http://{}/", server.address), &[])),
        (414, server.ask("GET", &long, &[])),
        (431, server.ask("GET", "/", &[&format!("Cookie: {}", "x".repeat(9000))])),
        (413, server.ask("POST", "/api/session", &["Content-Length: 5"])),
        (421, Answer::new(&server.raw(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"))),
        (421, Answer::new(&server.raw(b"GET /nowhere HTTP/1.0\r\n\r\n"))),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.head);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("x-frame-options", "deny"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{}", answer.head);
        }
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
        assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
    }
}

#[test]
fn own_names_and_only_they_are_answered_over_the_wire() {
    let server = Running::small();
    let port = server.address.port();
    let status = |host: &str| {
        Answer::new(&server.raw(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()))
            .status
    };
    for host in [format!("127.0.0.1:{port}"), format!("LOCALHOST:{port}"), format!("[::1]:{port}")] {
        assert_eq!(status(&host), 200, "{host}");
    }
    for host in [
        "localhost".to_owned(),
        format!("evil.example:{port}"),
        format!("localhost.:{port}"),
        format!("0.0.0.0:{port}"),
    ] {
        assert_eq!(status(&host), 421, "{host}");
    }
}

#[test]
fn other_addresses_are_refused() {
    for address in ["0.0.0.0", "::", "192.168.1.2", "8.8.8.8"] {
        let options = ServeOptions { address: address.parse().unwrap(), ..ServeOptions::default() };
        let error = Server::bind(vec![named(|| Ok(synthetic::small()))], options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(address), "{error}");
    }
}

#[test]
fn a_socket_is_its_owners_and_checked_like_a_port() {
    let folder = std::env::temp_dir().join(format!("memtrack-socket-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("page");
    let bind = || {
        let options = ServeOptions { socket: Some(path.clone()), idle: None, ..ServeOptions::default() };
        Server::bind(vec![named(|| Ok(synthetic::small()))], options)
    };
    let server = bind().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = server.url().split_once("#token=").unwrap().1.to_owned();
    let error = bind().unwrap_err();
    assert!(error.to_string().contains("cannot listen at ") && error.kind() == ErrorKind::AlreadyExists, "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left there");
    // A server that ends takes its own socket with it, and nothing else that has come to its place.
    let (other, mine) = (folder.join("other"), folder.join("mine"));
    for (path, replaced) in [(&other, false), (&mine, true)] {
        let options = ServeOptions { socket: Some(path.clone()), ..ServeOptions::default() };
        let ended = Server::bind(vec![named(|| Ok(synthetic::small()))], options).unwrap();
        if replaced {
            fs::remove_file(path).unwrap();
            fs::write(path, "mine").unwrap();
        }
        drop(ended);
        assert_eq!(path.exists(), replaced);
    }

    thread::spawn(move || server.run().unwrap());
    let ask = |method: &str, target: &str, host: &str, line: &str| {
        let mut stream = UnixStream::connect(&path).unwrap();
        write!(stream, "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{line}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Answer::new(&answer)
    };
    assert_eq!(ask("GET", "/", "localhost:8000", "Accept: */*").status, 200);
    for host in [
        "evil.example:8000",
        "localhost:8000x",
        "localhost:",
        "localhost.:8000",
        "localhost:99999",
        "localhost:+80",
        "localhost",
        "",
    ] {
        assert_eq!(ask("GET", "/", host, "Accept: */*").status, 421, "{host}");
    }
    assert_eq!(ask("GET", "/api/profile/0", "localhost:8000", "Accept: */*").status, 403);
    let token = format!("Memtrack-Token: {token}");
    assert_eq!(ask("POST", "/api/session", "localhost:1", "Memtrack-Token: 0").status, 403);
    assert_eq!(ask("POST", "/api/session", "localhost:1", &token).status, 200);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_taken_port_and_an_unreadable_capture_say_so() {
    let server = Running::small();
    let port = server.address.port();
    let options = ServeOptions { address: IpAddr::V4(Ipv4Addr::LOCALHOST), port, ..ServeOptions::default() };
    let error = Server::bind(vec![named(|| Ok(synthetic::small()))], options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let error =
        Server::bind(vec![named(|| Err("x.mtk is no capture".to_owned()))], ServeOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "x.mtk is no capture");
}

#[test]
fn running_captures_are_read_again_and_finished_ones_are_not() {
    let reads = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&reads);
    let server = Running::new(move || {
        let read = counter.fetch_add(1, Ordering::SeqCst);
        let mut profile = synthetic::small();
        profile.state = if read < 2 { State::Running } else { State::Complete };
        profile.duration_ns += u64::from(read);
        if read == 1 { Err("the file is gone".to_owned()) } else { Ok(profile) }
    });
    let session = server.session();
    let ask = || {
        thread::sleep(Duration::from_secs(1));
        server.ask("GET", "/api/profile/0", &[&session])
    };
    let failed = ask();
    assert_eq!((failed.status, failed.body.as_str()), (503, "the file is gone\n"));
    let mut last = ask();
    while !last.body.contains("complete") {
        last = ask();
    }
    assert_eq!(last.status, 200);
    let before = reads.load(Ordering::SeqCst);
    let tag = format!("If-None-Match: {}", last.header("etag").unwrap());
    assert_eq!(server.ask("GET", "/api/profile/0", &[&session, &tag]).status, 304);
    assert_eq!(reads.load(Ordering::SeqCst), before);
}

/// A connection that never finishes its request is ended, and does not keep others from being answered.
#[test]
fn slow_and_endless_requests_are_ended() {
    let server = Running::small();
    let mut slow: Vec<TcpStream> = (0..20).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    }
    assert_eq!(server.ask("GET", "/", &[]).status, 200);

    let endless = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}", server.address, "x".repeat(1 << 20));
    assert_ne!(Answer::new(&server.raw(endless.as_bytes())).status, 200);

    let mut rest = Vec::new();
    for mut stream in slow {
        // Ended by the server: an end of file or a reset, not this test's own time limit.
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(server.ask("GET", "/", &[]).status, 200);
}

/// Nobody asks, so it ends; and while somebody might, it does not.
#[test]
fn a_server_that_nobody_asks_ends() {
    let run = |idle| {
        let options = ServeOptions { idle: Some(idle), ..ServeOptions::default() };
        let server = Server::bind(vec![named(|| Ok(synthetic::small()))], options).unwrap();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || ended.send(server.run().is_ok()));
        end
    };
    let patient = run(Duration::from_secs(3600));
    assert_eq!(run(Duration::ZERO).recv_timeout(Duration::from_secs(60)), Ok(true));
    assert_eq!(patient.try_recv(), Err(mpsc::TryRecvError::Empty));
}

/// Whoever takes all places and says nothing more loses one of them to the next who comes, and only one.
#[test]
fn a_crowd_of_slow_requests_makes_room() {
    let server = Running::small();
    let mut slow: Vec<TcpStream> = (0..32).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\nHost: ").unwrap();
    }
    assert_eq!(server.ask("GET", "/", &[]).status, 200);
    let mut answers = slow.into_iter().map(|mut stream| {
        let mut answer = Vec::new();
        let _ = stream.write_all(format!("{}\r\n\r\n", server.address).as_bytes());
        let _ = stream.read_to_end(&mut answer);
        answer.starts_with(b"HTTP/1.1 200")
    });
    assert_eq!(answers.next(), Some(false), "the first has been waited for longest");
    assert!(answers.all(|answered| answered));
}

/// Requests made of pieces of requests: whatever comes back, the server goes on and gives no data away.
#[test]
fn garbage_is_survived() {
    let server = Running::small();
    let pieces: [&[u8]; 16] = [
        b"GET ",
        b"POST ",
        b"/",
        b"/api/profile/0",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\r\n\r\n",
        b"Host: localhost",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: -1\r\n",
        b"0\r\n\r\n",
        b"\0\xff\xfe",
        b"Memtrack-Session: \r\n",
        b"GET http://localhost/ HTTP/1.1\r\n",
        b"ffffffffffffffff\r\n",
    ];
    let mut random = synthetic::Random::new(7);
    let mut stream = server.connect();
    for _ in 0..10_000 {
        let mut request: Vec<u8> =
            (0..1 + random.below(9)).flat_map(|_| pieces[random.below(pieces.len())]).copied().collect();
        request.truncate(random.below(400));
        if stream.write_all(&request).is_err() {
            stream = server.connect();
        }
        if random.below(20) == 0 {
            stream = server.connect();
        }
    }
    drop(stream);
    assert_eq!(server.ask("GET", "/", &[]).status, 200);
    // Several requests in one piece are answered one by one, each under the same rules.
    let host = format!("Host: {}\r\n", server.address);
    let answers = server.raw(
        format!("GET / HTTP/1.1\r\n{host}\r\nGET /api/profile/0 HTTP/1.1\r\n{host}\r\nGET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    );
    let statuses: Vec<&str> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "403", "421"]);
}

#[test]
fn several_captures_are_read_when_they_are_asked_for_and_two_are_kept() {
    let reads = Arc::new(AtomicU32::new(0));
    let capture = |name: &str| -> (String, Box<dyn Source>) {
        let reads = Arc::clone(&reads);
        let load = move || {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(synthetic::small())
        };
        (name.into(), Box::new(load))
    };
    let captures = vec![capture("a.mtk"), capture("<b>.mtk"), capture("c.mtk")];
    let server = Running::of(captures);
    let session = server.session();
    let ask = |path: &str| server.ask("GET", path, &[&session]);
    assert_eq!(ask("/api/captures").body, r#"["a.mtk","\u003cb\u003e.mtk","c.mtk"]"#);
    assert_eq!(reads.load(Ordering::Relaxed), 1);
    for (capture, count) in [(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4)] {
        let path = format!("/api/profile/{capture}");
        assert_eq!(ask(&path).status, 200, "{capture}");
        assert_eq!(reads.load(Ordering::Relaxed), count, "{capture}");
    }
    assert_eq!(ask("/api/profile/3").status, 404);
    assert_eq!(ask("/api/profile/-1").status, 400);
    assert_eq!(ask("/api/profile/..%2f0").status, 400);
}
