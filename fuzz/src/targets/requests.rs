//! What comes in over the wire at `memtrack serve`.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use tracker_core::report::sketch::{Numbers, Sketch};
use web::{ServeOptions, Server};

/// A function of the served capture; it must not come out without a session.
const SECRET: &str = "known_only_to_the_owner";

/// Starts the server once; it ends with the process.
fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let numbers = Numbers { allocated: (1, 1), ..Numbers::default() };
        let source = move || Ok(Sketch::new("./app").row(&format!("malloc: {SECRET} main"), numbers).build());
        let server = Server::bind(
            vec![("app.mtk".into(), Box::new(source))],
            ServeOptions { idle: None, ..ServeOptions::default() },
        );
        let server = server.expect("a free port on the loopback address");
        let address = server.url().trim_start_matches("http://").split_once('/').and_then(|(at, _)| at.parse().ok());
        thread::spawn(move || server.run());
        address.expect("an address in the printed line")
    })
}

/// Requests as a browser would send them, right ones and wrong ones, none of them with a session.
pub fn request_seeds() -> Vec<Vec<u8>> {
    let host = format!("Host: {}\r\n", address());
    let requests = [
        format!("GET / HTTP/1.1\r\n{host}Connection: close\r\n\r\n"),
        format!("GET /api/profile/0 HTTP/1.1\r\n{host}Memtrack-Session: 00\r\nIf-None-Match: \"x\"\r\n\r\n"),
        format!(
            "GET /api/profile/0?from=1&to=2 HTTP/1.1\r\n{host}Accept-Encoding: gzip\r\n\r\nGET / HTTP/1.1\r\n{host}\r\n"
        ),
        format!("HEAD / HTTP/1.1\r\n{host}Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n\r\n", address()),
        format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        format!("POST /api/profile/0 HTTP/1.1\r\n{host}Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"),
        format!("GET /assets/%2e%2e/x HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET http://evil.example/ HTTP/1.0\r\nHost: evil.example\r\n\r\n".to_owned(),
    ];
    requests.into_iter().map(String::into_bytes).collect()
}

/// Whatever is sent, the server hangs up in the end, tells nothing, and answers the next one.
pub fn requests(bytes: &[u8]) {
    let answer = exchange(bytes);
    let text = String::from_utf8_lossy(&answer);
    assert!(!text.contains(SECRET), "{text}");
    assert!(!text.to_ascii_lowercase().contains("access-control-"), "{text}");
    let next = exchange(format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address()).as_bytes());
    assert!(next.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&next));
}

fn exchange(bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address()).expect("the server listens");
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
