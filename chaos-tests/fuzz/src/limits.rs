//! Bounds of the fuzzer, and what it allows an input to cost.

use std::time::Duration;

/// Bytes of a mutated input at most.
pub const INPUT_BYTES: usize = 4 * 1024;
/// Bytes to which each input of the corpus is repeated once, to see costs that grow faster.
pub const GROWN_BYTES: usize = 128 * 1024;
/// Changes made to one input at most.
pub const CHANGES: u64 = 6;
/// Mutated inputs that were accepted and are mutated further; the oldest makes room.
pub const OFFSPRING: usize = 128;
/// Words taken from the corpus to be put elsewhere; further ones are not.
pub const WORDS: usize = 512;
/// CPU time of one input at most: thousands of times what any needs, so that only a cost that is
/// out of proportion can reach it, however slow the machine.
pub const CPU: Duration = Duration::from_secs(20);
/// How much longer than told a target may take before it is ended and its input is a finding.
pub const HANG: Duration = Duration::from_secs(180);
/// Seconds for one target, unless it is told.
pub const SECONDS: u64 = 3;
