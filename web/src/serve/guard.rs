//! Who may ask, and what every answer says. One layer around all routes, unknown ones included.
//!
//! The dangers are other pages in the same browser (they can make it send requests here, and can give this address a
//! name of their own) and other users of the machine (they can connect). Against the first stand the checks of
//! `Host`, `Origin` and `Sec-Fetch-Site` and a session that travels in a header of its own; against the second the
//! token. No answer allows another origin anything.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Site;
use super::connection::Progress;
use super::secret::Secret;

/// The token of the printed address, once, to open a session.
const TOKEN: HeaderName = HeaderName::from_static("memtrack-token");
/// The session, with every request for data.
const SESSION: HeaderName = HeaderName::from_static("memtrack-session");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Names and values of all headers together, in bytes.
const MOST_HEADER_BYTES: usize = 8 << 10;
const MOST_TARGET_BYTES: usize = 2 << 10;
/// Wrong tokens within a second that are answered at once; each further one waits.
const FREE_FAILURES: u32 = 5;
const PENALTY: Duration = Duration::from_secs(1);

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The content policy; the page's own inline elements carry `nonce`.
pub(super) fn policy(nonce: Option<&str>) -> String {
    let inline = nonce.map_or(String::new(), |nonce| format!(" 'nonce-{nonce}'"));
    format!(
        "default-src 'none'; script-src 'self'{inline}; style-src 'self'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// A request that is not answered, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(StatusCode, &'static str);

impl Refusal {
    const METHOD: Self = Self(StatusCode::METHOD_NOT_ALLOWED, "Only GET, HEAD and POST are answered here.");
    const TARGET: Self = Self(StatusCode::BAD_REQUEST, "Only paths are asked for here.");
    const UPGRADE: Self = Self(StatusCode::BAD_REQUEST, "There is nothing to upgrade to here.");
    const HOST: Self = Self(
        StatusCode::MISDIRECTED_REQUEST,
        "This server answers only under 127.0.0.1, localhost or [::1] and its own port.",
    );
    const ORIGIN: Self = Self(StatusCode::FORBIDDEN, "Requests from other pages are not answered.");
    const LONG_TARGET: Self = Self(StatusCode::URI_TOO_LONG, "The address is too long.");
    const LONG_HEADERS: Self = Self(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too long.");
    const BODY: Self = Self(StatusCode::PAYLOAD_TOO_LARGE, "Requests have no body here.");
    const SESSION: Self = Self(
        StatusCode::FORBIDDEN,
        "This page's session is over. Open the whole address that memtrack serve printed: it ends in #token=….",
    );
    pub(super) const TOKEN: Self = Self(
        StatusCode::FORBIDDEN,
        "The token in this address is not valid, or was used. Open the address that memtrack serve printed.",
    );
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.0, format!("{}\n", self.1)).into_response();
        if self == Self::METHOD {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response
    }
}

/// The rules of one server.
pub(super) struct Guard {
    /// The port in `Host`; any when it is that of somebody who passes connections on to a socket.
    port: Option<u16>,
    token: Secret,
    single_token: Secret,
    session: Secret,
    failures: Mutex<Failures>,
    single_used: Mutex<bool>,
    start: Instant,
    /// Seconds after `start` of the last request.
    last_request: AtomicU64,
}

struct Failures {
    since: Instant,
    count: u32,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Guard {
    /// `port`: of the loopback address; `None` for a socket of the file system.
    pub(super) fn new(port: Option<u16>) -> io::Result<Self> {
        let start = Instant::now();
        Ok(Self {
            port,
            token: Secret::new()?,
            single_token: Secret::new()?,
            session: Secret::new()?,
            failures: Mutex::new(Failures { since: start, count: 0 }),
            single_used: Mutex::new(false),
            start,
            last_request: AtomicU64::new(0),
        })
    }

    /// The token of the printed address.
    pub(super) fn token(&self) -> Secret {
        self.token
    }

    /// A token that opens one session only.
    pub(super) fn single_token(&self) -> Secret {
        self.single_token
    }

    /// Time since the last request.
    pub(super) fn idle(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_secs(self.last_request.load(Ordering::Relaxed)))
    }

    /// The session, for a request with a valid token. After several wrong ones it takes its time.
    pub(super) async fn open_session(&self, headers: &HeaderMap) -> Option<Secret> {
        let token = single(headers, &TOKEN).map_or(&b""[..], HeaderValue::as_bytes);
        let used_up = |used: &mut bool| std::mem::replace(used, true);
        if self.token.matches(token)
            || (self.single_token.matches(token)
                && !used_up(&mut self.single_used.lock().unwrap_or_else(PoisonError::into_inner)))
        {
            return Some(self.session);
        }
        self.punish().await;
        None
    }

    async fn punish(&self) {
        let count = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if failures.since.elapsed() > PENALTY {
                *failures = Failures { since: Instant::now(), count: 0 };
            }
            failures.count += 1;
            failures.count
        };
        if count > FREE_FAILURES {
            tokio::time::sleep(PENALTY).await;
        }
    }

    /// Whether `host`, in lower case, is a name of this server.
    fn is_own(&self, host: &str) -> bool {
        let mut rests = ["127.0.0.1", "localhost", "[::1]"].iter().filter_map(|name| host.strip_prefix(name));
        rests.any(|rest| match self.port {
            // That port goes without saying.
            Some(80) if rest.is_empty() => true,
            Some(port) => rest == format!(":{port}"),
            None => rest
                .strip_prefix(':')
                .and_then(|port| port.parse::<u16>().ok())
                .is_some_and(|port| rest == format!(":{port}")),
        })
    }

    /// Whether a request may go on to the routes.
    fn check(&self, parts: &Parts) -> Result<(), Refusal> {
        let (method, target, headers) = (&parts.method, &parts.uri, &parts.headers);
        if ![Method::GET, Method::HEAD, Method::POST].contains(method) {
            return Err(Refusal::METHOD);
        }
        if target.scheme().is_some() || target.authority().is_some() || !target.path().starts_with('/') {
            return Err(Refusal::TARGET);
        }
        let host = single(headers, &header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !self.is_own(&host.to_ascii_lowercase()) {
            return Err(Refusal::HOST);
        }
        let ours = |origin: &HeaderValue| {
            origin.to_str().is_ok_and(|text| text.strip_prefix("http://") == Some(&*host.to_ascii_lowercase()))
        };
        if !headers.get_all(header::ORIGIN).iter().all(ours) {
            return Err(Refusal::ORIGIN);
        }
        if !headers.get_all(FETCH_SITE).iter().all(|site| site == "same-origin" || site == "none") {
            return Err(Refusal::ORIGIN);
        }
        if headers.contains_key(header::UPGRADE) {
            return Err(Refusal::UPGRADE);
        }
        if target.path_and_query().is_some_and(|text| text.as_str().len() > MOST_TARGET_BYTES) {
            return Err(Refusal::LONG_TARGET);
        }
        if headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() > MOST_HEADER_BYTES {
            return Err(Refusal::LONG_HEADERS);
        }
        if headers.contains_key(header::TRANSFER_ENCODING)
            || headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length != "0")
        {
            return Err(Refusal::BODY);
        }
        // Everything below /api is data, unknown paths included; only the way to a session is open.
        if target.path().starts_with("/api") && target.path() != "/api/session" {
            let session = single(headers, &SESSION).map_or(&b""[..], HeaderValue::as_bytes);
            if !self.session.matches(session) {
                return Err(Refusal::SESSION);
            }
        }
        Ok(())
    }
}

/// A header's value when it is there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { None } else { first }
}

