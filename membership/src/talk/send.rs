//! Writing broadcasts into datagrams, and comparing what two nodes have heard.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::events::Hearing;
use super::lamport::LamportTime;
use super::user_event::UserEvent;
use super::wire;
use crate::envelope::{Carrier, Writer};
use crate::io::Output;
use crate::limits;
use crate::machine::Membership;
use crate::message::kind;
use crate::stats::Traffic;
use crate::streams::Via;

impl Membership {
    /// Adds what fits to a datagram that goes anyway.
    pub(crate) fn add_broadcasts(&mut self, writer: &mut Writer) {
        if self.talk.queue.is_empty() {
            return;
        }
        for body in self.talk.queue.take(writer.room(), 1) {
            writer.section(kind::BROADCASTS, &body);
        }
    }

    /// Sends one member what is being spread, in few datagrams. True if one of them had room for
    /// the news too, or there is none.
    pub(crate) fn send_broadcasts(&mut self, to: SocketAddr) -> bool {
        let mut told = self.news.is_empty();
        let room = self.writer(Carrier::Datagram).room();
        let bodies = self.talk.queue.take(room, limits::BROADCAST_DATAGRAMS);
        for body in bodies {
            let mut writer = self.writer(Carrier::Datagram);
            writer.section(kind::BROADCASTS, &body);
            if !told {
                told = self.add_news(&mut writer);
            }
            self.send(to.into(), Traffic::Talk, writer);
        }
        told
    }

    /// What this node has heard, so that another can tell it what it lacks, and hear what it has.
    pub(crate) fn event_digest(&self, last: bool) -> wire::EventDigest {
        let newest = self.talk.events.newest(limits::EVENTS_COMPARED);
        wire::EventDigest {
            event_clock: self.talk.clocks.event.0,
            query_clock: self.talk.clocks.query.0,
            newest: newest.map(UserEvent::fingerprint).collect(),
            last,
            joining: self.talk.events.awaits_begin() && !last,
        }
    }

    pub(crate) fn answer_event_digest(&mut self, to: Via, theirs: wire::EventDigest) {
        let clocks = &mut self.talk.clocks;
        let (event, query) = (
            LamportTime(theirs.event_clock),
            LamportTime(theirs.query_clock),
        );
        // A clock that cannot be is not believed; what it came with may still be compared.
        if clocks.event.may_hear(event) {
            clocks.event.witness(event);
        }
        if theirs.last {
            self.talk.events.begin(clocks.event);
        }
        if clocks.query.may_hear(query) {
            clocks.query.witness(query);
        }
        let held: BTreeSet<u64> = theirs.newest.iter().copied().collect();
        let ours = self.talk.events.newest(limits::EVENTS_COMPARED);
        let lacked: Vec<_> = ours
            .filter(|event| !held.contains(&event.fingerprint()))
            .map(wire::Event::from)
            .collect();
        let ours = self.talk.events.newest(limits::EVENTS_COMPARED);
        let ours: BTreeSet<u64> = ours.map(UserEvent::fingerprint).collect();
        if !theirs.last && (theirs.joining || ours != held) {
            let digest = self.event_digest(true);
            self.send_message(to, kind::EVENT_DIGEST, &digest);
        }
        self.send_packed(to, kind::EVENTS, limits::SYNC_REPLY_DATAGRAMS, lacked);
    }

    /// Takes events that this node missed. They are not spread: the others have them.
    pub(crate) fn take_events(&mut self, events: Vec<UserEvent>) {
        if self.talk.events.awaits_begin() {
            // Which of them are of before this node joined is not known; they come again.
            return;
        }
        for event in events {
            if !self.talk.clocks.event.may_hear(event.ltime) {
                self.stats.broadcasts_refused += 1;
                continue;
            }
            self.talk.clocks.event.witness(event.ltime);
            let clock = self.talk.clocks.event;
            match self.talk.events.hear(clock, &event) {
                Hearing::New => {
                    self.stats.events_caught_up += 1;
                    self.outputs.push_back(Output::UserEvent(event));
                }
                Hearing::Before => self.stats.events_before += 1,
                Hearing::Known => self.stats.broadcasts_known += 1,
                Hearing::Old => self.stats.broadcasts_refused += 1,
            }
        }
    }
}
