//! Alerts about who sees whom, and about what strangers send.

use shoal_catalogue as catalogue;

use crate::alert::Alert;
use crate::query::select;

/// All of them.
pub fn alerts() -> Vec<Alert> {
    vec![
        split(),
        suspicions(),
        renewed(),
        stalled(),
        name_conflict(),
        foreign(),
        refused(),
        queue_full(),
    ]
}

fn split() -> Alert {
    let alive = select(&catalogue::MEMBERS, &[("status", "alive")]);
    Alert::warning(
        "ShoalGossipSplit",
        "5m",
        format!("max by (job) ({alive}) - min by (job) ({alive}) > 0"),
    )
    .says(
        "nodes do not agree on who is alive",
        "Within seconds they should. Some nodes cannot exchange datagrams with some others.",
    )
    .steps(
        &[
            "Panel *Alive, as each node sees it* of the dashboard *gossip*: which nodes see fewer?",
            "`shoal members --addr` with one of these.",
        ],
        &["Open the gossip port, UDP and TCP, between all nodes."],
    )
    .fires(
        &[
            (
                r#"shoal_members{job="shoal",instance="a",status="alive"}"#,
                "3x160",
            ),
            (
                r#"shoal_members{job="shoal",instance="b",status="alive"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal")],
    )
    .quiet(&[
        (
            r#"shoal_members{job="shoal",instance="a",status="alive"}"#,
            "3x160",
        ),
        (
            r#"shoal_members{job="shoal",instance="b",status="alive"}"#,
            "1x150 3x10",
        ),
    ])
}

fn suspicions() -> Alert {
    let refuted = select(&catalogue::GOSSIP_REFUTED, &[]);
    Alert::warning(
        "ShoalFalseSuspicions",
        "5m",
        format!("sum by (job) (rate({refuted}[5m])) > 0.2"),
    )
    .says(
        "living nodes are suspected often",
        "Datagrams are lost, or nodes answer too late. Nothing is given up because of a suspicion \
         that is refuted.",
    )
    .steps(
        &[
            "Panels *Suspicions refuted* and *Woken much too late* of the dashboard *gossip*.",
            "Panel *Processor* of the dashboard *overview*: is a machine overloaded?",
        ],
        &["Give overloaded machines less to do; look for loss in the network."],
    )
    .fires(
        &[(
            r#"shoal_gossip_suspicions_refuted_total{job="shoal",instance="a"}"#,
            "0+6x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_gossip_suspicions_refuted_total{job="shoal",instance="a"}"#,
        "0x100 2x60",
    )])
}

fn renewed() -> Alert {
    let renewals = select(&catalogue::GOSSIP_RENEWALS, &[]);
    Alert::warning(
        "ShoalHeldForFailed",
        "0m",
        format!("increase({renewals}[15m]) > 1.5"),
    )
    .says(
        "the others held {{ $labels.instance }} for failed although it lived",
        "It was paused, or cut off, for longer than a suspicion lasts, more than once.",
    )
    .steps(
        &["Panels *Woken much too late* and *Alive, as each node sees it* of the dashboard *gossip*."],
        &["Look for pauses of that machine (virtual machines that move, swap) and for loss."],
    )
    .fires(
        &[(
            r#"shoal_gossip_renewals_total{job="shoal",instance="a"}"#,
            "0+1x160",
        )],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[(
        r#"shoal_gossip_renewals_total{job="shoal",instance="a"}"#,
        "0x140 1x20",
    )])
}

fn stalled() -> Alert {
    let stalls = select(&catalogue::GOSSIP_STALLS, &[]);
    Alert::warning(
        "ShoalNodeStalls",
        "0m",
        format!("increase({stalls}[15m]) > 5"),
    )
    .says(
        "{{ $labels.instance }} is woken much too late again and again",
        "The node gets no processor when it needs one, so that it may be held for failed.",
    )
    .steps(
        &["The load of that machine, and what the host of a virtual machine takes from it."],
        &["Give the node more weight than its tasks, or the machine fewer of them."],
    )
    .fires(
        &[(
            r#"shoal_gossip_stalls_total{job="shoal",instance="a"}"#,
            "0+1x160",
        )],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[(
        r#"shoal_gossip_stalls_total{job="shoal",instance="a"}"#,
        "0x140 2x20",
    )])
}

fn name_conflict() -> Alert {
    let conflicts = select(&catalogue::GOSSIP_CONFLICTS, &[]);
    Alert::warning(
        "ShoalNameConflict",
        "0m",
        format!("increase({conflicts}[5m]) > 0"),
    )
    .says(
        "another living node has the name of {{ $labels.instance }}",
        "The one that came later gives up after 30 s.",
    )
    .steps(
        &["`shoal members`: which addresses have that name?"],
        &["Start each node with a `--name` of its own."],
    )
    .fires(
        &[(
            r#"shoal_gossip_name_conflicts_total{job="shoal",instance="a"}"#,
            "0+1x160",
        )],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[(
        r#"shoal_gossip_name_conflicts_total{job="shoal",instance="a"}"#,
        "1x160",
    )])
}

fn foreign() -> Alert {
    let causes = "~label|key|checksum|version|plain|forged|replayed";
    let dropped = select(&catalogue::GOSSIP_DROPPED, &[("cause", causes)]);
    Alert::warning(
        "ShoalForeignGossip",
        "5m",
        format!("sum by (job, instance) (rate({dropped}[5m])) > 1"),
    )
    .says(
        "{{ $labels.instance }} gets gossip that is not of this cluster",
        "It is dropped. Somebody sends to the wrong address, or what is sent arrives damaged.",
    )
    .steps(
        &["Panel *Dropped by cause* of the dashboard *gossip*: label, key, version, plain or another?"],
        &[
            "label: a node of another `--cluster` names this one in its `--join`.",
            "version: a node is much older or newer than the others.",
            "key, plain: a node has another key, or none.",
            "forged, replayed: somebody tries to disturb the gossip; find the sender by a packet capture.",
        ],
    )
    .fires(
        &[(
            r#"shoal_gossip_datagrams_dropped_total{job="shoal",instance="a",cause="label"}"#,
            "0+30x160",
        )],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[(
        r#"shoal_gossip_datagrams_dropped_total{job="shoal",instance="a",cause="own"}"#,
        "0+30x160",
    )])
}

fn refused() -> Alert {
    let refused = select(&catalogue::PEER_REFUSED, &[]);
    Alert::warning(
        "ShoalPeersRefused",
        "5m",
        format!("sum by (job, instance, cause) (rate({refused}[5m])) > 0.1"),
    )
    .says(
        "{{ $labels.instance }} refuses connections at its peer port",
        "The cause stands in the label. Nothing of such a connection takes effect.",
    )
    .steps(
        &["The log of that master says which address dials it."],
        &[
            "other_cluster: a node comes with the data of another cluster.",
            "malformed or timeout: something that is no node dials this port.",
        ],
    )
    .fires(
        &[(
            r#"shoal_peer_handshakes_refused_total{job="shoal",instance="a",cause="malformed"}"#,
            "0+3x160",
        )],
        &[("job", "shoal"), ("instance", "a"), ("cause", "malformed")],
    )
    .quiet(&[(
        r#"shoal_peer_handshakes_refused_total{job="shoal",instance="a",cause="malformed"}"#,
        "0x100 2x60",
    )])
}

fn queue_full() -> Alert {
    let dropped = select(&catalogue::PEER_DROPPED, &[("cause", "queue_full")]);
    Alert::warning(
        "ShoalPeerQueueFull",
        "5m",
        format!("sum by (job, instance) (rate({dropped}[5m])) > 1"),
    )
    .says(
        "{{ $labels.instance }} has more for a peer than that takes",
        "What is dropped is sent again later. The peer is slow, or the way to it is.",
    )
    .steps(
        &["Panel *Bytes by purpose* of the dashboard *masters*; the load of the other masters."],
        &["Find the slow master and relieve it; look at the network between them."],
    )
    .fires(
        &[(
            r#"shoal_peer_frames_dropped_total{job="shoal",instance="a",cause="queue_full"}"#,
            "0+30x160",
        )],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[(
        r#"shoal_peer_frames_dropped_total{job="shoal",instance="a",cause="disconnected"}"#,
        "0+30x160",
    )])
}