/// The layer itself.
pub(super) async fn middleware(
    State(site): State<Arc<Site>>,
    ConnectInfo(progress): ConnectInfo<Progress>,
    request: Request,
    next: Next,
) -> Response {
    progress.set_answering(true);
    site.guard.last_request.store(site.guard.start.elapsed().as_secs(), Ordering::Relaxed);
    let (parts, body) = request.into_parts();
    let mut response = match site.guard.check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refusal) => refusal.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY)
        && let Ok(value) = HeaderValue::from_str(&policy(None))
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, value);
    }
    progress.set_answering(false);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `METHOD TARGET`, then headers, one per line.
    fn parts(request: &str) -> Parts {
        let mut lines = request.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let mut builder = axum::http::Request::builder().method(method).uri(target);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            builder = builder.header(name, value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn check(request: &str) -> Result<(), Refusal> {
        Guard::new(Some(4711)).unwrap().check(&parts(request))
    }

    #[test]
    fn own_names_are_answered() {
        for host in ["127.0.0.1:4711", "localhost:4711", "LocalHost:4711", "[::1]:4711"] {
            assert_eq!(check(&format!("GET /\nhost: {host}")), Ok(()), "{host}");
        }
        let web = Guard::new(Some(80)).unwrap();
        assert_eq!(web.check(&parts("GET /\nhost: localhost")), Ok(()));
        assert_eq!(
            check("GET /\nhost: localhost:4711\norigin: http://localhost:4711\nsec-fetch-site: same-origin"),
            Ok(())
        );
        assert_eq!(check("GET /\nhost: localhost:4711\nsec-fetch-site: none"), Ok(()));
    }

    #[test]
    fn other_names_are_misdirected() {
        let spellings = [
            "evil.example",
            "evil.example:4711",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:4712",
            "127.0.0.1:04711",
            "127.0.0.1.:4711",
            "localhost.:4711",
            "localhost:4711.",
            "user@127.0.0.1:4711",
            "127.0.0.1:4711@evil.example",
            "127.1:4711",
            "2130706433:4711",
            "0x7f000001:4711",
            "0.0.0.0:4711",
            "[::ffff:127.0.0.1]:4711",
            "::1:4711",
            "[0:0:0:0:0:0:0:1]:4711",
            "localhost:4711,evil.example",
            "localhost:4711 evil.example",
            "127.0.0.1.evil.example:4711",
            "127.0.0.1:4711/",
            "http://127.0.0.1:4711",
            "",
        ];
        for host in spellings {
            assert_eq!(check(&format!("GET /nowhere\nhost: {host}")), Err(Refusal::HOST), "{host}");
        }
        assert_eq!(check("GET /"), Err(Refusal::HOST));
        assert_eq!(check("GET /\nhost: localhost:4711\nhost: localhost:4711"), Err(Refusal::HOST));
    }

    #[test]
    fn other_pages_are_refused() {
        for line in [
            "origin: http://evil.example",
            "origin: null",
            "origin: http://localhost:4712",
            "origin: https://localhost:4711",
            "origin: http://127.0.0.1:4711",
            "origin: http://localhost:4711\norigin: http://evil.example",
            "sec-fetch-site: cross-site",
            "sec-fetch-site: same-site",
            "sec-fetch-site: same-origin\nsec-fetch-site: cross-site",
        ] {
            assert_eq!(check(&format!("GET /\nhost: localhost:4711\n{line}")), Err(Refusal::ORIGIN), "{line}");
        }
    }

    #[test]
    fn odd_requests_are_refused() {
        let host = "host: localhost:4711";
        for method in ["OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "BREW"] {
            assert_eq!(check(&format!("{method} /\n{host}")), Err(Refusal::METHOD), "{method}");
        }
        assert_eq!(check(&format!("GET http://localhost:4711/\n{host}")), Err(Refusal::TARGET));
        assert_eq!(check(&format!("GET *\n{host}")), Err(Refusal::TARGET));
        assert_eq!(check(&format!("GET /\n{host}\nupgrade: websocket")), Err(Refusal::UPGRADE));
        assert_eq!(check(&format!("POST /api/session\n{host}\ncontent-length: 1")), Err(Refusal::BODY));
        assert_eq!(check(&format!("POST /api/session\n{host}\ntransfer-encoding: chunked")), Err(Refusal::BODY));
        assert_eq!(check(&format!("POST /api/session\n{host}\ncontent-length: 0")), Ok(()));
        assert_eq!(check(&format!("GET /{}\n{host}", "x".repeat(3000))), Err(Refusal::LONG_TARGET));
        assert_eq!(check(&format!("GET /\n{host}\ncookie: {}", "x".repeat(9000))), Err(Refusal::LONG_HEADERS));
    }

    #[test]
    fn data_wants_the_session() {
        let guard = Guard::new(Some(4711)).unwrap();
        let session = guard.session.to_string();
        let ask = |path: &str, line: &str| guard.check(&parts(&format!("GET {path}\nhost: localhost:4711{line}")));
        assert_eq!(ask("/api/profile", &format!("\nmemtrack-session: {session}")), Ok(()));
        for line in [
            String::new(),
            "\nmemtrack-session: ".to_owned(),
            format!("\nmemtrack-session: {}", &session[1..]),
            format!("\nmemtrack-session: {}", guard.token),
            format!("\nmemtrack-session: {session}\nmemtrack-session: {session}"),
            format!("\ncookie: memtrack-session={session}"),
        ] {
            for path in ["/api/profile", "/api/other", "/api/", "/api", "/apiary"] {
                assert_eq!(ask(path, &line), Err(Refusal::SESSION), "{path} {line}");
            }
        }
        assert_eq!(ask("/api/session", ""), Ok(()));
        assert_eq!(ask(&format!("/api/profile?memtrack-session={session}"), ""), Err(Refusal::SESSION));
    }

    #[test]
    fn tokens_open_sessions() {
        let guard = Guard::new(Some(4711)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let open = |token: &str| {
            let parts = parts(&format!("POST /api/session\nmemtrack-token: {token}"));
            runtime.block_on(guard.open_session(&parts.headers)).map(|session| session.to_string())
        };
        let session = Some(guard.session.to_string());
        assert_eq!(open(&guard.token().to_string()), session);
        assert_eq!(open(&guard.token().to_string()), session);
        assert_eq!(open(&guard.single_token().to_string()), session);
        assert_eq!(open(&guard.single_token().to_string()), None);
        assert_eq!(open(&guard.session.to_string()), None);
    }

    #[test]
    fn guessing_takes_time_and_nobody_elses() {
        let guard = Guard::new(Some(4711)).unwrap();
        // Its clock moves only when everybody waits.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let open = |token: &str| {
            let parts = parts(&format!("POST /api/session\nmemtrack-token: {token}"));
            let begun = runtime.block_on(async { tokio::time::Instant::now() });
            let session = runtime.block_on(guard.open_session(&parts.headers));
            (session.is_some(), runtime.block_on(async { begun.elapsed() }))
        };
        for _ in 0..FREE_FAILURES {
            assert_eq!(open("0"), (false, Duration::ZERO));
        }
        for _ in 0..3 {
            assert_eq!(open("0"), (false, PENALTY));
        }
        assert_eq!(open(&guard.token().to_string()), (true, Duration::ZERO));
    }
}
