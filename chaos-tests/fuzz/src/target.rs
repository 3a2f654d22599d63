//! A target: one decoder, fed with bytes.

use crate::limits;
use crate::meter::{self, Cost};

/// What a decoder said about an input. Both are fine; a target panics if something is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what the decoder reads.
    Accepted,
    /// It is something else.
    Refused,
}

impl Verdict {
    /// Of an answer that is there if the input was accepted.
    pub fn of<T>(answer: Option<T>) -> Verdict {
        match answer {
            Some(_) => Verdict::Accepted,
            None => Verdict::Refused,
        }
    }

    /// The better of two.
    #[must_use]
    pub fn or(self, other: Verdict) -> Verdict {
        match self {
            Verdict::Accepted => Verdict::Accepted,
            Verdict::Refused => other,
        }
    }
}

/// Memory that an input may need at its peak.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Bytes, whatever the input.
    pub fixed: usize,
    /// Bytes for each byte of the input.
    pub per_byte: usize,
}

/// One decoder.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Words and hyphens; also the folder of its corpus.
    pub name: &'static str,
    /// What it reads, and from whom.
    pub covers: &'static str,
    /// Feeds it; panics if a promise is broken.
    pub run: fn(&[u8]) -> Verdict,
    /// Inputs made by the encoders of this build; at least one is accepted.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What an input may need.
    pub memory: Memory,
}

/// Feeds an input to a target, and holds it to its costs.
pub fn check(target: &Target, input: &[u8]) -> (Verdict, Cost) {
    let (verdict, cost) = meter::measured(|| (target.run)(input));
    let allowed = target.memory.fixed + target.memory.per_byte * input.len();
    assert!(
        cost.peak <= allowed,
        "an input of {} bytes needs {} bytes of memory, {allowed} are allowed",
        input.len(),
        cost.peak
    );
    assert!(
        cost.cpu <= limits::CPU,
        "an input of {} bytes needs {:.1} s of CPU time",
        input.len(),
        cost.cpu.as_secs_f64()
    );
    (verdict, cost)
}
