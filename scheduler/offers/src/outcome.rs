//! What came of a command: an outcome, or a typed refusal. Kept for repeated requests, so both have
//! an encoding; variants are only ever appended.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::session::SessionRefusal;
use shoal_api::{AgentId, Epoch, FrameworkId, Principal, TaskKey};
use thiserror::Error;

/// A command was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing more to say.
    Done,
    /// The call was well formed but meant nothing: as in Mesos, it is dropped without an answer.
    Dropped(Dropped),
    /// A session is open.
    Session {
        /// Assigned or confirmed.
        agent: AgentId,
        /// Of this session.
        epoch: Epoch,
    },
    /// A framework is subscribed.
    Subscribed {
        /// Assigned or confirmed.
        framework: FrameworkId,
    },
    /// Offers are out.
    OffersMade {
        /// So many.
        made: u32,
        /// So many did not fit any more.
        skipped: u32,
    },
    /// Offers were taken.
    Accepted {
        /// In order.
        launched: Vec<TaskKey>,
        /// Tasks that got TASK_ERROR or TASK_DROPPED.
        refused: u32,
    },
}

/// Why a well-formed call meant nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dropped {
    /// A role that the framework does not have.
    ForeignRole,
    /// The task is not on that agent.
    WrongAgent,
    /// The task has ended.
    AlreadyEnded,
    /// The acknowledged update is not the one that is out.
    NotOutstanding,
    /// The framework was told by an update.
    Answered,
}

/// A command changed nothing, and why. The message is what a foreign client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Error)]
pub enum Refusal {
    /// The body is not a command of this version.
    #[error("the command is malformed")]
    Malformed,
    /// No such framework.
    #[error("Framework cannot be found")]
    UnknownFramework,
    /// Its id was torn down or timed out: it must subscribe anew.
    #[error("Framework has been removed")]
    FrameworkRemoved,
    /// It has no stream.
    #[error("Framework is not subscribed")]
    NotSubscribed,
    /// Another stream is the framework's.
    #[error(
        "The stream ID included in this request didn't match the stream ID currently associated with framework ID {0}"
    )]
    OtherStream(FrameworkId),
    /// A subscription that makes no sense.
    #[error("{0}")]
    InvalidFramework(Arc<str>),
    /// A framework keeps the principal that it first subscribed with.
    #[error("framework principal cannot change from {} to {}", name(.from), name(.to))]
    PrincipalChanged {
        /// Of the row.
        from: Option<Principal>,
        /// Of the call.
        to: Option<Principal>,
    },
    /// The ledger holds as many as it can.
    #[error("the ledger has {limit} {what} already")]
    TooMany {
        /// Of what.
        what: Arc<str>,
        /// The bound.
        limit: u64,
    },
    /// No such agent.
    #[error("agent {0} is not known")]
    UnknownAgent(AgentId),
    /// The agent's session is another, or in another state: what was seen is out of date.
    #[error("agent {agent} is at epoch {current}, the command is of an older session")]
    OldSession {
        /// Whose.
        agent: AgentId,
        /// Its newest.
        current: Epoch,
    },
    /// The session is not opened.
    #[error("{0}")]
    Session(SessionRefusal),
    /// A timer fired for what is there no more.
    #[error("what the timer was for has changed")]
    OldTimer,
    /// An operation that makes no sense.
    #[error("{0}")]
    InvalidOperation(Arc<str>),
    /// The resources of an operation are not there, or are in use.
    #[error("{0}")]
    Conflict(Arc<str>),
}

fn name(principal: &Option<Principal>) -> &str {
    principal.as_ref().map_or("none", Principal::as_str)
}

/// The bytes of a result, for the window of outcomes.
pub fn encode_result(result: &Result<Outcome, Refusal>) -> Bytes {
    let mut out = Vec::with_capacity(64);
    shoal_ledger::hash::append_postcard(result, &mut out);
    Bytes::from(out)
}

/// Reads what [`encode_result`] wrote.
///
/// # Errors
/// [`Refusal::Malformed`] where the bytes are of a newer version.
pub fn decode_result(bytes: &Bytes) -> Result<Outcome, Refusal> {
    postcard::from_bytes::<Result<Outcome, Refusal>>(bytes).unwrap_or(Err(Refusal::Malformed))
}
