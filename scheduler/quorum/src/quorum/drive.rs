//! What Raft wants done: its readies become persists, sends and applies; the disk's answers go back.
//!
//! The order in which Raft must be told things is kept here and nowhere else.

use raft::eraftpb::{Entry, EntryType, Message as RaftMessage, MessageType};
use raft::{Ready, StateRole};
use shoal_api::{Index, RaftId, Term};

use super::{Quorum, role};
use crate::entry::{Batch, Snapshot};
use crate::input::Ticket;
use crate::limits;
use crate::message::{Body, Message};
use crate::output::{Applied, DropReason, Output, TransferOutcome};
use crate::status::{RaftRole, Status};
use crate::wire;

impl Quorum {
    /// Turns everything that was stepped into outputs.
    pub(super) fn pump(&mut self) {
        self.dirty = false;
        self.flush_proposals();
        loop {
            self.leave_joint();
            self.begin_reads();
            let room = self.persistence.in_flight() < limits::BATCHES_IN_FLIGHT;
            if !room || !self.raw.has_ready() {
                break;
            }
            self.handle_ready();
            self.settle();
        }
        self.note_status();
        self.send_pieces();
        self.want_snapshot();
        for (context, index) in self.reads.answered(self.raft_applied()) {
            self.outputs.push_back(Output::ReadReady { context, index });
        }
    }

    /// All proposals of a step go into one append.
    pub(super) fn flush_proposals(&mut self) {
        if self.proposals.is_empty() {
            return;
        }
        let proposals = std::mem::take(&mut self.proposals);
        self.proposal_bytes = 0;
        let mut refused = self.proposals_refused();
        if refused.is_none() {
            let entries: Vec<Entry> = proposals
                .iter()
                .map(|data| Entry {
                    data: data.clone(),
                    ..Entry::default()
                })
                .collect();
            let message = RaftMessage {
                msg_type: MessageType::MsgPropose,
                from: self.config.id.0,
                entries: entries.into(),
                ..RaftMessage::default()
            };
            if self.raw.step(message).is_err() {
                refused = Some(DropReason::Overloaded);
            }
        }
        match refused {
            None => self.stats.proposed += proposals.len() as u64,
            Some(reason) => {
                for data in proposals {
                    self.drop_proposal(data, reason);
                }
            }
        }
    }

    fn begin_reads(&mut self) {
        let raft = &self.raw.raft;
        let answerable = if raft.state == StateRole::Leader {
            raft.commit_to_current_term()
        } else {
            raft.leader_id != raft::INVALID_ID
        };
        if !answerable {
            return;
        }
        if let Some(context) = self.reads.begin(self.now) {
            self.raw.read_index(context);
        }
    }

    fn handle_ready(&mut self) {
        let mut ready = self.raw.ready();
        self.note_status();
        for read in ready.take_read_states() {
            self.reads.certain(&read.request_ctx, read.index);
        }
        let leads = self.is_leader();
        let at_once = ready.take_messages();
        let later = ready.take_persisted_messages();
        let snapshot = self.persist(&mut ready);
        let number = ready.number();
        for message in at_once {
            self.send_or_hold(message, leads);
        }
        for message in later {
            self.send_or_hold(message, false);
        }
        let committed = ready.take_committed_entries();
        self.raw.advance_append_async(ready);
        if self.persistence.note(number, snapshot) {
            self.raw.on_persist_ready(number);
        }
        self.apply(committed);
    }

