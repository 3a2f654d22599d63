//! What peers say: checked, translated, and handed to Raft.

use raft::StateRole;
use raft::eraftpb::{Message as RaftMessage, MessageType};
use shoal_api::RaftId;

use super::Quorum;
use crate::limits;
use crate::message::{Body, Message, RaftFrame};
use crate::wire::{self, Standing};

impl Quorum {
    pub(super) fn receive(&mut self, from: RaftId, message: Message) {
        let own = self.config.id;
        let stranger = from == own || from == RaftId(0) || message.to != own.0;
        if stranger || self.status.membership.removed.contains(&from) {
            self.stats.refused += 1;
            return;
        }
        let taken = match message.body {
            Some(Body::Raft(frame)) => self.receive_raft(from, frame),
            Some(Body::Piece(piece)) => self.receive_piece(from, &piece),
            Some(Body::Received(answer)) => self.receive_answer(from, &answer),
            None => false,
        };
        if taken {
            self.stats.received += 1;
        } else {
            self.stats.refused += 1;
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let raft = &self.raw.raft;
        Standing {
            term: raft.term,
            committed: raft.raft_log.committed,
            last: raft.raft_log.last_index(),
            leads: raft.state == StateRole::Leader,
        }
    }

    fn receive_raft(&mut self, from: RaftId, frame: RaftFrame) -> bool {
        let Some(message) = wire::message(from, self.config.id, frame) else {
            return false;
        };
        // Raft must not be told to campaign when it could not read its own log.
        let untimely = message.msg_type == MessageType::MsgTimeoutNow && !self.may_campaign();
        // While the disk stands still, answers pile up: what is not received is only late.
        let stalled = self.persistence.in_flight() >= limits::BATCHES_IN_FLIGHT
            && self.raw.raft.msgs.len() >= limits::MESSAGES_HELD;
        if untimely || stalled || !wire::check(&message, self.standing()) {
            return false;
        }
        let (kind, term) = (message.msg_type, message.term);
        let taken = self.step_raft(message);
        if taken && term == self.raw.raft.term {
            self.confirm(from, kind);
        }
        taken
    }

    /// Lets Raft take a message, and holds back own attempts while a vote given may lead somewhere.
    pub(super) fn step_raft(&mut self, message: RaftMessage) -> bool {
        let before = (self.raw.raft.term, self.raw.raft.vote);
        let taken = self.raw.step(message).is_ok();
        if before != (self.raw.raft.term, self.raw.raft.vote) {
            self.hint = self.hint.map(|hint| hint.yielded(self.now));
        }
        taken
    }

    /// Notes what a message says about who is alive.
    fn confirm(&mut self, from: RaftId, kind: MessageType) {
        let from_leader = kind == MessageType::MsgAppend || kind == MessageType::MsgHeartbeat;
        let answer =
            kind == MessageType::MsgAppendResponse || kind == MessageType::MsgHeartbeatResponse;
        if from_leader && self.leader() == Some(from) {
            self.confirmed = Some(self.now);
        } else if answer && self.is_leader() {
            if self.status.membership.contains(from) {
                self.heard.insert(from, self.now);
            }
            self.confirm_leader();
        }
    }
}
