//! The quorum: Raft as a machine, and the bootstrap that founds it.
//!
//! What lives here is the only code that sees the `raft` crate. What deliberately does not: disk
//! (`node/disk` writes what [`Output::Persist`] asks for), sockets (the shell carries
//! [`Message`]s), clocks (time is an argument), entropy (chance is a seed), and any knowledge of what
//! the proposed bytes mean.
//!
//! A driver owns one [`Quorum`]. It hands in everything that happens with [`Quorum::step`], several
//! inputs in a row if it has them, and then takes outputs with [`Quorum::poll_output`] until there is
//! none: what was proposed between two polls travels in one append and one sync. When
//! [`Quorum::next_deadline`] passes it steps [`Input::Wake`]. Outputs must be acted upon in order; the
//! machine itself withholds what depends on the disk until [`Input::Persisted`].

pub mod bootstrap;
mod config;
mod election;
mod entry;
mod input;
pub mod limits;
mod membership;
mod message;
mod output;
mod persistence;
mod quorum;
mod reads;
mod receiving;
mod sending;
mod status;
mod tail;
mod wire;

pub use config::{Config, ConfigError};
pub use entry::{Batch, EntryKind, HardState, LogEntry, Recovered, RecoveryError, Snapshot, found};
pub use input::{Input, ReadId, Ticket};
pub use membership::{ChangeRefusal, Membership, MembershipChange};
pub use message::{Message, MessageError};
pub use output::{Applied, DropReason, Output, TransferOutcome};
pub use quorum::{Quorum, StartError, Survey};
pub use status::{PeerProgress, RaftRole, Stats, Status};
