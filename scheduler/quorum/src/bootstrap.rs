//! How a quorum is founded, once: by a unanimous promise of exactly the expected masters.
//!
//! Every founder first *names* the set that it sees in gossip. Only when all of the set have named it
//! does each make a durable *promise* of it, which it never withdraws; only when all have promised is
//! the quorum founded. The cluster's id is a hash of the set, so that a founder that missed the last
//! promise recognises in gossip that its own set was founded, and tells it from any other cluster.
//!
//! What deliberately does not live here: gossip (the shell says who is seen), the disk, and Raft.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use shoal_api::{ClusterId, Instant, RaftId};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3;

use crate::limits;
use crate::message::MessageError;

/// The set that a founder is bound to for ever: sorted, nobody twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Who founds.
    pub members: Vec<RaftId>,
}

/// The id of the cluster that a set of founders founds. Raft ids are random, so the set is unique.
pub fn cluster_of(members: &[RaftId]) -> ClusterId {
    let mut members = members.to_vec();
    members.sort_unstable();
    members.dedup();
    let mut hash = Xxh3::new();
    hash.update(b"shoal cluster 1");
    for id in members {
        hash.update(&id.0.to_be_bytes());
    }
    ClusterId(hash.digest128())
}

/// What founders say to each other.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BootstrapMessage {
    /// The set that the sender names, sorted.
    #[prost(uint64, repeated, tag = "1")]
    members: Vec<u64>,
    /// Whether its promise of it is durable.
    #[prost(bool, tag = "2")]
    promised: bool,
}

impl BootstrapMessage {
    /// Its bytes.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.encode_to_vec())
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`MessageError`] when the bytes are no message, or one that no founder sends.
    pub fn from_bytes(bytes: Bytes) -> Result<BootstrapMessage, MessageError> {
        if bytes.len() > limits::BOOTSTRAP_BYTES {
            return Err(MessageError::TooLong {
                bytes: bytes.len(),
                limit: limits::BOOTSTRAP_BYTES,
            });
        }
        let message = BootstrapMessage::decode(bytes)
            .map_err(|error| MessageError::Malformed(error.to_string()))?;
        let sorted = message.members.windows(2).all(|pair| pair[0] < pair[1]);
        let named = message.members.first().is_some_and(|id| *id != 0);
        if !sorted || !named || message.members.len() > limits::FOUNDERS {
            return Err(MessageError::Malformed("not a set of founders".to_owned()));
        }
        Ok(message)
    }
}

/// A master without a cluster, as gossip shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its raft id.
    pub id: RaftId,
    /// How many founders it expects.
    pub expects: u8,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum BootstrapInput {
    /// The deadline passed.
    Wake,
    /// All living masters that gossip shows without a cluster; with or without this one.
    Members(Vec<Candidate>),
    /// Gossip shows a cluster.
    ClusterSeen(ClusterId),
    /// A candidate said something over its own stream.
    Receive {
        /// Who.
        from: RaftId,
        /// What.
        message: BootstrapMessage,
    },
    /// The promise is durable.
    Persisted,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootstrapOutput {
    /// Make the promise durable, then answer [`BootstrapInput::Persisted`]. It is given to every later
    /// [`Bootstrap::new`] on this disk.
    Persist(Promise),
    /// Tell a candidate; it may be lost.
    Send {
        /// To whom.
        to: RaftId,
        /// What.
        message: BootstrapMessage,
    },
    /// The quorum is founded: start it with [`crate::found`] of these members.
    Founded {
        /// The cluster's id.
        cluster: ClusterId,
        /// The first voters, this one among them.
        members: Vec<RaftId>,
    },
    /// There is a cluster already, which this node did not found: join it with an empty disk.
    Join {
        /// Which.
        cluster: ClusterId,
    },
    /// Nothing has come of it yet; said once a minute.
    Waiting(Waiting),
}

/// Why there is no quorum yet. Lists are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many founders are expected.
    pub expected: u8,
    /// The candidates seen that expect as many, this one among them.
    pub seen: Vec<RaftId>,
    /// Candidates seen that expect another number.
    pub other_number: Vec<Candidate>,
    /// Founders of the named set that have not said anything.
    pub silent: Vec<RaftId>,
    /// Founders that name another set, or have promised one.
    pub differing: Vec<RaftId>,
}

