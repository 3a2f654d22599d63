//! Snapshots on their way to peers: cut into pieces, a window of them unanswered, sent again from the
//! first gap, given up after a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use shoal_api::{Instant, RaftId};

use crate::entry::Snapshot;
use crate::limits;
use crate::message::{MembershipFrame, SnapshotPiece, SnapshotReceived};
use crate::wire;

#[derive(Debug)]
struct Piece {
    data: Bytes,
    ends_chunk: bool,
}

/// Invariants: `acknowledged <= sent <= pieces.len()`.
#[derive(Debug)]
struct Transfer {
    index: u64,
    index_term: u64,
    membership: MembershipFrame,
    pieces: Vec<Piece>,
    acknowledged: usize,
    sent: usize,
    progressed: Instant,
    resent: Instant,
}

/// How a peer's answer left its transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It goes on, or there is none.
    Open,
    /// All pieces arrived.
    Complete,
    /// The peer refuses it.
    Refused,
}

/// All transfers of a leader.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    transfers: BTreeMap<RaftId, Transfer>,
}

fn cut(chunks: &Arc<[Bytes]>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for chunk in chunks.iter() {
        let mut rest = chunk.clone();
        loop {
            let data = rest.split_to(rest.len().min(limits::SNAPSHOT_PIECE_BYTES));
            let ends_chunk = rest.is_empty();
            pieces.push(Piece { data, ends_chunk });
            if ends_chunk {
                break;
            }
        }
    }
    if pieces.is_empty() {
        pieces.push(Piece {
            data: Bytes::new(),
            ends_chunk: false,
        });
    }
    pieces
}

impl Sending {
    /// Begins to send; a transfer to the same peer is given up for it.
    pub(crate) fn begin(&mut self, now: Instant, to: RaftId, snapshot: &Snapshot) {
        let transfer = Transfer {
            index: snapshot.index.0,
            index_term: snapshot.term.0,
            membership: wire::membership_frame(&snapshot.membership),
            pieces: cut(&snapshot.chunks),
            acknowledged: 0,
            sent: 0,
            progressed: now,
            resent: now,
        };
        self.transfers.insert(to, transfer);
    }

    /// The pieces that may be sent.
    pub(crate) fn pieces(&mut self, term: u64) -> Vec<(RaftId, SnapshotPiece)> {
        let mut out = Vec::new();
        for (to, transfer) in &mut self.transfers {
            let window = transfer.acknowledged + limits::SNAPSHOT_PIECES_IN_FLIGHT;
            while transfer.sent < transfer.pieces.len().min(window) {
                let piece = &transfer.pieces[transfer.sent];
                let frame = SnapshotPiece {
                    term,
                    index: transfer.index,
                    index_term: transfer.index_term,
                    membership: Some(transfer.membership.clone()),
                    sequence: transfer.sent as u64,
                    pieces: transfer.pieces.len() as u64,
                    ends_chunk: piece.ends_chunk,
                    data: piece.data.clone(),
                };
                out.push((*to, frame));
                transfer.sent += 1;
            }
        }
        out
    }

    /// A peer says how much arrived.
    pub(crate) fn answered(&mut self, now: Instant, from: RaftId, a: &SnapshotReceived) -> Answer {
        let Some(transfer) = self.transfers.get_mut(&from) else {
            return Answer::Open;
        };
        if transfer.index != a.index {
            return Answer::Open;
        }
        if a.refused {
            self.transfers.remove(&from);
            return Answer::Refused;
        }
        let received = usize::try_from(a.received).unwrap_or(usize::MAX);
        if received > transfer.acknowledged && received <= transfer.pieces.len() {
            transfer.acknowledged = received;
            transfer.sent = transfer.sent.max(received);
            transfer.progressed = now;
            transfer.resent = now;
        }
        if transfer.acknowledged == transfer.pieces.len() {
            self.transfers.remove(&from);
            return Answer::Complete;
        }
        Answer::Open
    }

    /// Sends again what went unanswered, and returns the peers whose transfers have failed.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<RaftId> {
        let mut failed = Vec::new();
        for (to, transfer) in &mut self.transfers {
            if now.since(transfer.progressed) >= limits::SNAPSHOT_TIMEOUT {
                failed.push(*to);
            } else if now.since(transfer.resent) >= limits::SNAPSHOT_RETRY {
                transfer.sent = transfer.acknowledged;
                transfer.resent = now;
            }
        }
        for to in &failed {
            self.transfers.remove(to);
        }
        failed
    }

    /// Gives up a transfer; whether there was one.
    pub(crate) fn cancel(&mut self, to: RaftId) -> bool {
        self.transfers.remove(&to).is_some()
    }

    pub(crate) fn contains(&self, to: RaftId) -> bool {
        self.transfers.contains_key(&to)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.transfers.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.transfers.clear();
    }
}
