//! Mesos at the border: its messages, its JSON, and their translation to and from our own words.
//!
//! Nothing in here does IO or holds state. What a call may do is decided by the ledger; how a
//! request reaches this code, and who may send it, is the node's affair.

pub mod agent;
pub mod call;
pub mod codec;
pub mod event;
pub mod json;
pub mod limits;
pub mod listing;
pub mod master;
pub mod negotiate;
pub mod operator;
pub mod proto;
pub mod record_io;
pub mod refusal;
pub mod resources;
pub mod room;
pub mod terms;
