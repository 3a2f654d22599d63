//! The peer port: Raft, forwarding and agent sessions between nodes, behind one handshake.
//!
//! What deliberately does not live here: the meaning of payloads, and any decision that rests on
//! them. A connection is accepted, refused or broken; that is all.

mod connection;
mod frame;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handshake;
mod identity;
mod link;
mod listener;
mod methods;

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

pub use connection::{Connection, FrameReader, FrameWriter, ReadError};
pub use handshake::{DialError, dial};
pub use identity::{HandshakeError, Identity, PeerIdentity, Purpose};
pub use link::{Link, LinkEvent};
pub use listener::serve;

use crate::limits;

/// Small frames go out at once, and a peer that is gone without a word is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let unread = u32::try_from(limits::PEER_UNREAD.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, unread)?;
    rustix::net::sockopt::set_socket_keepalive(stream, true)?;
    rustix::net::sockopt::set_tcp_keepidle(stream, Duration::from_secs(10))?;
    rustix::net::sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
    Ok(())
}

#[cfg(test)]
mod tests;
