//! The keeper: the small process that is the parent of an agent's tasks and outlives the agent.
//!
//! What lives here: starting processes, waiting for their end, signals, a journal of both, and the
//! socket on which the agent asks for them. What deliberately does not: any decision about a task
//! (which may run, when one is killed, what its end means), any knowledge of sandboxes, frameworks or
//! masters, threads, and a runtime. It has little to do wrong, as nothing can restart it unseen.

mod blocking;
mod client;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod journal;
pub mod limits;
mod process;
pub mod protocol;
mod server;
mod spawn;
mod table;

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::PathBuf;

use thiserror::Error;

pub use blocking::Blocking;
pub use process::BootId;

/// How a keeper is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Its own folder, which exists: the socket, the journal and the lock are in it.
    pub dir: PathBuf,
    /// End all tasks and then itself as soon as standard input is closed. For clusters that a
    /// developer starts and expects to vanish; without it tasks outlive everything but the machine.
    pub lifeline: bool,
}

/// Why a keeper did not start, or ended.
#[derive(Debug, Error)]
pub enum KeeperError {
    /// The folder has a keeper: nothing changed, talk to that one.
    #[error("a keeper already runs for {0}")]
    AlreadyRuns(PathBuf),
    /// The arguments make no sense.
    #[error("the keeper's arguments are not valid: {0}")]
    Usage(String),
    /// Something that the keeper needs failed.
    #[error("the keeper cannot work, {0} failed: {1}")]
    Environment(&'static str, #[source] io::Error),
}

impl Options {
    /// Reads `--dir DIR [--lifeline]`.
    ///
    /// # Errors
    /// [`KeeperError::Usage`].
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options, KeeperError> {
        let (mut dir, mut lifeline) = (None, false);
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--dir" => dir = arguments.next().map(PathBuf::from),
                "--lifeline" => lifeline = true,
                other => return Err(KeeperError::Usage(format!("there is no '{other}'"))),
            }
        }
        match dir {
            Some(dir) => Ok(Options { dir, lifeline }),
            None => Err(KeeperError::Usage("--dir DIR is missing".into())),
        }
    }
}

/// Runs a keeper in this process, which must have no other thread, until it is told to end.
///
/// # Errors
/// [`KeeperError`] if it could not start, or lost the ability to wait.
pub fn run(options: &Options) -> Result<(), KeeperError> {
    let mut server = server::Server::start(options)?;
    server
        .run()
        .map_err(|error| KeeperError::Environment("waiting", error))
}

/// The name of the socket in an open folder, as short as a socket's name must be. It is good as long
/// as the folder stays open.
pub fn socket_path(folder: &impl AsFd) -> String {
    let number = folder.as_fd().as_raw_fd();
    format!("/proc/self/fd/{number}/{}", protocol::SOCKET)
}
