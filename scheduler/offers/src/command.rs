//! The commands of this module, as they stand in the log. Variants are only ever appended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::call::{AgentName, Filters, Launch, Subscribe};
use shoal_api::operation::{Change, ReconcileOperation, Step};
use shoal_api::session::Hello;
use shoal_api::{
    AgentId, Epoch, FrameworkId, Instant, NodeId, OfferId, Principal, Role, StatusUpdate, StreamId,
    UpdateId,
};

use crate::allocator::NewOffer;
use crate::outcome::Refusal;

/// One change of agents, frameworks, offers or tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OffersCommand {
    /// An agent said hello to a master, which may command it once this is applied.
    SessionOpened {
        /// As sent.
        hello: Box<Hello>,
        /// The master that the agent is connected to.
        master: NodeId,
    },
    /// A session ended; the lease goes on.
    SessionClosed {
        /// Whose.
        agent: AgentId,
        /// Which session; an older one is refused.
        epoch: Epoch,
        /// The agent said that it restarts, and how long it wants its lease kept beyond the usual.
        restarting: Option<Duration>,
    },
    /// A disconnected agent stayed away for too long: its tasks are unreachable.
    LeaseEnded {
        /// Whose.
        agent: AgentId,
        /// The session that was its last; if it has a newer one, the lease goes on.
        epoch: Epoch,
    },
    /// A framework subscribed with a master, which sends it all notices from here on.
    Subscribed {
        /// As sent.
        subscribe: Box<Subscribe>,
        /// The master that holds the stream.
        holder: NodeId,
    },
    /// A stream ended.
    Disconnected {
        /// Whose.
        framework: FrameworkId,
        /// Which; a newer one goes on.
        stream: StreamId,
        /// How.
        cause: DisconnectCause,
    },
    /// A framework goes for ever, with all its tasks.
    FrameworkRemoved {
        /// Which.
        framework: FrameworkId,
        /// Why; checked.
        cause: RemovalCause,
    },
    /// A plan of the allocator; each offer is checked again.
    OffersMade {
        /// At most [`crate::limits::OFFERS_PER_COMMAND`].
        offers: Vec<NewOffer>,
    },
    /// A framework takes offers and launches tasks.
    Accepted {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// As sent; texts that no ledger ever assigned are `Err`.
        offers: Vec<Result<OfferId, Arc<str>>>,
        /// In order.
        launches: Vec<Launch>,
        /// For what is left over.
        filters: Filters,
        /// Names a row of another module; not looked at here.
        claim: Option<Bytes>,
    },
    /// A framework gives offers back.
    Declined {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// Unknown ones are ignored.
        offers: Vec<OfferId>,
        /// For what is given back.
        filters: Filters,
    },
    /// Offers are taken back.
    Rescinded {
        /// Unknown ones are ignored.
        offers: Vec<OfferId>,
        /// Why.
        cause: RescindCause,
    },
    /// A framework wants no offers in these roles.
    Suppressed {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// Empty is all; one that it does not have drops the whole call.
        roles: BTreeSet<Role>,
    },
    /// A framework wants offers in these roles again, declined ones too.
    Revived {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// Empty is all; one that it does not have drops the whole call.
        roles: BTreeSet<Role>,
    },
    /// A framework wants a task to end.
    Kill {
        /// Who.
        framework: FrameworkId,
        /// Its stream; an operator has none.
        stream: Option<StreamId>,
        /// As sent.
        task: Arc<str>,
        /// As sent; a wrong one drops the call.
        agent: Option<AgentName>,
        /// Overrides the task's own.
        grace: Option<Duration>,
    },
    /// An agent reports states of tasks.
    TaskStatus {
        /// Who.
        agent: AgentId,
        /// In which session; an older one is refused.
        epoch: Epoch,
        /// In the order of the reports.
        updates: Vec<StatusUpdate>,
    },
    /// A framework received an update.
    Acknowledged {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// As sent.
        agent: AgentName,
        /// As sent.
        task: Arc<str>,
        /// As sent; only the update that is out counts.
        update: UpdateId,
    },
    /// A framework takes offers, does operations and launches tasks.
    Operated {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// As sent; texts that no ledger ever assigned are `Err`.
        offers: Vec<Result<OfferId, Arc<str>>>,
        /// In order.
        steps: Vec<Step>,
        /// For what is left over.
        filters: Filters,
    },
    /// A framework received the status of an operation.
    OperationAcknowledged {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// As sent.
        operation: Arc<str>,
        /// As sent; only the status that is out counts.
        update: UpdateId,
    },
    /// A framework asks where operations stand.
    OperationsReconciled {
        /// Who.
        framework: FrameworkId,
        /// Its stream.
        stream: StreamId,
        /// Empty is all.
        operations: Vec<ReconcileOperation>,
    },
    /// An operator changes what resources of an agent are reserved for.
    AgentOperated {
        /// Which.
        agent: AgentId,
        /// What.
        change: Change,
        /// Who, if that is known.
        principal: Option<Principal>,
    },
}

/// How a framework's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisconnectCause {
    /// The framework closed it, or the network did.
    StreamClosed,
    /// The master that held it died or lost its leader.
    HolderDied,
}

/// Why a framework is removed, with what makes it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemovalCause {
    /// It asked for that.
    Teardown {
        /// On this stream.
        stream: StreamId,
    },
    /// It stayed away for longer than its failover timeout.
    FailoverTimeout {
        /// The deadline of its row; with another one it came back meanwhile.
        deadline: Instant,
    },
    /// An operator asked for that.
    Operator,
}

/// Why an offer is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RescindCause {
    /// It was out for too long.
    Timeout,
    /// An operator or the allocator needs the resources.
    Wanted,
}

impl OffersCommand {
    /// The body of a command of this module.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(256);
        shoal_ledger::hash::append_postcard(self, &mut out);
        Bytes::from(out)
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: the same on every replica, nothing changed.
    pub fn decode(body: &Bytes) -> Result<OffersCommand, Refusal> {
        match postcard::take_from_bytes(body) {
            Ok((command, [])) => Ok(command),
            Ok(_) | Err(_) => Err(Refusal::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::{FrameworkId, StreamId};

    use super::*;

    #[test]
    fn a_body_is_read_whole_or_refused() {
        let command = OffersCommand::Disconnected {
            framework: FrameworkId::new("f").unwrap(),
            stream: StreamId(7),
            cause: DisconnectCause::HolderDied,
        };
        let body = command.encode();
        assert_eq!(OffersCommand::decode(&body), Ok(command));
        for end in 0..body.len() {
            let cut = body.slice(..end);
            assert_eq!(OffersCommand::decode(&cut), Err(Refusal::Malformed));
        }
        let longer: Bytes = [&body[..], &[0]].concat().into();
        assert_eq!(OffersCommand::decode(&longer), Err(Refusal::Malformed));
        let unknown = Bytes::from_static(&[200, 1, 2, 3]);
        assert_eq!(OffersCommand::decode(&unknown), Err(Refusal::Malformed));
    }
}
