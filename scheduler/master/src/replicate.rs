//! Between quorum and ledger: entries come in, effects go to whoever holds the session or the stream.

use bytes::Bytes;
use shoal_api::{Index, Plant, RaftId, Term};
use shoal_ledger::Entry;
use shoal_offers::Effect;
use shoal_quorum::{Applied, Output as Raft, RaftRole, Status};

use crate::charter::CharterChange;
use crate::event::{EntryEvents, Event, What};
use crate::input::{Answer, Leadership, Output, Refused};
use crate::lead::Lead;
use crate::limits::COMMANDS_PER_FORWARD;
use crate::master::Master;
use crate::peer::{Forwarded, LedgerMessage, PeerMessage};
use crate::proposals::{Outstanding, Waiter};
use crate::state::{AppliedCommand, Outcome, State};

impl Master {
    /// Takes everything that the quorum says.
    pub(crate) fn drain_quorum(&mut self) {
        while self.halted.is_none() {
            let Some(output) = self.quorum.poll_output() else {
                return;
            };
            self.quorum_says(output);
        }
    }

    fn quorum_says(&mut self, output: Raft) {
        match output {
            Raft::Send { to, message } => {
                self.outputs.push_back(Output::Send {
                    to,
                    message: PeerMessage::Raft(message),
                });
            }
            Raft::Persist { ticket, batch } => {
                self.outputs.push_back(Output::Persist { ticket, batch });
            }
            Raft::SaveSnapshot(snapshot) => self.outputs.push_back(Output::SaveSnapshot(snapshot)),
            Raft::Compact { through } => self.outputs.push_back(Output::Compact(through)),
            Raft::Apply { index, kind, term } => self.entry(index, term, kind),
            Raft::Restore { index, chunks, .. } => self.restore(index, &chunks),
            Raft::Status(status) => self.status_changed(status),
            Raft::ReadReady { context, .. } => self.read_ready(context),
            Raft::ReadFailed { context } => self.read_failed(context),
            Raft::ProposalDropped { data, .. } => self.entry_dropped(&data),
            Raft::ChangeRefused { change, reason } => self.change_refused(change, &reason),
            Raft::TransferEnded(_) => self.transfer_ended(),
            Raft::WantSnapshot { .. } => self.take_image(),
        }
    }

    fn entry(&mut self, index: Index, term: Term, kind: Applied) {
        match kind {
            Applied::Data(data) => self.apply(index, &data),
            Applied::Empty => {
                let what = What::LeaderElected { term };
                self.tell_entry(index, what);
            }
            Applied::Membership(membership) => {
                // A joint change is entered with the old voters still counted: a replacement began.
                let begins = membership.is_joint() && !self.status.membership.is_joint();
                if begins && self.lead.is_some() {
                    self.stats.voters_replaced += 1;
                }
                let what = What::QuorumChanged {
                    voters: membership.voters.clone(),
                    learners: membership.learners.clone(),
                };
                self.tell_entry(index, what);
                self.status.membership = membership;
                self.membership_applied();
                self.outputs.push_back(Output::Status(self.status.clone()));
            }
        }
        self.hashes.note(index, self.state.hash());
    }

    fn apply(&mut self, index: Index, data: &Bytes) {
        let applied = match self.state.apply(index, data) {
            Ok(applied) => applied,
            Err(error) => {
                self.halt(format!(
                    "entry {index} cannot be applied by this version: {error}"
                ));
                return;
            }
        };
        self.stats.entries += 1;
        self.stats.commands += applied.len() as u64;
        self.hurry_lazy();
        self.bytes_since_image += data.len() as u64;
        let mut events = Vec::new();
        for mut command in applied {
            events.append(&mut command.events);
            self.command_applied(command);
        }
        if !events.is_empty() {
            self.outputs
                .push_back(Output::Events(EntryEvents { index, events }));
        }
        if let Some(lead) = &mut self.lead {
            lead.queue.entry_applied();
        }
        let tuning = &self.config.tuning;
        if index.0 >= self.image_at.0 + tuning.snapshot_entries
            || self.bytes_since_image >= tuning.snapshot_bytes
        {
            self.take_image();
        }
    }

    /// The one event of an entry that carries no commands.
    fn tell_entry(&mut self, index: Index, what: What) {
        let events = vec![Event { wall: None, what }];
        self.outputs
            .push_back(Output::Events(EntryEvents { index, events }));
    }

