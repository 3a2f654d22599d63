//! Snapshots: taken here, sent to peers, received from the leader, and the compaction they allow.

use std::sync::Arc;

use bytes::Bytes;
use raft::SnapshotStatus;
use raft::eraftpb::{Message as RaftMessage, MessageType};
use shoal_api::{Index, RaftId, Term};

use super::Quorum;
use crate::entry::Snapshot;
use crate::limits;
use crate::membership::Membership;
use crate::message::{Body, SnapshotPiece, SnapshotReceived};
use crate::output::Output;
use crate::receiving::Taken;
use crate::sending::Answer;
use crate::tail::Sendable;
use crate::wire;

impl Quorum {
    fn membership_at(&self, index: u64) -> &Membership {
        let at = self
            .memberships
            .iter()
            .rev()
            .find(|(from, _)| *from <= index);
        &at.expect("the first is as old as the snapshot").1
    }

    /// Asks for an image when the log is long or a peer needs one that is not there.
    pub(super) fn want_snapshot(&mut self) {
        let missing = self.raw.store().take_snapshot_missing();
        let tail = self.raw.store();
        let long = tail.len() > self.config.snapshot_after
            || tail.bytes() > limits::TAIL_BYTES_WANT
            || self.memberships.len() >= limits::MEMBERSHIPS;
        let applied = self.raft_applied();
        let helps = self.snapshot_index == self.snapshot_saved && applied > self.snapshot_index;
        if self.snapshot_wanted || !(missing || (long && helps)) {
            return;
        }
        self.snapshot_wanted = true;
        let (changed, _) = self.memberships.last().expect("there is always one");
        let at_least = Index((*changed).max(self.snapshot_index).min(applied));
        self.outputs.push_back(Output::WantSnapshot { at_least });
    }

    /// An image may be taken unasked. One older than the latest is of no use; one as old serves peers
    /// again.
    pub(super) fn snapshot_taken(&mut self, index: Index, chunks: Arc<[Bytes]>) {
        assert!(
            index <= self.applied(),
            "quorum: a snapshot of {index}, applied is {}",
            self.applied()
        );
        assert!(
            !chunks.is_empty(),
            "quorum: a snapshot of {index} without chunks"
        );
        self.snapshot_wanted = false;
        let Some(term) = self.raw.store().term_at(index.0) else {
            return;
        };
        if index.0 < self.snapshot_index {
            return;
        }
        let membership = self.membership_at(index.0).clone();
        let snapshot = Snapshot {
            index,
            term: Term(term),
            membership: membership.clone(),
            chunks,
        };
        if index.0 > self.snapshot_index {
            self.snapshot_index = index.0;
            self.outputs
                .push_back(Output::SaveSnapshot(snapshot.clone()));
        }
        self.raw.mut_store().set_sendable(Some(Sendable {
            index: index.0,
            term,
            membership,
        }));
        self.image = Some((snapshot, self.now + limits::IMAGE_KEPT));
    }

    /// The log before a durable snapshot may go, but for a few entries that slow peers may need.
    pub(super) fn snapshot_was_saved(&mut self, index: Index) {
        if index.0 <= self.snapshot_saved {
            return;
        }
        self.snapshot_saved = index.0;
        let through = self.raw.store().compactable(
            index.0,
            self.config.entries_kept,
            limits::TAIL_BYTES_KEPT,
        );
        let old = self.memberships.iter().filter(|(from, _)| *from <= index.0);
        let old = old.count().saturating_sub(1);
        self.memberships.drain(..old);
        if through > self.raw.store().base() {
            self.raw.mut_store().compact(through);
            self.outputs.push_back(Output::Compact {
                through: Index(through),
            });
        }
    }

    /// Begins to send the image. Raft waits for a report, which therefore always comes.
    pub(super) fn send_snapshot(&mut self, to: RaftId, message: &RaftMessage) {
        let index = message.get_snapshot().get_metadata().index;
        match &mut self.image {
            Some((snapshot, until)) if snapshot.index.0 == index => {
                *until = self.now + limits::IMAGE_KEPT;
                self.sending.begin(self.now, to, snapshot);
            }
            Some(_) | None => self.snapshot_ended(to, SnapshotStatus::Failure),
        }
    }

