//! What masters tell each other over the peer port.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::call::ReconcileTask;
use shoal_api::session::{FileError, FilePiece, FileRead};
use shoal_api::{AgentId, FrameworkId, Incarnation, Index, Principal, RaftId, RequestId, StreamId};
use shoal_ledger::{ModuleNumber, StateHash};

use crate::input::Refused;

/// A message between two masters (or, `Forward` only, from the bench).
#[derive(Clone, Debug)]
pub enum PeerMessage {
    /// Raft, in the quorum's own frames.
    Raft(shoal_quorum::Message),
    /// Everything else.
    Ledger(LedgerMessage),
}

/// Messages that are not Raft's; encoded with postcard inside a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerMessage {
    /// Put these into the ledger; the sender learns of it by applying them.
    Forward {
        /// The sender's lowest outstanding counter.
        lowest: u64,
        /// In order.
        commands: Vec<Forwarded>,
    },
    /// The leader refused one without writing it.
    Refused {
        /// Of the sender's request.
        request: RequestId,
        /// Why.
        refused: Refused,
    },
    /// These requests were applied; for askers that do not apply the ledger themselves.
    Applied {
        /// Of the sender's requests, with the typed outcome, encoded.
        outcomes: Vec<(RequestId, Bytes)>,
    },
    /// Answer a reconciliation on the stream that you hold.
    Reconcile {
        /// Whose.
        framework: FrameworkId,
        /// Of the caller.
        stream: StreamId,
        /// Empty is all.
        tasks: Vec<ReconcileTask>,
    },
    /// Read a file from an agent whose session you hold.
    ReadFile {
        /// Which agent.
        agent: AgentId,
        /// What.
        read: FileRead,
    },
    /// The answer.
    FilePiece {
        /// Of the request.
        request: u64,
        /// The piece.
        piece: Result<FilePiece, FileError>,
    },
    /// My state's hash at that index.
    Hash {
        /// Of the hash.
        index: Index,
        /// The hash.
        hash: StateHash,
    },
    /// You are out of the quorum for ever. From its leader, to a master that does not seem to know.
    Removed {
        /// The voter id that is out.
        raft: RaftId,
        /// The life of the cluster that the sender leads.
        incarnation: Incarnation,
    },
}

/// One command on its way to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// Its identity; a retry has the same.
    pub request: RequestId,
    /// On whose behalf.
    pub principal: Option<Principal>,
    /// Whose command.
    pub module: ModuleNumber,
    /// The command.
    pub body: Bytes,
}