    fn command_applied(&mut self, command: AppliedCommand) {
        let AppliedCommand {
            request,
            outcome,
            encoded,
            effects,
            charter,
            events: _,
        } = command;
        let settled = match &outcome {
            Some(_) => self.proposals.settle(request),
            None => None,
        };
        // The waiter first: SUBSCRIBED and the welcome precede what follows from them.
        if let (Some(outstanding), Some(outcome)) = (settled, &outcome) {
            self.settle(request, outstanding, outcome.clone());
        }
        if let Some(lead) = &mut self.lead {
            lead.queue.applied(request);
            if outcome.is_some() {
                lead.guests.applied(request, &encoded);
            }
        }
        match charter {
            CharterChange::Nothing => {}
            CharterChange::Founded
            | CharterChange::Masters
            | CharterChange::Restarted(_)
            | CharterChange::LifeBegan(_) => {
                let book = self.state.charter.masters().cloned().collect();
                self.outputs.push_back(Output::Book(book));
            }
            CharterChange::Ring => self.ring_changed(),
        }
        for effect in effects {
            self.effect(effect);
        }
    }

    fn settle(
        &mut self,
        request: shoal_api::RequestId,
        outstanding: Outstanding,
        outcome: Outcome,
    ) {
        match outstanding.waiter {
            Waiter::Ask(ask) => {
                if !self.config.plants.has(Plant::AcknowledgeEarly) {
                    self.answer(ask, answer_of(outcome));
                }
            }
            Waiter::Session(conn) => self.session_settled(conn, outcome),
            Waiter::Stream(conn) => self.stream_settled(conn, outcome),
            Waiter::Fact => {}
            Waiter::Decision(decision) => self.decision_settled(request, decision, &outcome),
        }
    }

    fn effect(&mut self, effect: Effect) {
        if let Some(lead) = &mut self.lead {
            lead.follow(&effect, &self.state, self.now);
        }
        match effect {
            Effect::SessionChanged { agent } => self.session_changed(agent),
            Effect::AgentRunsChanged { agent, tasks } => self.command_agent(agent, &tasks),
            Effect::UpdateDurable {
                agent,
                task,
                sequence,
            } => {
                self.update_durable(agent, task, sequence);
            }
            Effect::Notice {
                framework,
                stream,
                holder,
                notice,
            } => {
                if holder == self.config.node {
                    self.notify(&framework, stream, notice);
                }
            }
            Effect::StreamEnded {
                framework,
                stream,
                holder,
            } => {
                if holder == self.config.node
                    && let Some(conn) = self.streams.conn_of(&framework, stream)
                {
                    self.close_stream(conn);
                }
            }
            Effect::VolumeDestroyed { agent, terms } => self.remove_volume(agent, terms),
            // Of interest to the leader alone.
            Effect::FrameworkChanged { .. }
            | Effect::FrameworkGone { .. }
            | Effect::AgentChanged { .. }
            | Effect::Refused { .. }
            | Effect::Revived { .. }
            | Effect::TaskChanged { .. }
            | Effect::TaskGone { .. } => {}
        }
    }

    /// The ledger is replaced: what waited for entries that were skipped is looked up in it.
    fn restore(&mut self, index: Index, chunks: &[Bytes]) {
        match State::read(chunks, self.config.plants) {
            Ok(state) => self.state = state,
            Err(error) => {
                self.halt(format!(
                    "the snapshot of index {index} cannot be read: {error}"
                ));
                return;
            }
        }
        self.outputs.push_back(Output::EventsSkipped(index));
        self.image_at = index;
        self.bytes_since_image = 0;
        self.hashes.note(index, self.state.hash());
        let waiting: Vec<_> = self.proposals.waiting().collect();
        for request in waiting {
            if let Some(outcome) = self.state.outcome_of(request)
                && let Some(outstanding) = self.proposals.settle(request)
            {
                // What a stream would have been told first was skipped: its framework comes again.
                if let Waiter::Stream(conn) = outstanding.waiter {
                    self.stream_closed(conn);
                    self.outputs.push_back(Output::StreamRefused {
                        conn,
                        refused: Refused::Unavailable,
                    });
                }
                self.settle(request, outstanding, outcome);
            }
        }
        let book = self.state.charter.masters().cloned().collect();
        self.outputs.push_back(Output::Book(book));
        self.check_sessions();
        self.check_streams();
    }

    fn take_image(&mut self) {
        if self.imaging {
            return;
        }
        self.imaging = true;
        self.stats.images += 1;
        self.image_at = self.quorum.applied();
        self.bytes_since_image = 0;
        let image = std::sync::Arc::new(self.state.clone());
        self.outputs.push_back(Output::TakeSnapshot {
            index: self.image_at,
            image,
        });
    }

