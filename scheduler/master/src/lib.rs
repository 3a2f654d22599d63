//! The machine that a master runs: quorum, ledger, sessions, streams and, while it leads, decisions.
//!
//! What lives here is the composition: one [`Master`] takes every [`Input`] and says every [`Output`].
//! What deliberately does not: sockets, files, clocks, entropy and foreign dialects (the shell), what
//! applying a command means (the modules), and Raft itself (`shoal-quorum`).
//!
//! A driver steps every input that waits, then polls outputs until there is none: what was submitted
//! between two polls travels in one entry and one sync.

mod agents;
pub mod charter;
pub mod config;
pub mod event;
mod frameworks;
mod guests;
mod hashes;
pub mod input;
mod lead;
mod leases;
pub mod life;
pub mod limits;
mod master;
mod members;
mod narrate;
pub mod peer;
mod proposals;
mod queue;
mod reads;
mod replicate;
mod requests;
pub mod ring;
mod sessions;
pub mod state;
mod streams;

pub use charter::{Charter, CharterCommand, Identity};
pub use config::{Config, MasterInfo, Tuning};
pub use event::{EntryEvents, Event, KilledBy, Position, Reported, What};
pub use input::{Answer, Ask, Conn, Input, Leadership, Output, Refused, Request, View};
pub use master::{Master, Stats};
pub use peer::{Forwarded, LedgerMessage, PeerMessage};
pub use state::{LedgerCommand, Outcome, State, runs_framework};
