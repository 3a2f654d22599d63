//! The accept loop of an HTTP listener, with every limit on what a client may cost.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::route::Door;
use super::{Api, handle};
use crate::limits;
use crate::metrics::catalogue;
use crate::stop::Stop;

/// Binds a listener for HTTP.
///
/// # Errors
/// The address is taken or not of this machine.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Accepts until `stop` is set; open connections end with the runtime.
pub async fn serve(listener: TcpListener, door: Door, api: Arc<Api>, mut stop: Stop) {
    let open = crate::metrics::gauge(&catalogue::HTTP_CONNECTIONS, &[]);
    let room = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
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
        let api = Arc::clone(&api);
        let open = Open::new(&open);
        tokio::spawn(async move {
            connection(stream, from, door, api).await;
            drop((open, permit));
        });
    }
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

async fn connection(stream: TcpStream, from: SocketAddr, door: Door, api: Arc<Api>) {
    if let Err(error) = prepare(&stream) {
        tracing::debug!(%error, "an http connection cannot be set up");
        return;
    }
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(handle(api, door, from, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HTTP_HEAD)
        .max_headers(limits::HTTP_HEADERS)
        .max_buf_size(limits::HTTP_BUFFER_BYTES)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an http connection ended badly");
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
