//! Connections with limits: so many at once, so long without progress, so many bytes before an answer.
//!
//! One rule covers idle, slow and endless requests: a connection that waits for bytes ends ten seconds after the last
//! byte that was written to it. While an answer is being made nothing is waited for, so slow answers are no offence.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use super::place::{Place, SocketFile};

/// Connections at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 32;
/// Longest wait for the rest of a request, or for the reader of an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of requests before one of them is answered. The guard's own, smaller limit has a polite answer.
const MOST_UNANSWERED: usize = 32 << 10;

/// Accepts at one place.
pub(super) struct LimitedListener {
    inner: Inner,
    places: Arc<Semaphore>,
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
        Ok(Self { inner, places: Arc::new(Semaphore::new(MOST_CONNECTIONS)) })
    }
}

impl Listener for LimitedListener {
    type Io = Connection;
    type Addr = ();

    async fn accept(&mut self) -> (Connection, ()) {
        let place = loop {
            // The semaphore is never closed, so the first try succeeds.
            if let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
                break place;
            }
        };
        let stream: Box<dyn Stream> = match &mut self.inner {
            Inner::Port(listener) => Box::new(Listener::accept(listener).await.0),
            Inner::Socket(listener, _) => Box::new(Listener::accept(listener).await.0),
        };
        (Connection::new(stream, place), ())
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a connection's request is being answered; the guard sets it.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(super) fn set_answering(&self, answering: bool) {
        self.0.store(answering, Ordering::Relaxed);
    }

    fn answering(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
    unanswered: usize,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: Box<dyn Stream>, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            progress: Progress::default(),
            deadline: Box::pin(sleep(PATIENCE)),
            unanswered: 0,
            _place: place,
        }
    }

    fn out_of_patience(&mut self, context: &mut Context<'_>) -> bool {
        self.deadline.as_mut().poll(context).is_ready()
    }

    fn moved_on(&mut self) {
        self.unanswered = 0;
        self.deadline.as_mut().reset(Instant::now() + PATIENCE);
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
