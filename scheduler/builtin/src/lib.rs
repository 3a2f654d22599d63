//! The built-in schedulers: what they keep in the ledger and how they plan.
//!
//! What lives here are the ledger module of one-off runs (`shoal run`) and the planner that answers
//! offers for them. What deliberately does not: agents, other frameworks and the offers' own ledger
//! module; a built-in scheduler sees offers and answers with accepts, as any framework does.

pub mod limits;
pub mod plan;
pub mod runs;

pub use plan::{Placement, Plan, plan};
pub use runs::{RunRow, Runs, RunsCommand, SlotRow};
