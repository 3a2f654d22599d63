//! The accept loop of an HTTP listener, with every limit on what a client may cost.
//!
//! A client costs a place, buffers and time. Places are bounded: when all are taken, the connection
//! that has waited longest for its client goes, and when none waits, the new one is told so. Time is
//! bounded per phase (`pace`); what a body may cost is bounded where bodies are read.

mod pace;
mod seats;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use metrics::{Counter, Gauge};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use super::reply::{self, Reply, ReplyBody};
use super::route::Door;
use super::{Api, handle};
use crate::descriptors;
use crate::limits;
use crate::metrics::catalogue;
use crate::stop::Stop;
pub use pace::body;
use pace::{Pace, Paced, Phase};
use seats::{Entry, Seat, Seats};

/// Binds a listener that takes bursts of clients.
///
/// # Errors
/// The address is taken or not of this machine.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG)
}

/// Accepts until `stop` is set; open connections end with the runtime.
///
/// A quarter of the file descriptors at most goes to one listener, whatever the limit of connections:
/// disks, peers and tasks need the rest.
pub async fn serve(listener: TcpListener, door: Door, api: Arc<Api>, mut stop: Stop) {
    let open = crate::metrics::gauge(&catalogue::HTTP_CONNECTIONS, &[]);
    let crowded = Crowded::new();
    let seats = Seats::new(limits::HTTP_CONNECTIONS.min(descriptors::limit() / 4));
    loop {
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: what is open has to end first.
                    tracing::warn!(%error, "cannot accept an http connection");
                    tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stop.wanted() => return,
        };
        let seat = match seats.enter() {
            Entry::Seated(seat, evicted) => {
                crowded.evicted.increment(evicted as u64);
                seat
            }
            Entry::Full => {
                crowded.refuse(stream);
                continue;
            }
        };
        let api = Arc::clone(&api);
        let open = Open::new(&open);
        tokio::spawn(async move {
            connection(stream, &seat, from, door, api).await;
            drop((open, seat));
        });
    }
}

/// What happens, and is counted, when all places are taken.
struct Crowded {
    evicted: Counter,
    refused: Counter,
    /// Refusals that are being told.
    telling: Arc<Semaphore>,
}

impl Crowded {
    fn new() -> Crowded {
        let counter = |cause| crate::metrics::counter(&catalogue::HTTP_CROWDED, &[cause]);
        Crowded {
            evicted: counter("evicted"),
            refused: counter("refused"),
            telling: Arc::new(Semaphore::new(limits::HTTP_REFUSALS)),
        }
    }

    /// Says 503 and closes; beyond a bound it only closes.
    fn refuse(&self, mut stream: TcpStream) {
        self.refused.increment(1);
        let Ok(permit) = Arc::clone(&self.telling).try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            let told = tokio::time::timeout(limits::HTTP_REFUSAL, tell(&mut stream)).await;
            tracing::debug!(?told, "an http connection was refused: all are busy");
            drop((stream, permit));
        });
    }
}

/// Tells a client that there is no room, and takes what it has sent meanwhile: a close with unread
/// bytes would take the answer away from it.
async fn tell(stream: &mut TcpStream) -> io::Result<()> {
    let text = "All connections of this node are busy: try again soon, or ask another master\n";
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
         content-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{text}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut sent = [0; 1024];
    while stream.read(&mut sent).await? > 0 {}
    Ok(())
}

/// Counts a connection while it lives.
struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Open {
        gauge.increment(1.0);
        Open(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

async fn connection(stream: TcpStream, seat: &Seat, from: SocketAddr, door: Door, api: Arc<Api>) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "an http connection cannot be set up");
        return;
    }
    // On the heap, since a connection has room for one answer in itself, idle or not.
    let answer = move |request| Box::pin(handle(Arc::clone(&api), door, from, request));
    converse(stream, seat, answer).await;
}

/// Answers the requests of one connection until it ends or has to go.
async fn converse<S, A, F>(stream: S, seat: &Seat, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply>,
{
    let pace = Arc::clone(seat.pace());
    let paced = Paced::new(stream, Arc::clone(&pace));
    let service = service_fn(|request| {
        let pace = Arc::clone(&pace);
        let answered = pace.turn(Phase::Busy).then(|| answer(request));
        async move {
            let reply = match answered {
                Some(answered) => pace::with(Arc::clone(&pace), answered).await,
                None => evicted(),
            };
            Ok::<_, Infallible>(reply.map(|body| Told { body, pace }))
        }
    });
    let served = http1::Builder::new()
        .max_headers(limits::HTTP_HEADERS)
        .max_buf_size(limits::HTTP_BUFFER_BYTES)
        .half_close(false)
        .serve_connection(TokioIo::new(paced), service);
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "an http connection ended badly");
        },
        () = pace.evicted() => tracing::debug!("a waiting http connection made room"),
    }
}

/// The answer to a request that came when its connection had just been told to go.
fn evicted() -> Reply {
    let why = "This node has too many connections: connect again";
    let mut reply = reply::text(StatusCode::SERVICE_UNAVAILABLE, why);
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// A body whose end is the end of its request.
struct Told {
    body: ReplyBody,
    pace: Arc<Pace>,
}

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.pace.turn(Phase::Sending);
    }
}

/// A client that is gone or does not read must not hold a connection for ever: hyper has no time
/// limit for writing, so the kernel's does it.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let unread = u32::try_from(limits::TCP_UNREAD.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, unread)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
    Ok(())
}