    fn status_changed(&mut self, status: Status) {
        let led = self.lead.is_some();
        let leads = status.role == RaftRole::Leader;
        let changed = self.status.leader != status.leader || self.status.term != status.term;
        self.status = Leadership {
            leader: status.leader,
            term: status.term,
            leading: leads,
            membership: status.membership,
        };
        if status.leader.is_some() {
            self.leader_heard = self.now;
        }
        if led && (!leads || changed) {
            self.lead = None;
            self.proposals.drop_decisions();
            if let Some((_, ask)) = self.members.asked.take() {
                self.answer(ask, Answer::Refused(Refused::Unavailable));
            }
        }
        if leads && self.lead.is_none() {
            self.lead = Some(Box::new(Lead::new(self.now, self.dice.child("allocator"))));
        }
        if changed {
            self.proposals.leader_changed();
        }
        self.outputs.push_back(Output::Status(self.status.clone()));
    }

    /// What is to be sent goes to the leader, or into the own queue.
    pub(crate) fn send_proposals(&mut self) {
        if !self.proposals.has_unsent() {
            return;
        }
        let Some(leader) = self.status.leader else {
            return;
        };
        let lowest = self.proposals.lowest();
        let mut commands = self.proposals.take_unsent(self.now);
        if leader == self.config.raft {
            let Some(lead) = &mut self.lead else { return };
            for forwarded in commands {
                lead.queue.push(forwarded, lowest);
            }
            return;
        }
        while !commands.is_empty() {
            let rest = commands.split_off(commands.len().min(COMMANDS_PER_FORWARD));
            let message = PeerMessage::Ledger(LedgerMessage::Forward { lowest, commands });
            self.outputs.push_back(Output::Send {
                to: leader,
                message,
            });
            commands = rest;
        }
    }

    /// Commands of another master, or of the bench.
    pub(crate) fn take_forward(
        &mut self,
        from: RaftId,
        node: shoal_api::NodeId,
        lowest: u64,
        commands: Vec<Forwarded>,
    ) {
        let applies = self.state.charter.master(from).is_some();
        for forwarded in commands {
            let request = forwarded.request;
            if request.node != node || request.counter == 0 {
                self.stats.bad_messages += 1;
                continue;
            }
            let known = match applies {
                true => None,
                false => self.state.encoded_outcome_of(&request),
            };
            let Some(lead) = &mut self.lead else { continue };
            if !applies {
                lead.guests.asks(request, from);
            }
            if let Some(outcome) = known {
                lead.guests.applied(request, outcome);
                continue;
            }
            lead.queue.push(forwarded, lowest);
        }
    }

    /// As leader: guests are told what became of their commands, all of it in one message each.
    pub(crate) fn tell_guests(&mut self) {
        let Some(lead) = &mut self.lead else { return };
        for (to, outcomes) in lead.guests.take_answers() {
            let message = PeerMessage::Ledger(LedgerMessage::Applied { outcomes });
            self.outputs.push_back(Output::Send { to, message });
        }
    }

    /// As leader: what is queued becomes entries.
    pub(crate) fn propose(&mut self) {
        loop {
            let Some(lead) = &mut self.lead else { return };
            let time = lead.ledger_time(self.now);
            let Some(data) = lead.queue.next_entry(time, self.wall) else {
                return;
            };
            self.stats.proposed += 1;
            self.quorum
                .step(self.now, shoal_quorum::Input::Propose { data });
        }
    }

    fn entry_dropped(&mut self, data: &Bytes) {
        if let (Some(lead), Ok(entry)) = (&mut self.lead, Entry::decode(data)) {
            lead.queue.entry_dropped(&entry);
        }
    }
}

fn answer_of(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Offers(Ok(_)) | Outcome::Charter | Outcome::RunKilled(Ok(())) => Answer::Done,
        Outcome::Offers(Err(refusal)) => Answer::Refused(Refused::Offers(refusal)),
        Outcome::RunCreated(Ok(run)) => Answer::RunCreated(run),
        Outcome::RunCreated(Err(refusal)) | Outcome::RunKilled(Err(refusal)) => {
            Answer::Refused(Refused::Run(refusal))
        }
        Outcome::SlotsTaken | Outcome::Malformed => {
            Answer::Refused(Refused::Offers(shoal_offers::Refusal::Malformed))
        }
    }
}
