//! A client that waits: for tests and tools. The agent has its own, which does not.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::protocol::{Answer, Body, Frames, Request, Task, VERSION, frame};

/// A connection to a keeper.
#[derive(Debug)]
pub struct Blocking {
    socket: UnixStream,
    frames: Frames,
    requests: u64,
    changes: VecDeque<Task>,
}

impl Blocking {
    /// Connects to the keeper of a folder and says hello. Every later wait ends with an error after
    /// `patience`.
    ///
    /// # Errors
    /// There is no keeper, or it answers something else.
    pub fn connect(dir: &Path, patience: Duration) -> io::Result<Blocking> {
        let folder = std::fs::File::open(dir)?;
        let socket = UnixStream::connect(crate::socket_path(&folder))?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        let mut client = Blocking {
            socket,
            frames: Frames::default(),
            requests: 0,
            changes: VecDeque::new(),
        };
        match client.ask(&Request::Hello { version: VERSION })? {
            Body::Hello { .. } => Ok(client),
            other => Err(io::Error::other(format!("no hello but {other:?}"))),
        }
    }

    /// Asks, and waits for the answer. Changes that come before it are kept.
    ///
    /// # Errors
    /// The connection broke, or the answer took too long.
    pub fn ask(&mut self, request: &Request) -> io::Result<Body> {
        let bytes = frame(request).map_err(io::Error::other)?;
        self.socket.write_all(&bytes)?;
        self.requests += 1;
        loop {
            let answer = self.read()?;
            if answer.request == self.requests {
                return Ok(answer.body);
            }
            self.keep(answer);
        }
    }

    /// The next change, in order; only once subscribed.
    ///
    /// # Errors
    /// The connection broke, or nothing changed for too long.
    pub fn change(&mut self) -> io::Result<Task> {
        loop {
            if let Some(task) = self.changes.pop_front() {
                return Ok(task);
            }
            let answer = self.read()?;
            self.keep(answer);
        }
    }

    /// Waits until the keeper has ended.
    ///
    /// # Errors
    /// It took too long.
    pub fn wait_for_end(&mut self) -> io::Result<()> {
        loop {
            match self.read() {
                Ok(answer) => self.keep(answer),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn keep(&mut self, answer: Answer) {
        if let Body::Task(task) = answer.body {
            self.changes.push_back(task);
        }
    }

    fn read(&mut self) -> io::Result<Answer> {
        let mut bytes = [0; 64 * 1024];
        loop {
            if let Some(answer) = self.frames.take().map_err(io::Error::other)? {
                return Ok(answer);
            }
            match self.socket.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.frames.push(&bytes[..length]),
            }
        }
    }
}
