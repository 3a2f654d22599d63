//! The bounds of the allocator: what one pass may plan and what its memory may hold.

use std::time::Duration;

/// Kinds of scalar resource that count for shares, in the order in which they are first seen.
/// Further kinds are offered like any other but leave shares as they are; counted in the report.
/// Source: ours.
pub const SCALAR_KINDS: usize = 16;
/// Offers in one plan; agents beyond it stay touched and are visited by the next pass. Source: ours,
/// so that one plan stays a small entry.
pub const OFFERS_PER_PLAN: usize = 16_384;
/// Decline filters in all. When full the one that expires first is dropped, counted, and its agent
/// touched, as if it had expired. Source: ours.
pub const FILTERS: usize = 1_000_000;
/// The longest life of a filter. Source: Mesos, 365 days.
pub const FILTER_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The shortest life of a filter that is one at all. Source: Mesos, one allocation interval.
pub const FILTER_LIFE_MIN: Duration = Duration::from_secs(1);
/// Filters expire together on ticks of this length, so that what they free is one entry. Source:
/// design, "a shared tick of about a second".
pub const FILTER_TICK: Duration = Duration::from_secs(1);
/// Candidates tried in the order of their shares before the rest is compared one by one. Ours.
pub const ORDERED_ATTEMPTS: usize = 16;
/// An offer needs this many cpus, in thousandths, or [`MIN_MEM`]. Source: Mesos, `cpus:0.01|mem:32`.
pub const MIN_CPUS: i64 = 10;
/// An offer needs this much memory, in thousandths of a MB, or [`MIN_CPUS`]. Source: Mesos.
pub const MIN_MEM: i64 = 32_000;

const _: () = assert!(FILTER_LIFE_MIN.as_nanos() <= FILTER_LIFE_MAX.as_nanos());
const _: () = assert!(FILTER_TICK.as_nanos() <= FILTER_LIFE_MIN.as_nanos());
const _: () = assert!(ORDERED_ATTEMPTS > 0 && OFFERS_PER_PLAN > 0 && FILTERS > 0);