fn listed(ids: &[RaftId]) -> String {
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (expected, seen) = (self.expected, self.seen.len());
        write!(
            f,
            "waiting for {expected} masters to found a cluster, {seen} seen"
        )?;
        if seen > usize::from(expected) {
            write!(f, ": too many, stop those that shall join later")?;
        }
        if !self.silent.is_empty() {
            write!(f, "; no word from {}", listed(&self.silent))?;
        }
        if !self.differing.is_empty() {
            let ids = listed(&self.differing);
            write!(
                f,
                "; {ids} would found with others: wipe their data directories"
            )?;
        }
        for other in &self.other_number {
            write!(f, "; {} expects {} masters", other.id, other.expects)?;
        }
        Ok(())
    }
}

/// Why a bootstrap cannot begin. Nothing was made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BootstrapError {
    /// No such number of founders.
    #[error("a cluster is founded by 1 to {limit} masters, not by {expects}")]
    Number {
        /// The number asked for.
        expects: u8,
        /// The most there may be.
        limit: usize,
    },
    /// The promise on disk is not this node's.
    #[error("the promise on disk does not name this node's raft id {id}")]
    Foreign {
        /// This node's raft id.
        id: RaftId,
    },
}

/// One founder.
///
/// Invariants: it asks for at most one promise in its life; what it says to be promised is durable;
/// it founds only a set that all its members have promised, or that is known to have been founded.
#[derive(Debug)]
pub struct Bootstrap {
    id: RaftId,
    expects: u8,
    candidates: Vec<Candidate>,
    promise: Option<Vec<RaftId>>,
    durable: bool,
    /// What each founder said last; a promise is not taken back by an older word.
    said: BTreeMap<RaftId, (Vec<RaftId>, bool)>,
    ended: bool,
    outputs: VecDeque<BootstrapOutput>,
    next_word: Instant,
    next_report: Instant,
}

impl Bootstrap {
    /// A founder that expects so many with itself, bound by the promise on its disk if there is one.
    ///
    /// # Errors
    /// [`BootstrapError`] for an impossible number or another's promise.
    pub fn new(
        id: RaftId,
        expects: u8,
        promise: Option<Promise>,
        now: Instant,
    ) -> Result<Bootstrap, BootstrapError> {
        if expects == 0 || usize::from(expects) > limits::FOUNDERS {
            return Err(BootstrapError::Number {
                expects,
                limit: limits::FOUNDERS,
            });
        }
        if promise.as_ref().is_some_and(|p| !p.members.contains(&id)) {
            return Err(BootstrapError::Foreign { id });
        }
        let mut bootstrap = Bootstrap {
            id,
            expects,
            candidates: Vec::new(),
            durable: promise.is_some(),
            promise: promise.map(|promise| promise.members),
            said: BTreeMap::new(),
            ended: false,
            outputs: VecDeque::new(),
            next_word: now + limits::PROMISE_RETRY,
            next_report: now + limits::MISSING_REPORT,
        };
        bootstrap.proceed();
        Ok(bootstrap)
    }

    /// Takes in what happened.
    pub fn step(&mut self, now: Instant, input: BootstrapInput) {
        match input {
            BootstrapInput::Wake => {}
            BootstrapInput::Members(mut candidates) => {
                candidates.retain(|c| c.id != self.id && c.id != RaftId(0));
                candidates.push(Candidate {
                    id: self.id,
                    expects: self.expects,
                });
                candidates.sort_unstable_by_key(|c| c.id);
                candidates.dedup_by_key(|c| c.id);
                let before = self.named();
                self.candidates = candidates;
                if self.named() != before {
                    self.tell_all();
                }
            }
            BootstrapInput::ClusterSeen(cluster) => self.cluster_seen(cluster),
            BootstrapInput::Receive { from, message } => self.receive(from, &message),
            BootstrapInput::Persisted => {
                assert!(self.promise.is_some(), "bootstrap: no promise to persist");
                self.durable = true;
                self.tell_all();
            }
        }
        self.proceed();
        if !self.ended && now >= self.next_word {
            self.next_word = now + limits::PROMISE_RETRY;
            self.tell_all();
        }
        if !self.ended && now >= self.next_report {
            self.next_report = now + limits::MISSING_REPORT;
            let waiting = self.waiting();
            self.outputs.push_back(BootstrapOutput::Waiting(waiting));
        }
    }

    /// The next thing to do; call it until there is none.
    pub fn poll_output(&mut self) -> Option<BootstrapOutput> {
        self.outputs.pop_front()
    }

