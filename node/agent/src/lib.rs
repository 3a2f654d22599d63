//! The agent: a machine that keeps a session with a master, runs what it is told to, and reports.
//!
//! What lives here is every decision of an agent: whom to dial, which command is too old, what must be
//! on disk before a process starts or a word is said, which state an exit means, when to send again.
//! What deliberately does not: sockets, files, processes, clocks and dice. The driver in `node` does
//! what [`Output`] asks and answers with [`Input`]; the simulator does the same with its own network,
//! disk and processes.
//!
//! # Rules that hold at every step
//! - a task's process is asked for only once its launch is on disk, and never again once it ran;
//! - an update is sent only once it is on disk, and until the ledger has it;
//! - a command with a fence below the highest one obeyed changes nothing;
//! - absence never ends a task: only an explicit kill does.

mod book;
mod config;
pub mod frames;
pub mod limits;
mod machine;
mod port;
mod process;
mod record;
mod session;
mod text;
mod timer;
mod updates;
mod view;

pub use config::{Config, Recovered, StartError};
pub use machine::{Agent, Counters};
pub use port::{
    BootId, ConnectionId, End, Failure, Input, KeeperEvent, KeeperTask, Output, Process,
    SessionChange, Signal, Spawn,
};
pub use record::{Record, RecordError, Ticket};
pub use view::{AgentView, TaskView};
