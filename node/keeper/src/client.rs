//! One client's connection as the keeper sees it: bytes in, requests out; answers in, bytes out.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use crate::limits;
use crate::protocol::{Answer, Body, Frames, Request, frame};

/// A connection, without blocking.
#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    frames: Frames,
    out: Vec<u8>,
    requests: u64,
    pub greeted: bool,
    pub subscribed: bool,
    broken: bool,
}

impl Client {
    pub fn new(socket: OwnedFd) -> Client {
        Client {
            socket,
            frames: Frames::default(),
            out: Vec::new(),
            requests: 0,
            greeted: false,
            subscribed: false,
            broken: false,
        }
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether it is of no use any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Reads what is there, once.
    pub fn fill(&mut self) {
        let mut bytes = [0; 64 * 1024];
        match rustix::io::read(&self.socket, &mut bytes) {
            Ok(0) => self.broken = true,
            Ok(length) => self.frames.push(&bytes[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.broken = true,
        }
    }

    /// The next request with its number.
    pub fn next(&mut self) -> Option<(u64, Request)> {
        if self.broken {
            return None;
        }
        match self.frames.take() {
            Ok(Some(request)) => {
                self.requests += 1;
                Some((self.requests, request))
            }
            Ok(None) => None,
            Err(error) => {
                eprintln!("a client is dropped: {error}");
                self.broken = true;
                None
            }
        }
    }

    /// Says something; it leaves with the next [`Client::flush`].
    pub fn say(&mut self, request: u64, body: Body) {
        match frame(&Answer { request, body }) {
            Ok(bytes) if self.out.len() + bytes.len() <= limits::CLIENT_BACKLOG_BYTES => {
                self.out.extend(bytes);
            }
            Ok(_) => {
                eprintln!("a client is dropped: it does not read what it is told");
                self.broken = true;
            }
            Err(error) => {
                eprintln!("a client is dropped: {error}");
                self.broken = true;
            }
        }
    }

    /// Writes as much as the client takes.
    pub fn flush(&mut self) {
        let mut written = 0;
        while written < self.out.len() && !self.broken {
            let flags = rustix::net::SendFlags::NOSIGNAL;
            match rustix::net::send(&self.socket, &self.out[written..], flags) {
                Ok(length) => written += length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => self.broken = true,
            }
        }
        self.out.drain(..written);
    }
}
