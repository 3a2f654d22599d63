//! Which masters an agent may dial, from the gossip: its home first, then the others.
//!
//! Gossip is a hint: who is no master refuses the session.

use std::sync::Arc;

use shoal_api::member::{Member, MemberStatus};
use shoal_api::{HostPort, NodeId};
use shoal_master::ring::Ring;
use tokio::sync::watch;

use crate::tags;

/// Keeps a list of peer addresses up to date, on the current runtime.
pub fn watch(
    mut members: watch::Receiver<Arc<[Member]>>,
    agent: NodeId,
) -> watch::Receiver<Vec<HostPort>> {
    let first = candidates(&members.borrow_and_update(), agent);
    let (show, shown) = watch::channel(first);
    tokio::spawn(async move {
        while members.changed().await.is_ok() {
            let list = candidates(&members.borrow_and_update(), agent);
            show.send_if_modified(|old| {
                let changed = *old != list;
                *old = list;
                changed
            });
        }
    });
    shown
}

fn candidates(members: &[Member], agent: NodeId) -> Vec<HostPort> {
    let masters: Vec<(&Member, HostPort)> = members
        .iter()
        .filter(|member| tags::roles(member).master && tags::cluster(member).is_some())
        .filter(|member| match member.status {
            MemberStatus::Alive | MemberStatus::Suspect => true,
            MemberStatus::Leaving | MemberStatus::Left | MemberStatus::Failed => false,
        })
        .filter_map(|member| Some((member, tags::peer(member)?)))
        .collect();
    let home = Ring::new(masters.iter().map(|(member, _)| member.id)).home(agent);
    let (mut first, others): (Vec<_>, Vec<_>) = masters
        .into_iter()
        .partition(|(member, _)| Some(member.id) == home);
    first.extend(others);
    first.into_iter().map(|(_, peer)| peer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shoal_api::{ClusterId, Generation};

    fn master(number: u8, status: MemberStatus, cluster: Option<ClusterId>) -> Member {
        let pairs = [
            ("roles", "master".to_owned()),
            ("peer", format!("10.0.0.{number}:7947")),
            (
                "cluster",
                cluster.map(|id| id.to_string()).unwrap_or_default(),
            ),
        ];
        Member {
            id: NodeId(u128::from(number)),
            generation: Generation(1),
            name: None,
            gossip: format!("10.0.0.{number}:7946").parse().unwrap(),
            status,
            tags: pairs
                .map(|(key, value)| (Arc::from(key), Arc::from(value)))
                .into(),
        }
    }

    #[test]
    fn only_living_masters_of_a_cluster_count() {
        let cluster = Some(ClusterId(1));
        let members = [
            master(1, MemberStatus::Alive, cluster),
            master(2, MemberStatus::Failed, cluster),
            master(3, MemberStatus::Alive, None),
            master(4, MemberStatus::Suspect, cluster),
        ];
        let list = candidates(&members, NodeId(99));
        assert_eq!(list.len(), 2);
        assert!(list.contains(&HostPort::new("10.0.0.1", 7947)));
        let homes: std::collections::BTreeSet<String> = (0..50)
            .map(|agent| candidates(&members, NodeId(agent))[0].to_string())
            .collect();
        assert_eq!(homes.len(), 2);
    }
}
