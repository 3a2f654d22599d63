//! Reads that are certain to see everything committed before them, by Raft's ReadIndex.
//!
//! Raft drops such a request silently without a leader or before the leader committed an entry of
//! its term, and answers a repeated context with the older index. So many reads share one round with
//! a context that is used once, a round that goes unanswered is asked again with a fresh one, and a
//! read that finds no answer in time fails.

use std::collections::VecDeque;

use shoal_api::{Generation, Index, Instant, RaftId};

use crate::input::ReadId;
use crate::limits;

#[derive(Clone, Copy, Debug)]
struct Asked {
    context: ReadId,
    deadline: Instant,
}

#[derive(Debug)]
struct Round {
    context: Vec<u8>,
    asked_at: Instant,
    reads: Vec<Asked>,
}

/// The reads of one replica.
#[derive(Debug)]
pub(crate) struct Reads {
    id: RaftId,
    generation: Generation,
    rounds_begun: u64,
    waiting: VecDeque<Asked>,
    rounds: Vec<Round>,
    /// Reads that know their index and wait for it to be applied.
    certain: VecDeque<(u64, Vec<Asked>)>,
    count: usize,
}

impl Reads {
    pub(crate) fn new(id: RaftId, generation: Generation) -> Reads {
        Reads {
            id,
            generation,
            rounds_begun: 0,
            waiting: VecDeque::new(),
            rounds: Vec::new(),
            certain: VecDeque::new(),
            count: 0,
        }
    }

    /// Takes a read, unless there are too many.
    pub(crate) fn ask(&mut self, now: Instant, context: ReadId) -> bool {
        if self.count >= limits::READS_WAITING {
            return false;
        }
        self.count += 1;
        self.waiting.push_back(Asked {
            context,
            deadline: now + limits::READ_TIMEOUT,
        });
        true
    }

    /// Puts all waiting reads in a round and returns the context to ask with, if there are any and
    /// not too many rounds.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.waiting.is_empty() || self.rounds.len() >= limits::READ_ROUNDS {
            return None;
        }
        self.rounds_begun += 1;
        let mut context = Vec::with_capacity(24);
        for part in [self.id.0, self.generation.0, self.rounds_begun] {
            context.extend_from_slice(&part.to_be_bytes());
        }
        self.rounds.push(Round {
            context: context.clone(),
            asked_at: now,
            reads: self.waiting.drain(..).collect(),
        });
        Some(context)
    }

    /// A round is certain about its index.
    pub(crate) fn certain(&mut self, context: &[u8], index: u64) {
        if let Some(at) = self.rounds.iter().position(|r| r.context == context) {
            let round = self.rounds.remove(at);
            self.certain.push_back((index, round.reads));
        }
    }

    /// The leader is another: what was asked of the old one is asked again.
    pub(crate) fn restart(&mut self) {
        for round in std::mem::take(&mut self.rounds).into_iter().rev() {
            for read in round.reads.into_iter().rev() {
                self.waiting.push_front(read);
            }
        }
    }

    /// Asks stale rounds again and returns the reads whose time is over.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<ReadId> {
        let stale = |round: &Round| now.since(round.asked_at) >= limits::READ_RETRY;
        if self.rounds.iter().any(stale) {
            self.restart();
        }
        let mut failed = Vec::new();
        let mut keep = |asked: &Asked| {
            let alive = asked.deadline > now;
            if !alive {
                failed.push(asked.context);
            }
            alive
        };
        self.waiting.retain(&mut keep);
        for (_, reads) in &mut self.certain {
            reads.retain(&mut keep);
        }
        for round in &mut self.rounds {
            round.reads.retain(&mut keep);
        }
        self.count -= failed.len();
        failed
    }

    /// The reads whose index has been applied.
    pub(crate) fn answered(&mut self, applied: u64) -> Vec<(ReadId, Index)> {
        let mut answered = Vec::new();
        self.certain.retain(|(index, reads)| {
            if *index > applied {
                return true;
            }
            answered.extend(reads.iter().map(|read| (read.context, Index(*index))));
            false
        });
        self.count -= answered.len();
        answered
    }

    pub(crate) fn rounds_begun(&self) -> u64 {
        self.rounds_begun
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn many_reads_share_a_round_and_wait_for_its_index() {
        let mut reads = Reads::new(RaftId(1), Generation(2));
        assert!(reads.ask(at(0), ReadId(1)) && reads.ask(at(0), ReadId(2)));
        let context = reads.begin(at(0)).unwrap();
        assert_eq!(reads.begin(at(0)), None);
        reads.certain(&context, 7);
        assert_eq!(reads.answered(6), []);
        let answers = [(ReadId(1), Index(7)), (ReadId(2), Index(7))];
        assert_eq!(reads.answered(7), answers);
    }

    #[test]
    fn an_unanswered_round_is_asked_again_with_a_fresh_context() {
        let mut reads = Reads::new(RaftId(1), Generation(2));
        reads.ask(at(0), ReadId(1));
        let first = reads.begin(at(0)).unwrap();
        assert!(reads.expire(at(300)).is_empty());
        let second = reads.begin(at(300)).unwrap();
        assert_ne!(first, second);
        reads.certain(&first, 3);
        assert_eq!(reads.answered(100), [], "a late answer is no answer");
        assert_eq!(reads.expire(at(5_000)), [ReadId(1)]);
        assert!(reads.expire(at(9_000)).is_empty());
    }
}
