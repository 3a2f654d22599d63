//! Commands that come again: a master that is wrong, or of an older life of the cluster, tells an agent
//! what it was told long ago. Fences are there for exactly this.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use shoal_api::session::MasterMessage;
use shoal_api::{Dice, Epoch, Fence, Incarnation, NodeId};

use super::{Cluster, MASTERS, Packet};
use crate::network::{Host, Side};

/// Commands that are remembered for each agent.
const REMEMBERED: usize = 24;

/// What was said to each agent, oldest first.
#[derive(Debug)]
pub(super) struct Echoes {
    said: BTreeMap<NodeId, VecDeque<MasterMessage>>,
    dice: Dice,
}

/// The fence of a command.
pub(super) fn fence_of(message: &mut MasterMessage) -> Option<&mut Fence> {
    match message {
        MasterMessage::Launch { fence, .. }
        | MasterMessage::Kill { fence, .. }
        | MasterMessage::Forget { fence, .. }
        | MasterMessage::RemoveVolume { fence, .. } => Some(fence),
        MasterMessage::Welcome { .. }
        | MasterMessage::Refused(_)
        | MasterMessage::UpdateDurable { .. }
        | MasterMessage::Ping
        | MasterMessage::Move { .. }
        | MasterMessage::ReadFile(_) => None,
    }
}

impl Echoes {
    pub(super) fn new(dice: Dice) -> Echoes {
        Echoes {
            said: BTreeMap::new(),
            dice,
        }
    }

    pub(super) fn note(&mut self, node: NodeId, message: &MasterMessage) {
        let said = self.said.entry(node).or_default();
        said.push_back(message.clone());
        if said.len() > REMEMBERED {
            said.pop_front();
        }
    }

    /// Something old: as it was, or as an older life of the cluster would say it, whose sessions may
    /// have higher numbers.
    fn draw(&mut self, node: NodeId) -> Option<MasterMessage> {
        let said = self.said.get(&node).filter(|said| !said.is_empty())?;
        let at = self.dice.below(said.len() as u64) as usize;
        let mut message = said[at].clone();
        if self.dice.chance(500)
            && let Some(fence) = fence_of(&mut message)
        {
            fence.incarnation = Incarnation(fence.incarnation.0 - 1);
            fence.epoch = Epoch(fence.epoch.0 + 1_000);
        }
        Some(message)
    }
}

impl Cluster {
    /// An agent with a session is told something old, if that is below what it has obeyed.
    pub(super) fn echo(&mut self, host: Host) {
        if host.0 < MASTERS || !self.hosts.get(host).up {
            return;
        }
        let agent = &self.agents[host.0 - MASTERS];
        let Some(stream) = agent.session() else {
            return;
        };
        let obeyed = agent.obeyed;
        let Some(mut message) = self.echoes.draw(agent.node) else {
            return;
        };
        if fence_of(&mut message).is_some_and(|fence| *fence < obeyed) {
            let bytes = postcard::to_allocvec(&message).expect("messages are encodable");
            self.send_stream(stream, Side::Listener, Packet::ToAgent(Bytes::from(bytes)));
        }
    }
}
