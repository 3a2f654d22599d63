//! Commands of this master on their way into the ledger: asked once, retried under one id.
//!
//! A command waits here until this replica applies it, whoever leads meanwhile. What deliberately does
//! not live here: what the leader does with a command (see `lead`).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::{Generation, Instant, NodeId, Plant, Plants, Principal, RequestId};
use shoal_ledger::ModuleNumber;

use crate::input::{Ask, Conn};
use crate::limits::OUTSTANDING;
use crate::peer::Forwarded;

/// How long an unanswered command waits before it is sent again. Ours.
const RETRY: Duration = Duration::from_millis(500);

/// Who waits for a command, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// A request from outside.
    Ask(Ask),
    /// An agent's session that is to open.
    Session(Conn),
    /// A framework's stream that is to open.
    Stream(Conn),
    /// Nobody; to be retried until it is in, whoever leads.
    Fact,
    /// Nobody; a decision of the leader, void when it no longer leads.
    Decision(Decision),
}

/// What kind of decision of the leader is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// New offers.
    Offers,
    /// An answer of the built-in scheduler.
    BuiltIn,
    /// Anything else that need not be followed.
    Other,
}

/// One command that is not applied yet.
#[derive(Clone, Debug)]
pub struct Outstanding {
    /// What was asked.
    pub forwarded: Forwarded,
    /// For whom.
    pub waiter: Waiter,
    /// When the waiter is told that nobody answered; never for facts.
    pub expires: Instant,
    resend: Instant,
    sent: bool,
}

/// The commands of this master that are not applied yet.
///
/// # Invariants
/// - counters ascend in the order of submission;
/// - at most [`OUTSTANDING`] commands wait.
#[derive(Debug)]
pub struct Proposals {
    node: NodeId,
    generation: Generation,
    counter: u64,
    outstanding: BTreeMap<u64, Outstanding>,
    unsent: Vec<u64>,
    plants: Plants,
}

impl Proposals {
    /// None yet, in this life of the node.
    pub fn new(node: NodeId, generation: Generation, plants: Plants) -> Proposals {
        Proposals {
            node,
            generation,
            counter: 0,
            outstanding: BTreeMap::new(),
            unsent: Vec::new(),
            plants,
        }
    }

    /// Whether another one may be submitted.
    pub fn has_room(&self) -> bool {
        self.outstanding.len() < OUTSTANDING
    }

    /// Whether the id is of this life of this node.
    pub fn is_ours(&self, request: RequestId) -> bool {
        request.node == self.node && request.generation == self.generation
    }

    /// The lowest counter that is not answered; all below are settled.
    pub fn lowest(&self) -> u64 {
        self.outstanding
            .keys()
            .next()
            .copied()
            .unwrap_or(self.counter + 1)
    }

    /// Takes a command; it is sent with the next [`Proposals::take_unsent`].
    pub fn submit(
        &mut self,
        principal: Option<Principal>,
        (module, body): (ModuleNumber, Bytes),
        waiter: Waiter,
        expires: Instant,
    ) -> RequestId {
        self.counter += 1;
        let request = RequestId {
            node: self.node,
            generation: self.generation,
            counter: self.counter,
        };
        let forwarded = Forwarded {
            request,
            principal,
            module,
            body,
        };
        let outstanding = Outstanding {
            forwarded,
            waiter,
            expires,
            resend: Instant::ZERO,
            sent: false,
        };
        self.outstanding.insert(self.counter, outstanding);
        self.unsent.push(self.counter);
        request
    }

    /// The command was applied, or refused by the leader.
    pub fn settle(&mut self, request: RequestId) -> Option<Outstanding> {
        if !self.is_ours(request) {
            return None;
        }
        self.outstanding.remove(&request.counter)
    }

    /// Everything that waits, for a comparison with a restored state.
    pub fn waiting(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.outstanding
            .values()
            .map(|outstanding| outstanding.forwarded.request)
    }

    /// Another leader: everything is to be sent to it.
    pub fn leader_changed(&mut self) {
        self.unsent = self.outstanding.keys().copied().collect();
        for outstanding in self.outstanding.values_mut() {
            outstanding.sent = false;
        }
    }

    /// This master leads no longer: its decisions are void.
    pub fn drop_decisions(&mut self) {
        self.outstanding
            .retain(|_, o| !matches!(o.waiter, Waiter::Decision(_)));
    }

    /// What is to be sent to the leader at this moment, in order.
    pub fn take_unsent(&mut self, now: Instant) -> Vec<Forwarded> {
        let mut taken = Vec::with_capacity(self.unsent.len());
        for counter in std::mem::take(&mut self.unsent) {
            if let Some(outstanding) = self.outstanding.get_mut(&counter) {
                outstanding.sent = true;
                outstanding.resend = now + RETRY;
                taken.push(outstanding.forwarded.clone());
            }
        }
        if self.plants.has(Plant::ForgetRequestIds) {
            for forwarded in &mut taken {
                self.counter += 1;
                forwarded.request.counter = self.counter;
            }
        }
        taken
    }

    /// Whether anything is to be sent.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Marks what waited too long for its leader to be sent again, and takes out what expired.
    pub fn expire(&mut self, now: Instant) -> Vec<Outstanding> {
        let mut expired = Vec::new();
        for (counter, outstanding) in &mut self.outstanding {
            if outstanding.expires <= now {
                expired.push(*counter);
            } else if outstanding.sent && outstanding.resend <= now {
                outstanding.sent = false;
                self.unsent.push(*counter);
            }
        }
        expired
            .into_iter()
            .filter_map(|counter| self.outstanding.remove(&counter))
            .collect()
    }
}
