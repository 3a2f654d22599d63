//! Membership: who is in the cluster, whether it lives, and what it tells about itself.
//!
//! A pure machine around `foca`'s SWIM, in the Serf style: [`Membership`] takes an [`Input`] and the
//! time, and says what it wants done as [`Output`]s. What lives here: identities and lives, the
//! datagram's envelope and its keys, what streams say, joining by address only, how a member is
//! probed and suspected, network coordinates, the table of members with leaving, left and failed
//! told apart, tags and how they spread, synchronising, name conflicts. What deliberately does not:
//! sockets, clocks and threads (the driver in `node` has them), and any decision about leases,
//! leaders or resources (gossip only suspects).
//!
//! # How a node is known
//!
//! - A *life* is (node id, generation): a restart is the same member with a newer life, and an
//!   older one is refused.
//! - An *identity* is a life, a renewal and an address. Others may hold a living node for dead; it
//!   then says at the next incarnation that it lives (see `hearsay`). Only when incarnations run
//!   out does it take the next renewal.
//! - *Meta* is what a node tells about itself: name and tags, with a version per life. It never
//!   travels with SWIM: whoever sees a newer version pulls it, point to point, from the teller.
//!
//! Source: SWIM (Das et al. 2002), Lifeguard (Dadgar et al. 2018) and Serf, as measured in the
//! project's facts; formats are ours.

mod codec;
mod config;
mod coordinate;
mod envelope;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod hearsay;
mod identity;
mod io;
mod join;
mod jury;
mod keyring;
pub mod limits;
mod machine;
mod message;
mod news;
mod probe;
mod pull;
mod receive;
mod replay;
mod schedule;
mod send;
mod stats;
mod streams;
mod suspicion;
mod swim;
mod sync;
mod table;
mod talk;
mod timing;

pub use config::{Config, ConfigError, Label, LabelError, NodeTags, Profile, TagsError, Tuning};
pub use io::{Input, Output, StreamId};
pub use keyring::{KEY_BYTES, Key, KeyId, Keyring, KeyringError, NoKey, Policy, Secrecy};
pub use machine::Membership;
pub use shoal_api::member::{Member, MemberEvent, MemberStatus, Tags};
pub use stats::{DropReason, Stats, TRIP_MICROS, Traffic, Volume};
pub use talk::{
    AnswerBody, Clocks, EventBody, EventError, EventName, Filter, FilterError, LamportTime, Query,
    QueryEnd, QueryError, QueryKey, QueryOptions, QueryRequest, QueryToken, Reply, UserEvent,
};
