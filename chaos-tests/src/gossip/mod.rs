//! The gossip alone, many members in one process: the very machine of a member, under a network that
//! loses datagrams, delays streams and cuts, in virtual time.
//!
//! What lives here is that world ([`world`]) and what is measured in it ([`measures`]). What does not:
//! agents, masters and the ledger, which [`crate::cluster`] has.

pub mod measures;
pub mod world;
