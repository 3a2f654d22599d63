//! Agents, frameworks, offers and tasks: the module of the ledger that every task goes through.
//!
//! [`Offers`] is the state, [`Offers::apply`] the only writer: deterministic, one
//! [`OffersCommand`] at a time, with its consequences as [`Effect`]s. The [`allocator`] reads the
//! state and plans offers; it is soft state of the leader.
//!
//! What deliberately does not live here: services and jobs (they meet this module as frameworks
//! do), sessions, streams and timers (the master's machine), and any dialect of an API.

mod accept;
pub mod allocator;
mod apply;
mod checks;
mod command;
mod derived;
mod effect;
mod invariants;
mod kill;
pub mod limits;
mod merge;
mod module;
mod notices;
mod offering;
mod operate;
mod outcome;
mod quantities;
mod query;
mod reconcile;
mod removal;
mod report;
mod row;
mod session;
mod state;
mod steps;
mod subscription;
mod view;

pub use apply::Context;
pub use command::{DisconnectCause, OffersCommand, RemovalCause, RescindCause};
pub use effect::Effect;
pub use outcome::{Dropped, Outcome, Refusal, decode_result, encode_result};
pub use quantities::Quantities;
pub use query::{Desired, TaskRef};
pub use row::{
    AgentRow, CompletedFramework, CompletedTask, Connection, Counters, FrameworkRow, KillOrder,
    OfferRow, OperationRow, Presence, Report, Standing, TaskRow,
};
pub use state::Offers;
