//! One target in one process: first the corpus, then the corpus grown, then what chance makes of it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits;
use crate::meter::Cost;
use crate::mutate::Mutator;
use crate::target::{Target, Verdict, check};

/// For how long.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Wall time, after the corpus.
    pub time: Duration,
    /// Mutated inputs at most.
    pub inputs: u64,
    /// Of the mutations.
    pub seed: u64,
}

/// What came of it, if nothing broke.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Inputs of the corpus.
    pub corpus: u64,
    /// Inputs in all.
    pub inputs: u64,
    /// Of which the decoder took so many.
    pub accepted: u64,
    /// The most that any needed of each.
    pub most: Cost,
    /// Wall time.
    pub time: Duration,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = self.inputs as f64 / self.time.as_secs_f64().max(0.001);
        let share = 100 * self.accepted / self.inputs.max(1);
        write!(
            f,
            "{} kept, {} inputs, {rate:.0}/s, {share} % accepted, at most {} KiB and {:.1} ms",
            self.corpus,
            self.inputs,
            self.most.peak / 1024,
            self.most.cpu.as_secs_f64() * 1e3
        )
    }
}

/// The input that is being tried, in a file, so that it is known whatever ends the process.
#[derive(Debug)]
pub struct Current(Option<File>);

impl Current {
    /// In that file; nowhere without one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(path: Option<&Path>) -> io::Result<Current> {
        Ok(Current(path.map(File::create).transpose()?))
    }

    fn set(&self, input: &[u8]) -> io::Result<()> {
        let Some(file) = &self.0 else {
            return Ok(());
        };
        let mut bytes = (input.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(input);
        file.write_all_at(&bytes, 0)
    }

    /// What stands in such a file.
    ///
    /// # Errors
    /// It cannot be read, or no input was tried.
    pub fn read(path: &Path) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(path)?;
        let nothing = || io::Error::new(io::ErrorKind::InvalidData, "no input was tried");
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(nothing)?;
        let length = u64::from_le_bytes(*length) as usize;
        rest.get(..length).map(<[u8]>::to_vec).ok_or_else(nothing)
    }
}

/// Runs a target. Panics at the first input that breaks a promise.
///
/// # Errors
/// The current input cannot be written down.
pub fn run(
    target: &Target,
    roots: Vec<Vec<u8>>,
    budget: Budget,
    current: &Current,
) -> io::Result<Tally> {
    let began = Instant::now();
    let mut tally = Tally {
        corpus: roots.len() as u64,
        ..Tally::default()
    };
    let mut feed = |input: &[u8]| -> io::Result<Verdict> {
        current.set(input)?;
        let (verdict, cost) = check(target, input);
        tally.inputs += 1;
        tally.accepted += u64::from(verdict == Verdict::Accepted);
        tally.most.peak = tally.most.peak.max(cost.peak);
        tally.most.cpu = tally.most.cpu.max(cost.cpu);
        Ok(verdict)
    };
    let mut taken = Verdict::Refused;
    for input in &roots {
        taken = taken.or(feed(input)?);
    }
    assert_eq!(
        taken,
        Verdict::Accepted,
        "the decoder accepts no input of its corpus: it is not fuzzed beyond its door"
    );
    for input in roots.iter().filter(|input| !input.is_empty()) {
        feed(&grown(input))?;
    }
    let mut mutator = Mutator::new(budget.seed, roots);
    let until = Instant::now() + budget.time;
    let mut left = budget.inputs;
    while left > 0 && Instant::now() < until {
        left -= 1;
        let input = mutator.draw();
        if feed(&input)? == Verdict::Accepted {
            mutator.keep(input);
        }
    }
    tally.time = began.elapsed();
    Ok(tally)
}

/// An input many times over.
fn grown(input: &[u8]) -> Vec<u8> {
    let times = (limits::GROWN_BYTES / input.len()).max(1);
    input.repeat(times)
}
