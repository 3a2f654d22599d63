//! The words: identities, amounts, offers, tasks, calls and notices that every plane of Shoal shares.
//!
//! What lives here are types and their arithmetic. What deliberately does not: any decision (the
//! allocator, the ledger and the agent make those), any foreign dialect (Mesos, Marathon and Chronos
//! are translated at the border, in `node`), and any clock, dice, socket or file.
//!
//! # Glossary
//!
//! | word | meaning |
//! | --- | --- |
//! | node | one running `shoal` process |
//! | member | a node as the gossip sees it |
//! | master | a node that votes in the quorum, by the committed Raft configuration |
//! | agent | a node that offers resources and runs tasks |
//! | framework | a scheduler that receives offers and launches tasks |
//! | role | the party in whose name resources are offered |
//! | terms | on what a resource is used beyond its name: reservations, volume, disk, sharing |
//! | offer | free resources of one agent, promised to one framework in one role |
//! | accept, decline, rescind | the framework takes an offer, gives it back; the master takes it back |
//! | task | one process (or group) that an agent runs for a framework |
//! | status update, acknowledgement | a durable report of a task's state, and the framework's receipt |
//! | reconcile | a framework asks what state its tasks are in |
//! | entry, ledger, effect | one Raft entry; the replicated state; what applying an entry changed |
//! | lease, epoch | an agent's right to run its tasks; the number of its session |
//! | fence | (incarnation, epoch, index): an agent refuses a command with a lower one |

pub mod agent;
#[cfg(test)]
mod algebra;
pub mod call;
pub mod dice;
pub mod framework;
pub mod id;
pub mod limits;
pub mod member;
pub mod notice;
pub mod offer;
pub mod operation;
pub mod plant;
pub mod resource;
mod resource_text;
pub mod run;
pub mod session;
pub mod task;
pub mod terms;
pub mod text;
pub mod time;

pub use agent::{AgentInfo, Attribute, AttributeValue, HostPort};
pub use dice::Dice;
pub use framework::{Capability, FrameworkInfo};
pub use id::{
    AgentId, ClusterId, ContainerId, Epoch, Fence, FrameworkId, Generation, Incarnation, Index,
    LaunchIndex, Name, NodeId, OfferId, Origin, Principal, RaftId, RequestId, Role, StreamId,
    TaskId, TaskKey, Term, UpdateId,
};
pub use plant::{Plant, Plants};
pub use resource::{Amount, Range, Resource, Resources, Value};
pub use run::{RunId, RunRefusal, RunSpec, Slot, SlotState};
pub use task::{Command, Exit, Reason, Source, StatusUpdate, TaskSpec, TaskState};
pub use terms::{Disk, DiskKind, DiskSource, Reservation, ReservationKind, Terms, Volume};
pub use time::{Instant, Timestamp};
