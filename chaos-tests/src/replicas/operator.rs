//! The operator of this world: brings replicas with new disks back in, in place of their old selves.

use shoal_api::RaftId;
use shoal_quorum::{Input, MembershipChange, Quorum};

use super::{REPLICAS, Replicas};
use crate::network::Host;
use crate::plant::Plant;

impl Replicas {
    /// A disk may be lost only while every other one counts: else it is the cluster that is lost.
    pub(super) fn may_wipe(&self) -> bool {
        self.lost.is_empty()
    }

    /// Looks at the leader and asks it for the next change that is missing.
    pub(super) fn operate(&mut self) {
        let leader = (0..REPLICAS).find(|&at| {
            self.hosts.get(Host(at)).up
                && self.nodes[at]
                    .machine
                    .as_ref()
                    .is_some_and(Quorum::is_leader)
        });
        let Some(leader) = leader else { return };
        let machine = self.nodes[leader]
            .machine
            .as_ref()
            .expect("a leader has a machine");
        let membership = machine.status().membership.clone();
        if membership.is_joint() {
            return;
        }
        self.lost.retain(|id| membership.contains(*id));
        let Some(&old) = self.lost.first() else {
            return;
        };
        if self.plant == Some(Plant::WipedKeepsId) {
            self.lost.clear();
            return;
        }
        let new = RaftId(old.0 + 100);
        let change = if membership.learners.contains(&new) {
            MembershipChange::Replace { old, new }
        } else {
            MembershipChange::AddLearner { id: new }
        };
        self.step(Host(leader), Input::Change(change));
    }
}
