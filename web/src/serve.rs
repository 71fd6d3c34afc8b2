//! The page on this machine: axum on a loopback address or a socket of the file system, for one person.
//!
//! Other users of the machine can connect too, so the data wants a session, and a session wants the token in the
//! printed address. Pages from elsewhere that the same browser shows are kept out by `guard`. Nothing here takes a
//! path or runs a command, and what is opened is named by the capture and not by a request; requests change nothing but the
//! count of failed tokens.

mod connection;
mod excerpt;
mod feed;
mod guard;
mod place;
mod secret;

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use askama::Template as _;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::signal::unix::{SignalKind, signal};
use tracker_core::report::suppress::Suppressions;

use crate::assets::{MODULES, STYLE, content_hash};
use crate::page::{Body, Page, Style, import_map};
use connection::{LimitedListener, Progress};
use excerpt::Excerpt;
pub use feed::Source;
use feed::{Feeds, Reply};
use guard::Guard;
use place::Place;
use secret::Secret;

/// How often it is checked whether the server is still wanted.
const WATCH: Duration = Duration::from_secs(2);

/// Where and how long to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// A loopback address; others are refused.
    pub address: IpAddr,
    /// 0 leaves the choice to the kernel.
    pub port: u16,
    /// Listen at this path instead, on a new socket that only its owner can open.
    pub socket: Option<PathBuf>,
    /// Which leaks are set apart.
    pub suppressions: Suppressions,
    /// Open the page in the desktop's browser.
    pub open: bool,
    /// End after this time without a request.
    pub idle: Option<Duration>,
    /// End when this process's parent is another one: the id that it had before the captures were read, which takes its time.
    pub parent: Option<u32>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            socket: None,
            suppressions: Suppressions::builtin(),
            open: false,
            idle: Some(Duration::from_secs(8 * 3600)),
            parent: None,
        }
    }
}

/// Serves captures, each with what the page calls it, until Ctrl-C, and prints where on the standard output. The key stays
/// out of a file that others can read.
///
/// # Errors
/// When the address is not loopback or cannot be bound, or the capture cannot be read; while serving, none.
pub fn serve(captures: Vec<(String, Box<dyn Source>)>, options: ServeOptions) -> io::Result<()> {
    let open = options.open;
    let server = Server::bind(captures, options)?;
    let mut out = io::stdout();
    let is_private = is_private(&out)?;
    let url = if is_private { server.url() } else { format!("http://{}/", server.place.host()) };
    writeln!(out, "{}", server.place.invitation(&url))?;
    out.flush()?;
    if !is_private {
        let mut error = io::stderr();
        writeln!(error, "The address lacks its key, because others can read the file that it goes to:")?;
        writeln!(error, "make that file yours alone (chmod 600), or write to a terminal or a pipe.")?;
    }
    if open {
        server.open_browser();
    }
    server.run()
}

/// Whether nobody else can read what is written there, as far as files tell.
fn is_private(out: &io::Stdout) -> io::Result<bool> {
    let metadata = File::from(out.as_fd().try_clone_to_owned()?).metadata()?;
    Ok(!metadata.is_file() || metadata.permissions().mode() & 0o044 == 0)
}

/// A server that listens and does not answer yet.
pub struct Server {
    place: Place,
    site: Arc<Site>,
    options: ServeOptions,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token stays out of logs.
        f.debug_struct("Server").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What the handlers share.
struct Site {
    guard: Guard,
    feeds: Feeds,
    pages: Pages,
}

/// The parts of the page that are the same for every request.
struct Pages {
    import_map: String,
    style: String,
    /// Address and content of each module.
    modules: Vec<(String, &'static str)>,
}

impl Server {
    /// Serves captures, each with what the page calls it, usually its file's name. The first is read at once, the others
    /// when they are looked at; the columns of two are kept.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be bound, or the first capture cannot be read.
    pub fn bind(captures: Vec<(String, Box<dyn Source>)>, options: ServeOptions) -> io::Result<Self> {
        let feeds = Feeds::new(captures, &options.suppressions).map_err(io::Error::other)?;
        let place = match &options.socket {
            Some(path) => Place::socket(path)?,
            None => Place::port(options.address, options.port)?,
        };
        let guard = Guard::new(place.port_of_requests())?;
        Ok(Self { place, site: Arc::new(Site { guard, feeds, pages: Pages::new() }), options })
    }

    /// The address to open, with the token.
    pub fn url(&self) -> String {
        format!("http://{}/#token={}", self.place.host(), self.site.guard.token())
    }

