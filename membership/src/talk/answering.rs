//! Asking and answering: a query goes out as a broadcast, and what comes back comes straight to
//! who asked, again until its receipt, and through a few others too if that was asked for.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message;
use shoal_api::{Instant, NodeId};

use super::lamport::LamportTime;
use super::query::{AnswerBody, Query, QueryEnd, QueryKey, QueryRequest, QueryToken, Reply};
use super::wire::{self, AnswerPart, Asking};
use crate::identity::Identity;
use crate::io::Output;
use crate::limits;
use crate::machine::{Membership, Phase};
use crate::message::kind;
use crate::schedule::Timer;
use crate::timing;

/// A query of this node's own.
#[derive(Debug)]
pub(crate) struct Asked {
    token: QueryToken,
    deadline: Instant,
    acked: BTreeSet<NodeId>,
    answered: BTreeSet<NodeId>,
}

/// A query that this node may answer.
#[derive(Debug)]
pub(crate) struct Open {
    origin: Identity,
    relay: u8,
    deadline: Instant,
}

/// An acknowledgement or an answer that goes again until it is received.
#[derive(Debug)]
pub(crate) struct Outgoing {
    part: AnswerPart,
    origin: Identity,
    relay: u8,
    tries: u32,
    due: Instant,
    deadline: Instant,
}

impl Membership {
    /// Asks everyone, this node too.
    pub(crate) fn ask(&mut self, token: QueryToken, request: QueryRequest) {
        let refusal = if self.phase != Phase::Running {
            Some(QueryEnd::Leaving)
        } else if self.talk.asked.len() >= limits::QUERIES_ASKED {
            Some(QueryEnd::TooMany)
        } else {
            None
        };
        if let Some(end) = refusal {
            self.outputs.push_back(Output::QueryEnded { token, end });
            return;
        }
        self.stats.queries_asked += 1;
        let timeout = (request.options.timeout)
            .unwrap_or_else(|| self.timing.query(self.size()).min(limits::QUERY_TIMEOUT));
        let mut query = wire::Query::of(&request);
        query.ltime = self.talk.clocks.query.tick().0;
        query.id = self.dice.next_u64();
        query.origin = self.swim.identity().to_bytes();
        query.timeout_millis = u64::try_from(timeout.as_millis()).expect("it is bounded");
        let key = QueryKey {
            ltime: LamportTime(query.ltime),
            id: query.id,
        };
        let deadline = self.now + timeout;
        let asked = Asked {
            token,
            deadline,
            acked: BTreeSet::new(),
            answered: BTreeSet::new(),
        };
        self.talk.asked.insert(key, asked);
        self.await_talk(deadline);
        let broadcast = wire::Broadcast {
            query: Some(query.clone()),
            ..wire::Broadcast::default()
        };
        let asking = query.check().expect("its bounds were checked");
        self.hear_query(asking);
        self.broadcast(broadcast.encode_to_vec().into());
    }

    /// Takes a query; true if it is worth passing on.
    pub(crate) fn hear_query(&mut self, asking: Asking) -> bool {
        let key = asking.key;
        let clock = &mut self.talk.clocks.query;
        if !clock.may_hear(key.ltime) || clock.forgot(key.ltime) {
            self.stats.broadcasts_refused += 1;
            return false;
        }
        clock.witness(key.ltime);
        if !self.talk.queries.insert(key) {
            self.stats.broadcasts_known += 1;
            return false;
        }
        if self.talk.queries.len() > limits::QUERIES_KEPT {
            self.talk.queries.pop_first();
        }
        self.stats.queries_heard += 1;
        if asking.filter.matches(self.me()) && self.phase == Phase::Running {
            self.open(asking);
        }
        true
    }

    fn open(&mut self, asking: Asking) {
        if self.talk.open.len() >= limits::QUERIES_OPEN {
            self.stats.queries_unanswered += 1;
            return;
        }
        let deadline = self.now + asking.timeout;
        let open = Open {
            origin: asking.origin,
            relay: asking.relay,
            deadline,
        };
        self.await_talk(deadline);
        if asking.acks {
            self.reply(asking.key, &open, None);
        }
        self.talk.open.insert(asking.key, open);
        self.outputs.push_back(Output::Query(Query {
            key: asking.key,
            name: asking.name,
            payload: asking.payload,
            from: asking.origin.node,
            deadline,
        }));
    }

    /// Answers a query that is open; each is answered once.
    pub(crate) fn answer_query(&mut self, key: QueryKey, body: AnswerBody) {
        match self.talk.open.remove(&key) {
            Some(open) if open.deadline > self.now => {
                self.stats.answers_sent += 1;
                self.reply(key, &open, Some(body.into_bytes()));
            }
            Some(_) | None => self.stats.answers_late += 1,
        }
    }

