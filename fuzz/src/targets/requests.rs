//! What comes in over the wire at `memtrack serve`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tracker_core::report::sketch::{Numbers, Sketch};
use web::{ServeOptions, Server};

/// A function of the served capture; it must not come out without the session.
const SECRET: &str = "known_only_to_the_owner";
/// A file that everybody has and that is no source file, its first line, one that is, and a way past a folder of headers to the former.
const FILE: &str = "/etc/passwd";
const FILE_LINE: &str = "root:x:0:0";
const OWN_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs");
const FILE_CLIMBING: &str = "/usr/include/c++/../../../etc/passwd";

/// Frames of the capture's columns, the process among them.
const FRAMES: u32 = 4;

/// The server, started once; it ends with the process.
struct Served {
    address: SocketAddr,
    /// What opens the capture.
    session: String,
    /// The tag of its columns.
    tag: String,
}

impl Served {
    fn get() -> &'static Self {
        static SERVED: OnceLock<Served> = OnceLock::new();
        SERVED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let numbers = Numbers { allocated: (1, 1), ..Numbers::default() };
        let stack = format!("malloc: {SECRET}@{FILE}:1 load@{FILE_CLIMBING}:1 main@{OWN_FILE}:9");
        // As if made later than any file was changed.
        let whole =
            move || Sketch::new("./app").row(&stack, numbers).with(|made| made.session.start_unix_ns = u64::MAX);
        let source = move || Ok(whole().build());
        let server = Server::bind(
            vec![("app.mtk".into(), Box::new(source))],
            ServeOptions { idle: None, ..ServeOptions::default() },
        );
        let server = server.expect("a free port on the loopback address");
        let url = server.url();
        let (address, token) = url.trim_start_matches("http://").split_once("/#token=").expect("an address and a key");
        let address = address.parse().expect("an address and a port");
        thread::spawn(move || server.run());
        let ask = |request: &str, header: &str| {
            let text = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n\r\n");
            String::from_utf8(exchange(address, text.as_bytes())).expect("text")
        };
        let opened = ask("POST /api/session", &format!("Memtrack-Token: {token}"));
        let session = opened.split('"').nth(3).expect("a session").to_owned();
        let columns = ask("GET /api/profile/0", &format!("Memtrack-Session: {session}"));
        assert!(columns.contains(SECRET), "{columns}");
        let is_read = |frame: u32| {
            ask(&format!("GET /api/source/0/{frame}"), &format!("Memtrack-Session: {session}"))
                .contains("\"missing\":null")
        };
        assert_eq!((0..FRAMES).filter(|frame| is_read(*frame)).count(), 1, "{OWN_FILE} is read, and {FILE} is not");
        let tag = columns.split("etag: ").nth(1).and_then(|rest| rest.lines().next()).expect("a tag").to_owned();
        Self { address, session, tag }
    }
}

/// Requests as a browser would send them, right ones and wrong ones; half of them have the session.
pub fn request_seeds() -> Vec<Vec<u8>> {
    let Served { address, session, tag } = Served::get();
    let host = format!("Host: {address}\r\n");
    let ours = format!("{host}Memtrack-Session: {session}\r\n");
    let requests = [
        format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
        format!("GET /api/profile/0 HTTP/1.1\r\n{host}Memtrack-Session: 00\r\nIf-None-Match: \"x\"\r\n\r\n"),
        format!(
            "GET /api/profile/0?from=1&to=2 HTTP/1.1\r\n{host}Accept-Encoding: gzip\r\n\r\nGET / HTTP/1.1\r\n{host}\r\n"
        ),
        format!("HEAD / HTTP/1.1\r\n{host}Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n\r\n"),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        format!("POST /api/profile/0 HTTP/1.1\r\n{host}Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"),
        format!("GET /assets/%2e%2e/x HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET http://evil.example/ HTTP/1.0\r\nHost: evil.example\r\n\r\n".to_owned(),
        format!("GET /api/profile/0 HTTP/1.1\r\n{ours}Connection: close\r\n\r\n"),
        format!("GET /api/profile/0 HTTP/1.1\r\n{ours}If-None-Match: {tag}\r\n\r\n"),
        format!("GET /api/profile/0 HTTP/1.1\r\n{ours}If-None-Match: W/{tag}, \"x\", *\r\n\r\n"),
        format!("HEAD /api/profile/18446744073709551616 HTTP/1.1\r\n{ours}\r\n"),
        format!("GET /api/captures HTTP/1.1\r\n{ours}\r\nGET /api/profile/1 HTTP/1.1\r\n{ours}\r\n"),
        (0..FRAMES).map(|frame| format!("GET /api/source/0/{frame} HTTP/1.1\r\n{ours}\r\n")).collect(),
        format!("GET /api/source/0/..%2f..%2fetc%2fpasswd HTTP/1.1\r\n{ours}\r\n"),
        format!("POST /api/source/1/99999 HTTP/1.1\r\n{ours}Content-Length: 0\r\n\r\n"),
    ];
    requests.into_iter().map(String::into_bytes).collect()
}

/// Whatever is sent, the server hangs up in the end, tells nothing that is not to be told, and answers the next one.
pub fn requests(bytes: &[u8]) {
    let Served { address, session, .. } = Served::get();
    let answer = exchange(*address, bytes);
    let text = String::from_utf8_lossy(&answer);
    let opened = bytes.windows(session.len()).any(|part| part == session.as_bytes());
    assert!(opened || !text.contains(SECRET), "{text}");
    assert!(!text.contains(FILE_LINE), "{text}");
    assert!(!text.to_ascii_lowercase().contains("access-control-"), "{text}");
    let next = format!(
        "GET /api/profile/0 HTTP/1.1\r\nHost: {address}\r\nMemtrack-Session: {session}\r\nConnection: close\r\n\r\n"
    );
    let next = String::from_utf8_lossy(&exchange(*address, next.as_bytes())).into_owned();
    assert!(next.starts_with("HTTP/1.1 200 ") && next.contains(SECRET), "{next}");
}

fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    // A server that refuses early may have hung up already.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    // It waits for the rest of a request that is not whole: then it hears that nothing more comes, and has to hang up.
    for patience in [Duration::from_millis(100), Duration::from_secs(60)] {
        stream.set_read_timeout(Some(patience)).expect("a time is a time");
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => drop(stream.shutdown(Shutdown::Write)),
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("no answer: {error}"),
            _ => return answer,
        }
    }
    panic!("the server does not hang up");
}
