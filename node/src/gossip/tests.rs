//! A few real sockets on loopback.

use std::time::Duration;

use shoal_api::member::MemberStatus;
use shoal_api::{Generation, HostPort, Name, NodeId};
use shoal_membership::{Config, DropReason, Label, NodeTags, Profile};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(15);

fn start_node(number: u8, generation: u64) -> (Running, HostPort) {
    let socket = bind("127.0.0.1:0".parse().expect("an address")).expect("loopback binds");
    let address = socket.address();
    let mut config = Config::new(
        NodeId(u128::from(number)),
        Generation(generation),
        Name::new(&format!("node-{number}")).expect("a name"),
        Label::new("driver").expect("a label"),
        address,
        u64::from(number),
    );
    config.profile = Profile::Local;
    let seed = HostPort::new("localhost", address.port());
    (start(socket, config).expect("a good configuration"), seed)
}

async fn until(gossip: &Gossip, what: &str, holds: impl Fn(&[Member]) -> bool) {
    let mut members = gossip.watch_members();
    let seen = timeout(PATIENCE, members.wait_for(|members| holds(members))).await;
    assert!(matches!(seen, Ok(Ok(_))), "{what}: {:?}", gossip.members());
}

fn count(members: &[Member], status: MemberStatus) -> usize {
    let counted = members.iter().filter(|member| member.status == status);
    counted.count()
}

#[tokio::test]
async fn nodes_meet_tell_leave_and_die_over_real_sockets() {
    let (one, seed) = start_node(1, 1);
    let (two, _) = start_node(2, 1);
    let (three, _) = start_node(3, 1);
    let seeds = vec![seed];
    two.gossip.join(seeds.clone()).await.expect("running");
    three.gossip.join(seeds.clone()).await.expect("running");
    for running in [&one, &two, &three] {
        until(&running.gossip, "all alive", |members| {
            count(members, MemberStatus::Alive) == 3 && members.iter().all(|m| m.name.is_some())
        })
        .await;
    }
    let tags = NodeTags::new([("a".into(), "b".into())].into()).expect("short");
    three.gossip.set_tags(tags).await.expect("running");
    until(&two.gossip, "tags", |members| {
        members.iter().any(|m| m.tags.contains_key("a"))
    })
    .await;
    two.gossip.leave().await;
    assert_eq!(two.task.await.expect("no panic"), End::Left);
    assert_eq!(two.gossip.stats().await, Err(Ended));
    three.task.abort();
    until(&one.gossip, "one left, one failed", |members| {
        count(members, MemberStatus::Left) == 1 && count(members, MemberStatus::Failed) == 1
    })
    .await;
    let (three, _) = start_node(3, 2);
    three.gossip.join(seeds).await.expect("running");
    until(&one.gossip, "back with a newer life", |members| {
        let back = |m: &Member| m.status == MemberStatus::Alive && m.generation == Generation(2);
        members.iter().any(back)
    })
    .await;
}

#[tokio::test]
async fn garbage_is_dropped_and_counted() {
    let (mut one, seed) = start_node(1, 1);
    let to = (&*seed.host, seed.port);
    let sender = tokio::net::UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("binds");
    for length in [1, 14, 1_400, 9_000] {
        sender.send_to(&vec![7; length], to).await.expect("sends");
    }
    let counted = async {
        loop {
            let stats = one.gossip.stats().await.expect("running");
            if stats.dropped_total() == 4 {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    };
    let stats = timeout(PATIENCE, counted).await.expect("all were counted");
    assert_eq!(stats.dropped(DropReason::Short), 1);
    assert_eq!(stats.dropped(DropReason::Version), 2);
    assert_eq!(stats.dropped(DropReason::Long), 1);
    assert!(one.changes.try_recv().is_err());
}

#[tokio::test]
async fn without_handles_it_ends() {
    let (one, _) = start_node(1, 1);
    drop(one.gossip);
    let end = timeout(PATIENCE, one.task).await.expect("it ends");
    assert_eq!(end.expect("no panic"), End::Abandoned);
}