    /// When to step [`BootstrapInput::Wake`]; never once it has ended.
    pub fn next_deadline(&self) -> Option<Instant> {
        (!self.ended).then(|| self.next_word.min(self.next_report))
    }

    /// Why there is no quorum yet.
    pub fn waiting(&self) -> Waiting {
        let named = self.named().unwrap_or_default();
        let others = named.iter().copied().filter(|id| *id != self.id);
        let (mut silent, mut differing) = (Vec::new(), Vec::new());
        for id in others {
            match self.said.get(&id) {
                None => silent.push(id),
                Some((set, _)) if *set != named => differing.push(id),
                Some(_) => {}
            }
        }
        let other_number = self.candidates.iter().copied();
        Waiting {
            expected: self.expects,
            seen: self.seen(),
            other_number: other_number.filter(|c| c.expects != self.expects).collect(),
            silent,
            differing,
        }
    }

    fn seen(&self) -> Vec<RaftId> {
        let mut seen: Vec<RaftId> = self
            .candidates
            .iter()
            .filter(|c| c.expects == self.expects)
            .map(|c| c.id)
            .collect();
        if seen.is_empty() {
            seen.push(self.id);
        }
        seen
    }

    /// The set that this founder names: the promised one, or what it sees if that is just enough, or,
    /// if it sees too many, a set with itself that another is bound to: a latecomer must not hold up
    /// those who promised before it came.
    fn named(&self) -> Option<Vec<RaftId>> {
        if let Some(promise) = &self.promise {
            return Some(promise.clone());
        }
        let seen = self.seen();
        let expects = usize::from(self.expects);
        if seen.len() <= expects {
            return (seen.len() == expects).then_some(seen);
        }
        let bound = self.said.values().filter(|(_, promised)| *promised);
        bound
            .map(|(set, _)| set)
            .filter(|set| set.len() == expects && set.contains(&self.id))
            .min()
            .cloned()
    }

    fn receive(&mut self, from: RaftId, message: &BootstrapMessage) {
        let set: Vec<RaftId> = message.members.iter().copied().map(RaftId).collect();
        if from == self.id || !set.contains(&from) {
            return;
        }
        let known = self.said.len() < limits::FOUNDERS * 4 || self.said.contains_key(&from);
        let bound = self.said.get(&from).is_some_and(|(_, promised)| *promised);
        if known && (!bound || message.promised) {
            self.said.insert(from, (set, message.promised));
        }
        // One that has not promised, or that asks a founder that is through, lacks this one's word.
        if (self.ended || !message.promised) && self.durable {
            self.tell(from);
        }
    }

    fn cluster_seen(&mut self, cluster: ClusterId) {
        if self.ended {
            return;
        }
        match &self.promise {
            Some(set) if self.durable && cluster_of(set) == cluster => self.found(set.clone()),
            Some(_) | None => {
                self.ended = true;
                self.outputs.push_back(BootstrapOutput::Join { cluster });
            }
        }
    }

    /// Promises and founds as soon as all others have done as much.
    fn proceed(&mut self) {
        let Some(named) = self.named().filter(|_| !self.ended) else {
            return;
        };
        let all = |promised_too: bool| {
            let mut others = named.iter().filter(|id| **id != self.id);
            others.all(|id| match self.said.get(id) {
                Some((set, promised)) => *set == named && (*promised || !promised_too),
                None => false,
            })
        };
        if self.promise.is_none() && all(false) {
            self.promise = Some(named.clone());
            let promise = Promise { members: named };
            self.outputs.push_back(BootstrapOutput::Persist(promise));
        } else if self.durable && all(true) {
            self.found(named);
        }
    }

    fn found(&mut self, members: Vec<RaftId>) {
        self.ended = true;
        self.outputs.push_back(BootstrapOutput::Founded {
            cluster: cluster_of(&members),
            members,
        });
    }

    fn tell_all(&mut self) {
        for id in self.named().unwrap_or_default() {
            if id != self.id {
                self.tell(id);
            }
        }
    }

    fn tell(&mut self, to: RaftId) {
        let Some(named) = self.named() else {
            return;
        };
        let message = BootstrapMessage {
            members: named.iter().map(|id| id.0).collect(),
            promised: self.durable,
        };
        self.outputs
            .push_back(BootstrapOutput::Send { to, message });
    }
}
