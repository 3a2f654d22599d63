//! Once all is well: one agent dies and must be missed in time; then every framework is torn down and
//! must be served again under its new id.

use std::time::Duration;

use shoal_api::Instant;
use shoal_api::member::MemberStatus;
use shoal_offers::Presence;

use super::{AGENTS, ASK, Cluster, MASTERS, NODES};
use crate::disk::Loss;
use crate::invariants::Fact;
use crate::network::{Death, Host};

/// In which a dead agent must be failed for all members and unreachable in the ledger: gossip takes
/// 10 s at most, the lease then 6 s.
const MISSED: Duration = Duration::from_secs(40);
/// In which all frameworks must have had another task each.
const SERVED: Duration = Duration::from_secs(150);

impl Cluster {
    pub(super) fn encore(&mut self) {
        let lost = Host(MASTERS + self.crash_dice.below(AGENTS as u64) as usize);
        self.crash(lost, Death::Machine, Loss::UnderWay);
        let end = self.queue.now() + MISSED;
        self.run_until(end);
        if let Some(what) = self.unnoticed(lost) {
            self.tell(&Fact::Unnoticed(what));
        }
        self.start(lost);
        for framework in &mut self.frameworks {
            framework.play_again(self.queue.now());
        }
        let end = self.queue.now() + SERVED;
        if let Some(what) = self.settle(end) {
            self.tell(&Fact::Unsettled(format!("in the encore: {what}")));
        }
    }

    /// Runs until all is well, or until then; says what is not.
    pub(super) fn settle(&mut self, end: Instant) -> Option<String> {
        while self.watch.violation().is_none() && self.queue.now() < end {
            let next = self.queue.now() + ASK;
            self.run_until(next);
            self.unsettled()?;
        }
        self.unsettled()
    }

    /// Who does not know that a node is dead.
    fn unnoticed(&self, lost: Host) -> Option<String> {
        let (_, node) = self.identity(lost);
        for host in (0..NODES).map(Host).filter(|host| *host != lost) {
            let status = self.status_at(host, node);
            if status != Some(MemberStatus::Failed) {
                let (host, lost) = (host.0, lost.0);
                return Some(format!("host {host} takes dead host {lost} for {status:?}"));
            }
        }
        let mut rows = self.newest.1.offers.agents();
        let row = rows.find(|(_, row)| row.info.node == node);
        let presence = row.map(|(_, row)| row.presence);
        match presence {
            Some(Presence::Unreachable { .. }) => None,
            Some(Presence::Connected { .. } | Presence::Disconnected { .. }) | None => {
                Some(format!("the agent on dead host {} is {presence:?}", lost.0))
            }
        }
    }
}
