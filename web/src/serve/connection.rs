//! Connections with limits: so many at once, so long without progress, so many bytes before an answer.
//!
//! One rule covers idle, slow and endless requests: a connection that waits for bytes ends ten seconds after the last
//! byte that was written to it. While an answer is being made nothing is waited for, so slow answers are no offence.
//! Where all places are taken, the connection that has been waited for longest makes room for a new one.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use super::place::{Place, SocketFile};

/// Connections at once, beside one that waits for a place; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 32;
/// Longest wait for the rest of a request, or for the reader of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of requests before one of them is answered. The guard's own, smaller limit has a polite answer.
const MOST_UNANSWERED: usize = 32 << 10;

/// Accepts at one place.
pub(super) struct LimitedListener {
    inner: Inner,
    places: Arc<Semaphore>,
    open: Vec<Open>,
}

/// The listener's side of a connection. Dropping it ends the connection, if it has not ended.
struct Open {
    progress: Progress,
    leave: oneshot::Sender<()>,
}

enum Inner {
    Port(TcpListener),
    /// The file is kept as long as somebody listens.
    Socket(UnixListener, #[expect(dead_code, reason = "its drop removes the file")] SocketFile),
}

/// Either kind of stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl LimitedListener {
    pub(super) fn new(place: Place) -> io::Result<Self> {
        let inner = match place {
            Place::Port(listener, _) => Inner::Port(TcpListener::from_std(listener)?),
            Place::Socket(listener, file) => Inner::Socket(UnixListener::from_std(listener)?, file),
        };
        Ok(Self { inner, places: Arc::new(Semaphore::new(MOST_CONNECTIONS)), open: Vec::new() })
    }

    /// Ends the connection that has been waited for longest.
    fn make_room(&mut self) {
        let waiting = self.open.iter().enumerate().filter(|(_, open)| !open.progress.answering());
        if let Some((longest, _)) = waiting.min_by_key(|(_, open)| open.progress.since()) {
            self.open.swap_remove(longest);
        }
    }
}

impl Listener for LimitedListener {
    type Io = Connection;
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        let stream: Box<dyn Stream> = match &mut self.inner {
            Inner::Port(listener) => Box::new(Listener::accept(listener).await.0),
            Inner::Socket(listener, _) => Box::new(Listener::accept(listener).await.0),
        };
        self.open.retain(|open| !open.leave.is_closed());
        if self.places.available_permits() == 0 {
            self.make_room();
        }
        let place = loop {
            // The semaphore is never closed, so the first try succeeds.
            if let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
                break place;
            }
        };
        let (leave, told_to_leave) = oneshot::channel();
        let connection = Connection::new(stream, place, told_to_leave);
        self.open.push(Open { progress: connection.progress.clone(), leave });
        (connection, ())
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// How far a connection is. The guard says when its request is being answered.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<State>);

#[derive(Debug)]
struct State {
    answering: AtomicBool,
    /// When it began, or when bytes were last written to it.
    since: Mutex<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self(Arc::new(State { answering: AtomicBool::new(false), since: Mutex::new(Instant::now()) }))
    }

    pub(super) fn set_answering(&self, answering: bool) {
        self.0.answering.store(answering, Ordering::Relaxed);
    }

    fn answering(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed)
    }

    fn since(&self) -> Instant {
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_on(&self, now: Instant) {
        *self.0.since.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Connected<IncomingStream<'_, LimitedListener>> for Progress {
    fn connect_info(stream: IncomingStream<'_, LimitedListener>) -> Self {
        stream.io().progress.clone()
    }
}

/// One connection.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    progress: Progress,
    deadline: Pin<Box<Sleep>>,
    told_to_leave: oneshot::Receiver<()>,
    unanswered: usize,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: Box<dyn Stream>, place: OwnedSemaphorePermit, told_to_leave: oneshot::Receiver<()>) -> Self {
        Self {
            stream,
            progress: Progress::new(),
            deadline: Box::pin(sleep(PATIENCE)),
            told_to_leave,
            unanswered: 0,
            _place: place,
        }
    }

    fn out_of_patience(&mut self, context: &mut Context<'_>) -> bool {
        // The listener never sends: it drops its end.
        self.deadline.as_mut().poll(context).is_ready() || Pin::new(&mut self.told_to_leave).poll(context).is_ready()
    }

    fn moved_on(&mut self) {
        self.unanswered = 0;
        let now = Instant::now();
        self.progress.move_on(now);
        self.deadline.as_mut().reset(now + PATIENCE);
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                this.unanswered += buffer.filled().len() - before;
                if this.unanswered > MOST_UNANSWERED {
                    return Poll::Ready(Err(io::Error::other("request too long")));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if !this.progress.answering() && this.out_of_patience(context) => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unanswered > 0 {
            // The answer begins: however long it took to make, its reader gets the whole time.
            this.moved_on();
        }
        match Pin::new(&mut this.stream).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => {
                this.moved_on();
                Poll::Ready(Ok(written))
            }
            Poll::Pending if this.out_of_patience(context) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            other => other,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
