//! The gossip's changes, put before the machine.

use std::collections::BTreeSet;

use shoal_api::NodeId;
use shoal_api::member::{Member, MemberEvent};
use tokio::sync::mpsc;

use super::mailbox::{Mail, Mailbox};
use crate::gossip::{Change, Gossip};

/// Feeds until the gossip or the machine ends: first the list as it is, then what changes. A change
/// that was missed is made up for from the list.
pub async fn run(gossip: Gossip, mut changes: mpsc::Receiver<Change>, mailbox: Mailbox) {
    let mut known = BTreeSet::new();
    if !catch_up(&gossip, &mailbox, &mut known).await {
        return;
    }
    while let Some(change) = changes.recv().await {
        let alive = match change {
            Change::Member(event) => {
                let _known_before = match &event {
                    MemberEvent::Joined(member)
                    | MemberEvent::StatusChanged(member)
                    | MemberEvent::Updated(member) => known.insert(member.id),
                    MemberEvent::Reaped(node) => known.remove(node),
                };
                mailbox.send(Mail::Member(event)).await
            }
            Change::Missed => catch_up(&gossip, &mailbox, &mut known).await,
        };
        if !alive {
            return;
        }
    }
}

async fn catch_up(gossip: &Gossip, mailbox: &Mailbox, known: &mut BTreeSet<NodeId>) -> bool {
    let members = gossip.members();
    let gone: Vec<NodeId> = known
        .iter()
        .filter(|node| !members.iter().any(|member| member.id == **node))
        .copied()
        .collect();
    for node in gone {
        known.remove(&node);
        if !mailbox.send(Mail::Member(MemberEvent::Reaped(node))).await {
            return false;
        }
    }
    for member in members.iter() {
        known.insert(member.id);
        if !mailbox.send(Mail::Member(joined(member))).await {
            return false;
        }
    }
    true
}

fn joined(member: &Member) -> MemberEvent {
    MemberEvent::Joined(member.clone())
}
