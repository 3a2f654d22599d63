//! The sockets of one address: UDP never waits to send, speaks IPv4 through an IPv6 socket too; TCP
//! listens beside it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use shoal_membership::limits::DATAGRAM_BYTES;
use tokio::net::{TcpListener, UdpSocket};

use super::limits;

/// A bound address.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    listener: Option<TcpListener>,
    address: SocketAddr,
    buffer: Box<[u8; DATAGRAM_BYTES + 1]>,
}

impl Socket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
        let (socket, listener) = bind_both(address)?;
        socket.set_nonblocking(true)?;
        listener.set_nonblocking(true)?;
        // Smaller buffers than wished for lose datagrams earlier, which the gossip bears.
        let _smaller =
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, limits::SOCKET_BYTES);
        let _smaller =
            rustix::net::sockopt::set_socket_send_buffer_size(&socket, limits::SOCKET_BYTES);
        Ok(Socket {
            address: socket.local_addr()?,
            socket: UdpSocket::from_std(socket)?,
            listener: Some(TcpListener::from_std(listener)?),
            buffer: Box::new([0; DATAGRAM_BYTES + 1]),
        })
    }

    /// Where it is bound, with the port that the kernel chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where others open streams; given away once.
    pub(super) fn take_listener(&mut self) -> TcpListener {
        self.listener.take().expect("the driver takes it once")
    }

    /// Waits until something can be read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// A datagram, if one waits. One that is too long is cut one byte beyond the bound, so that
    /// the machine sees that it is.
    pub(super) fn receive(&mut self) -> io::Result<Option<(SocketAddr, Bytes)>> {
        match self.socket.try_recv_from(&mut self.buffer[..]) {
            Ok((length, from)) => {
                let bytes = Bytes::copy_from_slice(&self.buffer[..length]);
                Ok(Some((canonical(from), bytes)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends at once or not at all.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let to = mapped(to, self.address);
        self.socket.try_send_to(bytes, to).map(drop)
    }
}

/// One port for both. When any port will do, the kernel's choice for the one may be taken for the
/// other.
fn bind_both(address: SocketAddr) -> io::Result<(std::net::UdpSocket, std::net::TcpListener)> {
    let mut tries = 0;
    loop {
        let socket = std::net::UdpSocket::bind(address)?;
        match std::net::TcpListener::bind(socket.local_addr()?) {
            Ok(listener) => return Ok((socket, listener)),
            Err(error) if address.port() != 0 || tries == limits::PORT_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

/// An IPv4 peer of an IPv6 socket, as IPv4.
fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// An IPv4 peer as an IPv6 socket wants it.
fn mapped(to: SocketAddr, bound: SocketAddr) -> SocketAddr {
    match (to.ip(), bound) {
        (IpAddr::V4(ip), SocketAddr::V6(_)) => {
            SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
        }
        (IpAddr::V4(_) | IpAddr::V6(_), SocketAddr::V4(_) | SocketAddr::V6(_)) => to,
    }
}
