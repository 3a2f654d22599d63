//! Where the other masters are: the gossip's word first, then the ledger's, and links to them.

use std::collections::BTreeMap;

use bytes::Bytes;
use metrics::Counter;
use shoal_api::RaftId;
use shoal_api::agent::HostPort;
use shoal_api::member::{Member, MemberEvent, MemberStatus};
use shoal_master::{MasterInfo, PeerMessage};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::limits;
use crate::metrics::{catalogue, counter};
use crate::peer::{Identity, Link, LinkEvent, Purpose};
use crate::tags;

/// All masters but this one.
pub struct Addresses {
    me: Identity,
    runtime: Handle,
    events: mpsc::Sender<LinkEvent>,
    gossip: BTreeMap<RaftId, HostPort>,
    ledger: BTreeMap<RaftId, HostPort>,
    links: BTreeMap<(RaftId, Purpose), Link>,
    guests: BTreeMap<RaftId, mpsc::Sender<Bytes>>,
    unknown: Counter,
}

impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Addresses")
            .field("gossip", &self.gossip)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl Addresses {
    /// Nobody is known yet. Links run on the given runtime and tell when they break.
    pub fn new(me: Identity, runtime: Handle, events: mpsc::Sender<LinkEvent>) -> Addresses {
        Addresses {
            me,
            runtime,
            events,
            gossip: BTreeMap::new(),
            ledger: BTreeMap::new(),
            links: BTreeMap::new(),
            guests: BTreeMap::new(),
            unknown: counter(&catalogue::PEER_DROPPED, &["unknown"]),
        }
    }

    /// A change in the gossip.
    pub fn event(&mut self, event: &MemberEvent) {
        match event {
            MemberEvent::Joined(member)
            | MemberEvent::StatusChanged(member)
            | MemberEvent::Updated(member) => self.member(member),
            MemberEvent::Reaped(_) => {}
        }
    }

    fn member(&mut self, member: &Member) {
        let Some(raft) = tags::raft_id(member).filter(|raft| Some(*raft) != self.me.raft) else {
            return;
        };
        let Some(peer) = tags::peer(member) else {
            return;
        };
        match member.status {
            MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving => {
                // A wiped master comes back to the same address as another.
                self.gossip
                    .retain(|other, at| *other == raft || *at != peer);
                self.gossip.insert(raft, peer);
                for purpose in Purpose::ALL {
                    if let Some(link) = self.links.get(&(raft, purpose)) {
                        link.hurry();
                    }
                }
            }
            MemberStatus::Left | MemberStatus::Failed => {}
        }
        self.drop_moved();
    }

    /// The ledger's word: all masters.
    pub fn book(&mut self, masters: &[MasterInfo]) {
        self.ledger = masters
            .iter()
            .filter(|info| Some(info.raft) != self.me.raft)
            .map(|info| (info.raft, info.peer.clone()))
            .collect();
        self.drop_moved();
    }

    /// Somebody who can be answered only on the connection that it opened.
    pub fn guest(&mut self, from: RaftId, out: mpsc::Sender<Bytes>) {
        self.guests.retain(|_, out| !out.is_closed());
        if self.guests.len() < limits::GUESTS {
            self.guests.insert(from, out);
        }
    }

    /// Sends, or drops and counts.
    pub fn send(&mut self, to: RaftId, message: &PeerMessage) {
        let (purpose, payload) = match message {
            PeerMessage::Raft(message) => (Purpose::Raft, message.to_bytes()),
            PeerMessage::Ledger(message) => {
                let bytes = postcard::to_allocvec(message).expect("a message can be encoded");
                (Purpose::Forward, Bytes::from(bytes))
            }
        };
        if let Some(link) = self.links.get(&(to, purpose)) {
            link.send(payload);
            return;
        }
        match self.at(to).cloned() {
            Some(at) => {
                let link = self.start(to, at, purpose);
                link.send(payload);
            }
            None => match self.guests.get(&to) {
                Some(guest) if guest.try_send(payload).is_ok() => {}
                Some(_) | None => self.unknown.increment(1),
            },
        }
    }

    fn at(&self, raft: RaftId) -> Option<&HostPort> {
        self.gossip.get(&raft).or_else(|| self.ledger.get(&raft))
    }

    fn start(&mut self, to: RaftId, at: HostPort, purpose: Purpose) -> &Link {
        let _on = self.runtime.enter();
        let link = Link::start(self.me.clone(), to, at, purpose, self.events.clone());
        self.links
            .entry((to, purpose))
            .insert_entry(link)
            .into_mut()
    }

    /// A link to an address that is no longer the master's ends; the next message starts another.
    fn drop_moved(&mut self) {
        let (gossip, ledger) = (&self.gossip, &self.ledger);
        self.links.retain(|(raft, _), link| {
            gossip.get(raft).or_else(|| ledger.get(raft)) == Some(link.to())
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;
    use std::sync::{Arc, OnceLock};

    use shoal_api::{Generation, Name, NodeId};

    use super::*;
    use crate::roles::NodeRoles;

    fn addresses() -> Addresses {
        let me = Identity {
            node: NodeId(1),
            generation: Generation(1),
            raft: Some(RaftId(1)),
            roles: NodeRoles::from_bits(1),
            name: Name::new("me").unwrap(),
            cluster: Arc::new(OnceLock::new()),
        };
        Addresses::new(me, Handle::current(), mpsc::channel(1).0)
    }

    fn seen(raft: u64, port: u16) -> MemberEvent {
        let pairs = [
            ("raft_id", raft.to_string()),
            ("peer", format!("127.0.0.1:{port}")),
        ];
        MemberEvent::Joined(Member {
            id: NodeId(u128::from(raft)),
            generation: Generation(1),
            name: None,
            gossip: "127.0.0.1:1".parse().unwrap(),
            status: MemberStatus::Alive,
            tags: Map::from(pairs.map(|(key, value)| (Arc::from(key), Arc::from(value)))),
        })
    }

    fn hash() -> PeerMessage {
        PeerMessage::Ledger(shoal_master::LedgerMessage::Hash {
            index: shoal_api::Index(1),
            hash: shoal_ledger::StateHash::default(),
        })
    }

    #[tokio::test]
    async fn a_master_is_where_the_gossip_saw_it_last() {
        let mut addresses = addresses();
        addresses.event(&seen(1, 9));
        assert_eq!(
            addresses.at(RaftId(1)),
            None,
            "this node needs no link to itself"
        );
        addresses.event(&seen(2, 9));
        addresses.send(RaftId(2), &hash());
        assert_eq!(addresses.links.len(), 1);
        addresses.event(&seen(2, 10));
        assert!(
            addresses.links.is_empty(),
            "the old address is not used any more"
        );
        assert_eq!(
            addresses.at(RaftId(2)),
            Some(&HostPort::new("127.0.0.1", 10))
        );
        addresses.event(&seen(3, 10));
        assert_eq!(addresses.at(RaftId(2)), None, "a wiped master has a new id");
    }

    #[tokio::test]
    async fn a_guest_is_answered_on_its_own_connection() {
        let mut addresses = addresses();
        let (out, mut answers) = mpsc::channel(4);
        addresses.guest(RaftId(7), out);
        addresses.send(RaftId(7), &hash());
        assert!(answers.try_recv().is_ok());
        addresses.send(RaftId(8), &hash());
        assert!(answers.try_recv().is_err(), "nobody else's messages");
    }
}