    /// Answers until Ctrl-C or SIGTERM, until nobody asks any more, or until the parent process is gone.
    ///
    /// # Errors
    /// When no runtime can be made.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(async move {
            let Self { place, site, options } = self;
            let listener = LimitedListener::new(place)?;
            let service = router(Arc::clone(&site)).into_make_service_with_connect_info::<Progress>();
            tokio::select! {
                result = axum::serve(listener, service) => result,
                result = told_to_end() => result,
                () = unwanted(&site, &options) => Ok(()),
            }
        });
        // A capture that is being read must not hold the process up.
        runtime.shutdown_background();
        result
    }

    /// Asks the desktop to open the page. Other users can read the address on the browser's command line, so it
    /// carries a token that opens one session only; a browser that comes second says so.
    fn open_browser(&self) {
        let address = format!("http://{}/#token={}", self.place.host(), self.site.guard.single_token());
        let mut command = Command::new("xdg-open");
        command.arg(address).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Without a desktop nothing opens: the address is printed anyway.
        let _ = command.spawn();
    }
}

/// A socket's file is removed before the end. (SIGHUP stays what `nohup` has made of it.)
async fn told_to_end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

async fn unwanted(site: &Site, options: &ServeOptions) {
    loop {
        tokio::time::sleep(WATCH).await;
        let idle = options.idle.is_some_and(|limit| site.guard.idle() > limit);
        if idle || options.parent.is_some_and(|parent| parent_id() != parent) {
            return;
        }
    }
}

fn router(site: Arc<Site>) -> Router {
    let mut router = Router::new()
        .route("/", get(page))
        .route("/api/session", post(session))
        .route("/api/captures", get(captures))
        .route("/api/profile/{capture}", get(profile))
        .route("/api/source/{capture}/{frame}", get(source))
        .route(&site.pages.style, get(|| async { typed("text/css; charset=utf-8", STYLE) }));
    for (address, source) in site.pages.modules.clone() {
        router = router.route(&address, get(move || async move { typed("text/javascript; charset=utf-8", source) }));
    }
    router
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is no such page here.\n") })
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&site), guard::middleware))
        .with_state(site)
}

fn typed(kind: &'static str, body: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], body)
}

impl Pages {
    fn new() -> Self {
        let address = |name: &str, source: &str, ending: &str| {
            format!("/assets/{}-{}.{ending}", name.replace('/', "-"), content_hash(source))
        };
        Self {
            import_map: import_map(&MODULES, |module| address(module.name, &module.source, "js")),
            style: address("page", STYLE, "css"),
            modules: MODULES.iter().map(|m| (address(m.name, &m.source, "js"), m.source.as_str())).collect(),
        }
    }
}

/// The skeleton, for everyone: it holds nothing of the capture.
async fn page(State(site): State<Arc<Site>>) -> Response {
    let Ok(nonce) = Secret::new() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let nonce = nonce.to_string();
    let page = Page {
        body: Body::Report,
        nonce: &nonce,
        policy: None,
        style: Style::Linked(site.pages.style.clone()),
        import_map: site.pages.import_map.clone(),
        data: None,
    };
    match page.render() {
        Ok(html) => {
            let headers = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
                (header::CONTENT_SECURITY_POLICY, guard::policy(Some(&nonce))),
            ];
            (headers, html).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A token for a session.
async fn session(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    match site.guard.open_session(&headers).await {
        Some(session) => {
            ([(header::CONTENT_TYPE, "application/json")], format!("{{\"session\":\"{session}\"}}")).into_response()
        }
        None => guard::Refusal::TOKEN.into_response(),
    }
}

/// What the captures are called, in order.
async fn captures(State(site): State<Arc<Site>>) -> Response {
    match crate::script_safe::to_vec(&site.feeds.names()) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The columns of a capture, by its position; `If-None-Match` spares those the page has.
async fn profile(State(site): State<Arc<Site>>, Path(capture): Path<usize>, headers: HeaderMap) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let asked = Arc::clone(&site);
    // Reading a capture takes as long as it takes: not on the thread that answers.
    let reply = tokio::task::spawn_blocking(move || asked.feeds.reply(capture, &known)).await;
    match reply {
        Ok(None) => (StatusCode::NOT_FOUND, "There is no such capture.\n").into_response(),
        Ok(Some(Ok(Reply::Unchanged(tag)))) => (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response(),
        Ok(Some(Ok(Reply::Columns(tag, body)))) => {
            ([(header::ETAG, tag), (header::CONTENT_TYPE, "application/json".to_owned())], body).into_response()
        }
        Ok(Some(Err(reason))) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Reading the capture failed.\n").into_response(),
    }
}

/// The source lines around the one that a frame names, or why there are none: that is no failure of the request.
async fn source(State(site): State<Arc<Site>>, Path((capture, frame)): Path<(usize, usize)>) -> Response {
    let read = move || {
        let place = site.feeds.source_line(capture, frame)?;
        let found = excerpt::excerpt(&place.file, place.line, place.recorded);
        crate::script_safe::to_vec(&found.unwrap_or_else(|missing| Excerpt::none(&place.file, place.line, missing)))
            .ok()
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Some(json)) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Ok(None) => (StatusCode::NOT_FOUND, "There is no such frame.\n").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
