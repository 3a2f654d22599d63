//! Bounds of the built-in schedulers.

/// Ended runs that are remembered; the oldest goes first. Ours.
pub const ENDED_RUNS: usize = 1_000;
/// Tasks of ended runs that are remembered, all together; the oldest run goes first. Ours.
pub const ENDED_SLOTS: u64 = 200_000;
/// Tasks placed by one plan; what is left waits for the next offers. Ours.
pub const PLACEMENTS_PER_PLAN: usize = 4_096;

const _: () = assert!(PLACEMENTS_PER_PLAN <= shoal_api::limits::TASKS_PER_ACCEPT);