    /// Puts a ready's writes in memory and asks the disk for them; returns the snapshot among them.
    fn persist(&mut self, ready: &mut Ready) -> Option<Snapshot> {
        if !ready.must_sync() {
            if let Some(state) = ready.hs() {
                let state = state.clone();
                self.raw.mut_store().set_hard_state(state);
            }
            return None;
        }
        let mut batch = Batch::default();
        if !ready.snapshot().is_empty() {
            let metadata = ready.snapshot().get_metadata();
            let (index, term) = (metadata.index, metadata.term);
            let snapshot = self.installing.take().filter(|s| s.index.0 == index);
            let snapshot = snapshot.expect("raft persists the snapshot that it was given last");
            self.raw.mut_store().install(index, term);
            self.stats.snapshots_installed += 1;
            batch.snapshot = Some(snapshot);
        }
        let entries = ready.take_entries();
        batch.entries = entries.iter().map(wire::log_entry).collect();
        self.raw.mut_store().append(&entries);
        let state = self.raw.raft.hard_state();
        batch.hard_state = Some(wire::hard_state(&state));
        self.raw.mut_store().set_hard_state(state);
        let votes = ready.hs().is_some_and(|after| {
            let before = (self.voted.term, self.voted.vote);
            before != (after.term, after.vote)
        });
        if let Some(after) = ready.hs() {
            self.voted = after.clone();
        }
        let ticket = self.persistence.issue(self.now, votes);
        let snapshot = batch.snapshot.clone();
        self.outputs.push_back(Output::Persist { ticket, batch });
        snapshot
    }

    fn send_or_hold(&mut self, message: RaftMessage, leads: bool) {
        match self.persistence.hold(message, leads) {
            Ok(Some(message)) => self.send(message),
            Ok(None) => {}
            Err(()) => self.stats.held_dropped += 1,
        }
    }

    fn send(&mut self, message: RaftMessage) {
        let to = RaftId(message.to);
        if message.msg_type == MessageType::MsgSnapshot {
            self.send_snapshot(to, &message);
        } else if let Some(frame) = wire::frame(message) {
            self.send_body(to, Body::Raft(frame));
        }
    }

    pub(super) fn send_body(&mut self, to: RaftId, body: Body) {
        self.stats.sent += 1;
        let message = Message {
            to: to.0,
            body: Some(body),
        };
        self.outputs.push_back(Output::Send { to, message });
    }

    /// Hands out committed entries. They are durable: Raft holds back those that are not.
    fn apply(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else {
            return;
        };
        self.stats.applied += entries.len() as u64;
        for entry in entries {
            let (index, term) = (Index(entry.index), Term(entry.term));
            let kind = match entry.entry_type {
                EntryType::EntryNormal if entry.data.is_empty() => Applied::Empty,
                EntryType::EntryNormal => Applied::Data(entry.data),
                EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                    self.apply_change(&entry)
                }
            };
            self.outputs.push_back(Output::Apply { index, term, kind });
        }
        self.raw.raft.commit_apply(last);
        self.step_down_if_removed();
    }

    pub(super) fn persisted(&mut self, ticket: Ticket) {
        let durable = self.persistence.complete(ticket);
        if let Some(number) = durable.ready {
            self.raw.on_persist_ready(number);
        }
        if let Some(snapshot) = durable.snapshot {
            self.installed(snapshot);
        }
        for message in durable.messages {
            self.send(message);
        }
    }

    /// Tells of a change of leader, term, role or membership, and does what follows from it.
    fn note_status(&mut self) {
        let raft = &self.raw.raft;
        let (_, membership) = self.memberships.last().expect("there is always one");
        let status = Status {
            id: self.config.id,
            leader: self.leader(),
            term: Term(raft.term),
            role: role(raft.state),
            membership: membership.clone(),
        };
        let leads = raft.state == StateRole::Leader;
        if self.transferring && !(leads && raft.lead_transferee.is_some()) {
            self.transferring = false;
            let outcome = if leads {
                TransferOutcome::TimedOut
            } else {
                TransferOutcome::Done
            };
            self.outputs.push_back(Output::TransferEnded(outcome));
        }
        if status == self.status {
            return;
        }
        let before = std::mem::replace(&mut self.status, status);
        if (before.leader, before.term) != (self.status.leader, self.status.term) {
            self.reads.restart();
        }
        if leads && before.role != RaftRole::Leader {
            self.hint = None;
            self.heard.clear();
        }
        if !leads {
            self.sending.clear();
        }
        let waits = |role| role == RaftRole::Follower || role == RaftRole::Leader;
        if waits(before.role) && !waits(self.status.role) {
            self.stats.campaigns += 1;
        }
        self.outputs.push_back(Output::Status(self.status.clone()));
    }
}
