//! What is said on the keeper's socket: frames of a length (four bytes, little endian) and that many
//! bytes of `postcard`.
//!
//! A client says [`Request::Hello`] first. Requests are answered in order, each answer with the number
//! of its request; changes of tasks come in between, once subscribed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits;

/// The version of this protocol; a keeper outlives the agent that started it, so it may be older.
pub const VERSION: u32 = 1;
/// The name of the socket in the keeper's folder.
pub const SOCKET: &str = "keeper.sock";

/// From client to keeper. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Once, first.
    Hello {
        /// The highest version that the client speaks.
        version: u32,
    },
    /// Start a process; a key that is known is not started again, and the answer says how it is.
    Spawn {
        /// The client's name for the task.
        key: String,
        /// What to start.
        spec: Box<Spec>,
    },
    /// Send a signal to a task's process group.
    Signal {
        /// Which task.
        key: String,
        /// 1 to 64.
        signal: u8,
    },
    /// Say how all tasks are.
    List,
    /// Say how all tasks are, and each change from here on.
    Subscribe,
    /// Forget a task that has ended, so that its key may be used again.
    Forget {
        /// Which.
        key: String,
    },
    /// End all tasks, then the keeper: TERM, and KILL after the grace. The connection ends with it.
    Shutdown {
        /// In milliseconds.
        grace_ms: u64,
    },
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// A path, or a word that is looked up in the PATH of `environment`.
    pub program: String,
    /// What the program sees, its own name first.
    pub arguments: Vec<String>,
    /// Everything that it sees, apart from the marker that the keeper adds.
    pub environment: Vec<(String, String)>,
    /// Where it starts; absolute.
    pub directory: String,
    /// Its output is appended to this file; absolute.
    pub stdout: String,
    /// Its errors are appended to this file; absolute.
    pub stderr: String,
    /// Under whom it runs; the keeper's own where absent.
    pub identity: Option<Identity>,
    /// The file mode bits that it takes away by default.
    pub umask: u32,
}

/// A user, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// Its main group.
    pub gid: u32,
    /// Its further groups.
    pub groups: Vec<u32>,
}

/// A task and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The client's name for it.
    pub key: String,
    /// How it is.
    pub state: State,
}

/// How a task is. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Its process runs.
    Running {
        /// The process, and its group.
        pid: u32,
        /// Since when.
        since: i64,
    },
    /// Its process ended.
    Ended {
        /// How.
        end: End,
        /// When that was seen.
        at: i64,
    },
    /// No process was ever started.
    NotStarted {
        /// Why.
        failure: Failure,
        /// When.
        at: i64,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself, with this code.
    Code(u8),
    /// By a signal.
    Signal(u8),
    /// While no keeper watched.
    Unknown,
}

/// Why no process was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The program could not be executed; the cause is also in the task's stderr.
    Exec(String),
    /// Something before that failed.
    Setup(String),
}

/// From keeper to client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The place of the request on this connection, from 1; 0 is a change that was subscribed to.
    pub request: u64,
    /// What.
    pub body: Body,
}

/// What a keeper says. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// To a hello.
    Hello {
        /// The version that is spoken from here on.
        version: u32,
        /// The keeper's process.
        pid: u32,
        /// It is about to end: ask its successor.
        stopping: bool,
    },
    /// To a spawn, or a change.
    Task(Task),
    /// To a list or a subscription, by key.
    Tasks(Vec<Task>),
    /// It was done, or there was nothing to do.
    Done,
    /// No task of that key is there, or it is not in the state for that.
    NoSuchTask,
    /// It is not done.
    Refused(String),
    /// To a spawn: the keeper is about to end and starts nothing; ask its successor.
    Ending,
}

/// Why bytes are not a frame; the connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Longer than allowed.
    #[error("a frame of {0} bytes is longer than the {limit} allowed", limit = limits::FRAME_BYTES)]
    TooLong(usize),
    /// Not a message.
    #[error("a frame cannot be read: {0}")]
    Malformed(postcard::Error),
}

/// A message as a frame.
///
/// # Errors
/// [`FrameError::TooLong`] if it does not fit in one.
pub fn frame<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(FrameError::Malformed)?;
    let length = bytes.len() - 4;
    if length > limits::FRAME_BYTES {
        return Err(FrameError::TooLong(length));
    }
    let header = u32::try_from(length)
        .expect("a frame is short")
        .to_le_bytes();
    bytes[..4].copy_from_slice(&header);
    Ok(bytes)
}

/// Cuts what arrives into messages. Holds at most one frame and what was read with it.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Adds what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    ///
    /// # Errors
    /// [`FrameError`]; nothing that follows can be read either.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.bytes[self.taken..];
        let Some((header, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*header) as usize;
        if length > limits::FRAME_BYTES {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = postcard::from_bytes(body).map_err(FrameError::Malformed)?;
        self.taken += 4 + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_wherever_they_arrive() {
        let requests = [
            Request::Hello { version: 1 },
            Request::Signal {
                key: "a".into(),
                signal: 15,
            },
            Request::List,
        ];
        let mut bytes = Vec::new();
        for request in &requests {
            bytes.extend(frame(request).unwrap());
        }
        for step in 1..bytes.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(step) {
                frames.push(piece);
                while let Some(request) = frames.take::<Request>().unwrap() {
                    seen.push(request);
                }
            }
            assert_eq!(seen, requests);
        }
    }

    #[test]
    fn garbage_is_an_error() {
        let mut frames = Frames::default();
        frames.push(&[0xff; 64]);
        assert_eq!(
            frames.take::<Request>(),
            Err(FrameError::TooLong(0xffff_ffff))
        );
        let mut frames = Frames::default();
        frames.push(&[1, 0, 0, 0, 0x77]);
        assert!(matches!(
            frames.take::<Request>(),
            Err(FrameError::Malformed(_))
        ));
    }
}
