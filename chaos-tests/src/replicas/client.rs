//! A client of the trivial module: one write or read at a time, tried until it is answered.

use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Dice, Generation, Instant, NodeId, RequestId, Timestamp};
use shoal_ledger::{Command, Entry, Header, ModuleNumber};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Add one.
    Write(Bytes),
    /// How much is that counter?
    Read(u64),
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The counter's value.
    Value(u64),
    /// Ask that one, or any.
    Elsewhere(Option<usize>),
}

/// How long a client waits before it asks another replica.
pub const TIMEOUT: Duration = Duration::from_secs(1);

/// One client; its counter has its own number.
#[derive(Debug)]
pub struct Client {
    /// Its number, and its counter's.
    pub key: u64,
    /// Whom it asks.
    pub target: usize,
    /// Tells answers to earlier attempts apart.
    pub attempt: u64,
    /// Since when it waits for this question's answer.
    pub since: Option<Instant>,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// The counter that is being read, and its writes that were acknowledged before that was asked.
    reading: Option<(u64, u64)>,
    dice: Dice,
    replicas: usize,
}

impl Client {
    /// A client that has asked nothing yet.
    pub fn new(key: u64, replicas: usize, dice: Dice) -> Client {
        Client {
            key,
            target: key as usize % replicas,
            attempt: 0,
            since: None,
            acknowledged: 0,
            reads: 0,
            reading: None,
            dice,
            replicas,
        }
    }

    /// The client whose request that is.
    pub fn of_request(request: RequestId) -> u64 {
        request.node.0 as u64 - 1
    }

    /// Begins the next question, or asks the same again. A read may be of any counter, and asks any
    /// replica; `acknowledged` are the writes of each counter that were acknowledged so far.
    pub fn ask(&mut self, now: Instant, acknowledged: &[u64]) -> Question {
        if self.since.is_none() {
            self.since = Some(now);
            self.reading = None;
            if self.dice.chance(300) {
                let key = self.dice.below(acknowledged.len() as u64);
                self.reading = Some((key, acknowledged[key as usize]));
                self.turn(None);
            }
        }
        self.attempt += 1;
        match self.reading {
            Some((key, _)) => Question::Read(key),
            None => Question::Write(self.write(now)),
        }
    }

    fn write(&self, now: Instant) -> Bytes {
        let request = RequestId {
            node: NodeId(u128::from(self.key) + 1),
            generation: Generation(1),
            counter: self.acknowledged + 1,
        };
        let header = Header {
            version: 1,
            time: now,
            wall: Timestamp::default(),
            principal: None,
            request,
            lowest: request.counter,
        };
        let body = postcard::to_allocvec(&self.key).expect("a number is encodable");
        let command = Command {
            header,
            module: ModuleNumber(900),
            body: Bytes::from(body),
        };
        let entry = Entry {
            commands: vec![command],
        };
        entry.encode().expect("one command fits an entry")
    }

    /// Tries another replica with the next attempt.
    pub fn turn(&mut self, hint: Option<usize>) {
        self.target = hint.unwrap_or_else(|| self.dice.below(self.replicas as u64) as usize);
    }

    /// The answer is there. Returns what was read, if it was a read, with what had been acknowledged
    /// when it was asked, and how long to think before the next.
    pub fn answered(&mut self) -> (Option<(u64, u64)>, Duration) {
        self.since = None;
        if self.reading.is_some() {
            self.reads += 1;
        } else {
            self.acknowledged += 1;
        }
        let think = Duration::from_micros(self.dice.below(60_000));
        (self.reading, think)
    }
}
