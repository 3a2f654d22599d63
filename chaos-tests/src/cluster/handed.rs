//! The offers that are in the hands of frameworks, by the stream on which they were told.

use std::collections::{BTreeMap, BTreeSet};

use shoal_api::OfferId;
use shoal_api::notice::Notice;
use shoal_master::Conn;

use super::Cluster;
use crate::invariants::Fact;
use crate::network::Host;

/// Streams that go on, each with its master and with what was told there and not answered.
#[derive(Debug, Default)]
pub(super) struct Handed {
    streams: BTreeMap<Conn, (Host, BTreeSet<OfferId>)>,
}

impl Handed {
    /// A master says something on a stream.
    pub(super) fn told(&mut self, host: Host, conn: Conn, notice: &Notice) {
        let (_, held) = self
            .streams
            .entry(conn)
            .or_insert_with(|| (host, BTreeSet::new()));
        match notice {
            Notice::Offers(offers) => held.extend(offers.iter().map(|(offer, _)| offer.id)),
            Notice::Rescind(id) => {
                held.remove(id);
            }
            Notice::Subscribed { .. }
            | Notice::Heartbeat
            | Notice::Operation(_)
            | Notice::Failure { .. }
            | Notice::Update(_)
            | Notice::Error(_) => {}
        }
    }

    /// A framework answers offers.
    pub(super) fn answered(&mut self, offers: &[OfferId]) {
        for (_, held) in self.streams.values_mut() {
            for id in offers {
                held.remove(id);
            }
        }
    }

    /// A stream is over.
    pub(super) fn closed(&mut self, conn: Conn) {
        self.streams.remove(&conn);
    }

    /// A master is gone, and its streams with it.
    pub(super) fn died(&mut self, host: Host) {
        self.streams.retain(|_, (holder, _)| *holder != host);
    }
}

impl Cluster {
    /// What a master has said was all: no stream of its may hold an offer that its ledger lacks.
    pub(super) fn check_handed(&mut self, host: Host) {
        let Some(machine) = &self.masters[host.0].machine else {
            return;
        };
        let offers = &machine.state().offers;
        let gone = self
            .handed
            .streams
            .iter()
            .find_map(|(conn, (holder, held))| {
                let mut gone = held.iter().filter(|id| offers.offer(**id).is_none());
                (*holder == host).then(|| gone.next().map(|id| (*conn, *id)))?
            });
        if let Some((conn, id)) = gone {
            let index = machine.applied();
            self.tell(&Fact::Unrescinded(format!(
                "master {} is at {index}, where offer {id} is gone, and stream {} does not know",
                host.0, conn.0
            )));
        }
    }
}