    fn reply(&mut self, key: QueryKey, open: &Open, answer: Option<Bytes>) {
        let is_answer = answer.is_some();
        let part = AnswerPart {
            key,
            node: self.config.id,
            answer,
        };
        if open.origin.node == self.config.id {
            self.take_answer(None, part);
            return;
        }
        let mut outgoing = Outgoing {
            part,
            origin: open.origin,
            relay: open.relay,
            tries: 0,
            due: self.now,
            deadline: open.deadline,
        };
        self.send_reply(&mut outgoing);
        self.await_talk(outgoing.due);
        self.talk.outgoing.insert((key, is_answer), outgoing);
    }

    fn send_reply(&mut self, outgoing: &mut Outgoing) {
        let known = self.table.get(outgoing.origin.node);
        let to = known.map_or(outgoing.origin.address, |row| row.identity.address);
        let answer = wire::Answer::from(&outgoing.part);
        self.send_message(to, kind::ANSWER, &answer);
        // A reply that did not arrive may do so by another road.
        let relays = match outgoing.tries {
            0 => outgoing.relay,
            _ => outgoing.relay.max(1),
        };
        let relay = wire::Relay {
            to: Some(wire::node(outgoing.origin.node)),
            answer: Some(answer),
        };
        let asker = outgoing.origin.node;
        for through in self.choose_up(usize::from(relays) + 1) {
            if through.node != asker {
                self.send_message(through.address, kind::RELAY, &relay);
            }
        }
        let wait = self.timing.receipt * (1 << outgoing.tries.min(4));
        outgoing.tries += 1;
        outgoing.due = self.now + timing::jittered(&mut self.dice, wait);
    }

    /// Passes an answer on to who asked, if that is a living member.
    pub(crate) fn relay_answer(&mut self, to: NodeId, answer: &AnswerPart) {
        if to == self.config.id {
            self.take_answer(None, answer.clone());
            return;
        }
        let known = self.table.get(to).filter(|row| row.is_up());
        if let Some(address) = known.map(|row| row.identity.address) {
            self.stats.answers_relayed += 1;
            self.send_message(address, kind::ANSWER, &wire::Answer::from(answer));
        }
    }

    pub(crate) fn take_answer(&mut self, from: Option<SocketAddr>, part: AnswerPart) {
        if let Some(from) = from {
            let known = self.table.get(part.node);
            let to = known.map_or(from, |row| row.identity.address);
            let receipt = wire::Receipt {
                ltime: part.key.ltime.0,
                id: part.key.id,
                answer: part.answer.is_some(),
            };
            self.send_message(to, kind::RECEIPT, &receipt);
        }
        let Some(asked) = self.talk.asked.get_mut(&part.key) else {
            self.stats.replies_late += 1;
            return;
        };
        let heard = match part.answer {
            Some(_) => &mut asked.answered,
            None => &mut asked.acked,
        };
        if heard.len() >= limits::MEMBERS || !heard.insert(part.node) {
            self.stats.replies_known += 1;
            return;
        }
        self.stats.replies += 1;
        let token = asked.token;
        let name = self.table.get(part.node);
        let reply = Reply {
            node: part.node,
            name: name.and_then(|row| row.member.name.clone()),
            answer: part.answer,
        };
        self.outputs.push_back(Output::Reply { token, reply });
    }

    pub(crate) fn take_receipt(&mut self, key: QueryKey, answer: bool) {
        self.talk.outgoing.remove(&(key, answer));
    }

    /// Ends what is over, and sends again what may not have arrived.
    pub(crate) fn tend_talk(&mut self) {
        let now = self.now;
        self.talk.due = Instant::NEVER;
        let over: Vec<_> = (self.talk.asked.iter())
            .filter(|(_, asked)| asked.deadline <= now)
            .map(|(key, asked)| (*key, asked.token))
            .collect();
        for (key, token) in over {
            self.talk.asked.remove(&key);
            let end = QueryEnd::Deadline;
            self.outputs.push_back(Output::QueryEnded { token, end });
        }
        self.talk.open.retain(|_, open| open.deadline > now);
        (self.talk.outgoing)
            .retain(|_, outgoing| outgoing.deadline > now && outgoing.tries < limits::REPLY_TRIES);
        let mut outgoing = std::mem::take(&mut self.talk.outgoing);
        for reply in outgoing.values_mut().filter(|reply| reply.due <= now) {
            self.stats.replies_repeated += 1;
            self.send_reply(reply);
        }
        self.talk.outgoing = outgoing;
        let asked = self.talk.asked.values().map(|asked| asked.deadline);
        let open = self.talk.open.values().map(|open| open.deadline);
        let sent = self.talk.outgoing.values().map(|reply| reply.due);
        if let Some(due) = asked.chain(open).chain(sent).min() {
            self.await_talk(due);
        }
    }

    fn await_talk(&mut self, at: Instant) {
        if at < self.talk.due {
            self.talk.due = at;
            self.schedule.hasten(at, Timer::Talk);
        }
    }
}
