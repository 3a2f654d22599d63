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

/// Does something that may panic, and says why if it did.
///
/// # Errors
/// The panic's message.
pub fn unwound(deed: impl FnOnce()) -> Result<(), String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(deed)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "a panic without a message".to_owned())
    })
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
