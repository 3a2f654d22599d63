//! What a connection is doing, since when, and how long it may go on with it.
//!
//! The connection's own task turns the pace as requests come and go; the listener looks at it to
//! find the connection that has waited longest. No lock is taken and no timer is set per request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, Sleep};

use crate::limits;

/// What is answered to a head that does not come to its end.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

tokio::task_local! {
    /// The pace of the connection whose request is being answered.
    static CURRENT: Arc<Pace>;
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is new and has to bring its first head.
    New,
    /// Nothing of the next head has come.
    Idle,
    /// A part of a head has come.
    Head,
    /// The head has come, and the handler waits for the body.
    Body,
    /// A request is being answered.
    Busy,
    /// The answer is made, and its last bytes are not sent so far.
    Sending,
    /// It was told to go, since others need its place.
    Evicted,
}

impl Phase {
    const ALL: [Phase; 7] = [
        Phase::New,
        Phase::Idle,
        Phase::Head,
        Phase::Body,
        Phase::Busy,
        Phase::Sending,
        Phase::Evicted,
    ];

    /// How long it may last; what has no end here is bounded by whoever answers.
    fn patience(self) -> Option<Duration> {
        match self {
            Phase::New | Phase::Head => Some(limits::HTTP_HEAD),
            Phase::Idle => Some(limits::HTTP_IDLE),
            Phase::Body | Phase::Busy | Phase::Sending | Phase::Evicted => None,
        }
    }

    /// Whether the connection waits for its client, so that ending it ends nothing else.
    fn waits(self) -> bool {
        match self {
            Phase::New | Phase::Idle | Phase::Head | Phase::Body => true,
            Phase::Busy | Phase::Sending | Phase::Evicted => false,
        }
    }
}

/// The pace of one connection.
#[derive(Debug)]
pub struct Pace {
    /// When the listener began to listen.
    base: Instant,
    /// Milliseconds since the base, times eight, plus the phase.
    state: AtomicU64,
    evicted: Notify,
}

impl Pace {
    /// Of a connection that was just accepted.
    pub fn new(base: Instant) -> Pace {
        let pace = Pace {
            base,
            state: AtomicU64::new(0),
            evicted: Notify::new(),
        };
        pace.state.store(pace.packed(Phase::New), Ordering::Relaxed);
        pace
    }

    /// A phase that begins now; what nobody asks the beginning of has none.
    fn packed(&self, phase: Phase) -> u64 {
        let since = match phase.waits() {
            true => Instant::now().saturating_duration_since(self.base),
            false => Duration::ZERO,
        };
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX >> 3);
        since << 3 | phase as u64
    }

    fn unpacked(&self, state: u64) -> (Phase, Instant) {
        let phase = Phase::ALL[usize::try_from(state & 7).expect("three bits")];
        (phase, self.base + Duration::from_millis(state >> 3))
    }

    /// What it is doing, and since when.
    fn now(&self) -> (Phase, Instant) {
        self.unpacked(self.state.load(Ordering::Relaxed))
    }

    /// Goes over to another phase; false if it was evicted before.
    pub fn turn(&self, phase: Phase) -> bool {
        let next = self.packed(phase);
        let turned = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                (self.unpacked(state).0 != Phase::Evicted).then_some(next)
            });
        turned.is_ok()
    }

    /// Bytes came.
    fn heard(&self) {
        let state = self.state.load(Ordering::Relaxed);
        let head = match self.unpacked(state).0 {
            Phase::Idle | Phase::Sending => self.packed(Phase::Head),
            // The time of the first head runs from the start.
            Phase::New => state - Phase::New as u64 + Phase::Head as u64,
            Phase::Head | Phase::Body | Phase::Busy | Phase::Evicted => return,
        };
        // Only an eviction can come between, and that one stays.
        let _heard = self
            .state
            .compare_exchange(state, head, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// All bytes so far are sent.
    fn sent(&self) {
        let state = self.state.load(Ordering::Relaxed);
        if self.unpacked(state).0 == Phase::Sending {
            // Bytes that come between are of the next head, and that one stays.
            let idle = self.packed(Phase::Idle);
            let _sent =
                self.state
                    .compare_exchange(state, idle, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// When the phase is over at the latest.
    fn deadline(&self) -> Option<Instant> {
        let (phase, since) = self.now();
        phase.patience().map(|patience| since + patience)
    }

    /// Since when it waits for its client, as something to compare and to evict by.
    pub fn waiting(&self) -> Option<Waiting> {
        let state = self.state.load(Ordering::Acquire);
        let (phase, _) = self.unpacked(state);
        phase.waits().then_some(Waiting(state))
    }

    /// Tells it to go, unless it has stopped waiting or waits for something else meanwhile.
    pub fn evict(&self, waiting: Waiting) -> bool {
        let evicted = self.packed(Phase::Evicted);
        let swapped =
            self.state
                .compare_exchange(waiting.0, evicted, Ordering::AcqRel, Ordering::Acquire);
        if swapped.is_ok() {
            self.evicted.notify_one();
        }
        swapped.is_ok()
    }

    /// Comes back once it is evicted.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

/// Since when a connection waits: the smaller, the longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting(u64);

/// Answers a request as part of the connection with this pace.
pub async fn with<F: Future>(pace: Arc<Pace>, answering: F) -> F::Output {
    CURRENT.scope(pace, answering).await
}

/// Waits for a body as part of the connection that the caller answers; while it does, the connection
/// may be evicted, and the caller is then dropped.
pub async fn body<F: Future>(reading: F) -> F::Output {
    tokio::pin!(reading);
    // Most bodies come together with their heads.
    let at_once = std::future::poll_fn(|context| {
        Poll::Ready(match reading.as_mut().poll(context) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        })
    });
    if let Some(read) = at_once.await {
        return read;
    }
    // Outside of a connection, in a test for instance, there is nothing to turn.
    let turn = |phase| CURRENT.try_with(|pace| pace.turn(phase));
    let _turned = turn(Phase::Body);
    let read = reading.await;
    let _turned = turn(Phase::Busy);
    read
}

/// A stream that ends with an error once its connection's phase has taken too long.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    /// Often earlier than the deadline of the phase, since it is set again only when it goes off.
    timer: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    /// Bounds a stream.
    pub fn new(stream: S, pace: Arc<Pace>) -> Paced<S> {
        let timer = Box::pin(tokio::time::sleep(limits::HTTP_HEAD));
        Paced {
            stream,
            pace,
            timer,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Paced<S> {
    /// Nothing came: for how long may nothing come?
    ///
    /// The timer runs in phases without an end too: hyper, which has asked for bytes while it answers,
    /// does not ask again when it is done, so it has to be woken to come by here.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.pace.deadline();
            let look = deadline.unwrap_or_else(|| Instant::now() + limits::HTTP_HEAD);
            if look < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(look);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut own.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                if buffer.filled().len() > before {
                    own.pace.heard();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if own.poll_late(context).is_pending() {
                    return Poll::Pending;
                }
                if own.pace.now().0 == Phase::Head {
                    // Whoever does not take it gets no second one.
                    let _told = Pin::new(&mut own.stream).poll_write(context, TOO_SLOW);
                }
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if let Poll::Ready(Ok(())) = flushed {
            self.pace.sent();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
