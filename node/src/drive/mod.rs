//! The drive of the master's machine: its thread, and everything that goes in and out of it.
//!
//! What lives here moves inputs and outputs between the machine and the world, and decides nothing.
//! What deliberately does not: the agent's drive (`executor`), the gossip's (`gossip`), and HTTP
//! (`api`).

mod addresses;
mod disk;
mod export;
mod feed;
mod founding;
mod inbound;
mod machine;
pub mod mailbox;
mod start;

pub use founding::{Found, Search, found};
pub use start::{MasterParts, Running, start};
