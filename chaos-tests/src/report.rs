//! What a run found.

use std::fmt;
use std::time::Duration;

use shoal_api::Instant;

use crate::trace::Trace;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in virtual time.
    pub at: Instant,
    /// Which.
    pub invariant: &'static str,
    /// How.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' at {}: {}", self.invariant, self.at, self.detail)
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Everything that happened, in one number.
    pub trace: Trace,
    /// How much virtual time passed.
    pub simulated: Duration,
    /// What was done in it, by name, for people.
    pub counts: Vec<(&'static str, u64)>,
    /// The first broken promise.
    pub violation: Option<Violation>,
}
