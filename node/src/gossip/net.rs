//! The UDP socket: never waits to send, speaks IPv4 through an IPv6 socket too.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use shoal_membership::limits::DATAGRAM_BYTES;
use tokio::net::UdpSocket;

use super::limits;

/// A bound socket.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    address: SocketAddr,
    buffer: Box<[u8; DATAGRAM_BYTES + 1]>,
}

impl Socket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        // Smaller buffers than wished for lose datagrams earlier, which the gossip bears.
        let _smaller =
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, limits::SOCKET_BYTES);
        let _smaller =
            rustix::net::sockopt::set_socket_send_buffer_size(&socket, limits::SOCKET_BYTES);
        Ok(Socket {
            address: socket.local_addr()?,
            socket: UdpSocket::from_std(socket)?,
            buffer: Box::new([0; DATAGRAM_BYTES + 1]),
        })
    }

    /// Where it is bound, with the port that the kernel chose.
    pub fn address(&self) -> SocketAddr {
        self.address
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