    pub(super) fn snapshot_ended(&mut self, to: RaftId, status: SnapshotStatus) {
        match status {
            SnapshotStatus::Finish => self.stats.snapshots_sent += 1,
            SnapshotStatus::Failure => self.stats.snapshots_failed += 1,
        }
        self.raw.report_snapshot(to.0, status);
        self.dirty = true;
    }

    pub(super) fn send_pieces(&mut self) {
        let term = self.raw.raft.term;
        for (to, piece) in self.sending.pieces(term) {
            self.send_body(to, Body::Piece(piece));
        }
    }

    pub(super) fn expire_snapshots(&mut self) {
        for to in self.sending.expire(self.now) {
            self.snapshot_ended(to, SnapshotStatus::Failure);
        }
        let idle = self.sending.is_empty() && self.snapshot_saved == self.snapshot_index;
        if self
            .image
            .as_ref()
            .is_some_and(|(_, until)| idle && self.now >= *until)
        {
            self.image = None;
            self.raw.mut_store().set_sendable(None);
        }
    }

    pub(super) fn receive_answer(&mut self, from: RaftId, answer: &SnapshotReceived) -> bool {
        if !self.is_leader() || !self.sending.contains(from) {
            return false;
        }
        if self.status.membership.contains(from) {
            self.heard.insert(from, self.now);
        }
        match self.sending.answered(self.now, from, answer) {
            Answer::Open => {}
            Answer::Complete => self.snapshot_ended(from, SnapshotStatus::Finish),
            Answer::Refused => self.snapshot_ended(from, SnapshotStatus::Failure),
        }
        true
    }

    pub(super) fn receive_piece(&mut self, from: RaftId, piece: &SnapshotPiece) -> bool {
        let standing = self.standing();
        if piece.term < standing.term || (standing.leads && piece.term == standing.term) {
            return false;
        }
        let known = piece.index <= standing.committed;
        let (received, refused) = if known {
            (piece.pieces, false)
        } else {
            match self.receiving.take(from, self.config.id, piece) {
                Taken::Partly(received) => (received, false),
                Taken::Refused => (0, true),
                Taken::Whole(snapshot) => {
                    self.install(from, piece.term, snapshot);
                    (piece.pieces, false)
                }
            }
        };
        if known && piece.sequence == 0 {
            // Raft answers what it has already with how far it is.
            self.step_snapshot(
                from,
                piece.term,
                piece.index,
                piece.index_term,
                &Membership::default(),
            );
        }
        let answer = SnapshotReceived {
            term: piece.term,
            index: piece.index,
            received,
            refused,
        };
        self.send_body(from, Body::Received(answer));
        !refused
    }

    /// Lets Raft take a whole snapshot. It drops silently what does not fit it.
    fn install(&mut self, from: RaftId, term: u64, snapshot: Snapshot) {
        let (index, index_term) = (snapshot.index.0, snapshot.term.0);
        let membership = snapshot.membership.clone();
        self.step_snapshot(from, term, index, index_term, &membership);
        let taken = self
            .raw
            .snap()
            .is_some_and(|taken| taken.get_metadata().index == index);
        if taken {
            self.installing = Some(snapshot);
        }
    }

    fn step_snapshot(
        &mut self,
        from: RaftId,
        term: u64,
        index: u64,
        index_term: u64,
        membership: &Membership,
    ) {
        let mut message = RaftMessage {
            msg_type: MessageType::MsgSnapshot,
            from: from.0,
            to: self.config.id.0,
            term,
            ..RaftMessage::default()
        };
        message.set_snapshot(wire::snapshot(index, index_term, membership));
        self.step_raft(message);
    }

    /// A received snapshot is durable: the state machine continues from it.
    pub(super) fn installed(&mut self, snapshot: Snapshot) {
        self.raw.advance_apply_to(snapshot.index.0);
        self.snapshot_index = snapshot.index.0;
        self.snapshot_saved = snapshot.index.0;
        self.image = None;
        self.memberships = vec![(snapshot.index.0, snapshot.membership.clone())];
        self.restore_state(snapshot);
    }
}
