//! Alerts about the ledger and the disks under it.

use shoal_catalogue as catalogue;

use super::of_masters;
use crate::alert::Alert;
use crate::query::select;

/// All of them.
pub fn alerts() -> Vec<Alert> {
    vec![
        behind(),
        stale(),
        commit_slow(),
        disk_full(),
        unavailable(),
        dropped(),
        busy(),
    ]
}

fn behind() -> Alert {
    let applied = select(&catalogue::LEDGER_APPLIED, &[]);
    let far = format!("(max by (job) ({applied}) - on (job) group_right () {applied}) > 10000");
    Alert::warning("ShoalReplicaBehind", "2m", of_masters(&far))
        .says(
            "{{ $labels.instance }} is more than 10 000 entries behind",
            "Reads at this master wait until it has caught up. It is no use as a leader until then.",
        )
        .steps(
            &[
                "Panel *Time until a batch of the log is durable*: is its disk slower than the others'?",
                "Panel *Snapshots*: is it being sent one?",
            ],
            &["Give it a faster disk, or end what competes for it."],
        )
        .fires(
            &[
                (r#"shoal_ledger_applied_index{job="shoal",instance="a"}"#, "50000x160"),
                (r#"shoal_ledger_applied_index{job="shoal",instance="b"}"#, "100x160"),
                (
                    r#"shoal_node_info{job="shoal",instance="b",name="b",roles="agent,master"}"#,
                    "1x160",
                ),
            ],
            &[("job", "shoal"), ("instance", "b")],
        )
        .quiet(&[
            (r#"shoal_ledger_applied_index{job="shoal",instance="a"}"#, "50000x160"),
            (r#"shoal_ledger_applied_index{job="shoal",instance="b"}"#, "0x160"),
            (
                r#"shoal_node_info{job="shoal",instance="b",name="b",roles="agent"}"#,
                "1x160",
            ),
        ])
}

fn stale() -> Alert {
    let age = select(&catalogue::LEDGER_AGE, &[]);
    Alert::warning(
        "ShoalReplicaStale",
        "30s",
        of_masters(&format!("{age} > 10")),
    )
    .says(
        "{{ $labels.instance }} has heard of no leader for more than 10 s",
        "What it answers with `?stale=ok` is as old as that; everything else it refuses.",
    )
    .steps(
        &["`shoal leader --addr` with another master: is there a leader?"],
        &["Repair the network of this master; it catches up by itself."],
    )
    .fires(
        &[
            (
                r#"shoal_ledger_age_seconds{job="shoal",instance="a"}"#,
                "0+15x160",
            ),
            (
                r#"shoal_node_info{job="shoal",instance="a",name="a",roles="master"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (
            r#"shoal_ledger_age_seconds{job="shoal",instance="a"}"#,
            "0x159 15",
        ),
        (
            r#"shoal_node_info{job="shoal",instance="a",name="a",roles="master"}"#,
            "1x160",
        ),
    ])
}

fn commit_slow() -> Alert {
    let name = catalogue::DISK_SECONDS.name;
    Alert::warning(
        "ShoalDiskSlow",
        "5m",
        format!(
            "histogram_quantile(0.99, sum by (job, instance, le) (rate({name}_bucket[5m]))) > 0.25"
        ),
    )
    .says(
        "the log of {{ $labels.instance }} takes more than 0.25 s to become durable",
        "Every write waits for a majority of the disks. One slow disk is borne, and slows everything \
         as soon as its master leads.",
    )
    .steps(
        &["Panels *Disk* of the dashboard *masters*: since when, and is it one master or all?"],
        &[
            "Give the data folder a disk of its own, without a network in between.",
            "`shoal quorum transfer` moves the lead to a master with a faster disk.",
        ],
    )
    .fires(
        &[
            (
                r#"shoal_disk_persist_duration_seconds_bucket{job="shoal",instance="a",le="0.25"}"#,
                "0+1x160",
            ),
            (
                r#"shoal_disk_persist_duration_seconds_bucket{job="shoal",instance="a",le="0.5"}"#,
                "0+9x160",
            ),
            (
                r#"shoal_disk_persist_duration_seconds_bucket{job="shoal",instance="a",le="+Inf"}"#,
                "0+9x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (
            r#"shoal_disk_persist_duration_seconds_bucket{job="shoal",instance="a",le="0.1"}"#,
            "0+9x160",
        ),
        (
            r#"shoal_disk_persist_duration_seconds_bucket{job="shoal",instance="a",le="+Inf"}"#,
            "0+9x160",
        ),
    ])
}

fn disk_full() -> Alert {
    let full = select(&catalogue::DISK_FULL, &[]);
    Alert::critical("ShoalDiskFull", "0m", format!("{full} == 1"))
        .says(
            "the log of {{ $labels.instance }} waits for room on its disk",
            "This master keeps its promises and takes part in nothing new. With a majority of such \
             masters all writes stop.",
        )
        .steps(
            &["`df` on the file system of its data folder: what fills it?"],
            &["Make room. The master goes on by itself; nothing of it is lost."],
        )
        .fires(
            &[(r#"shoal_disk_full{job="shoal",instance="a"}"#, "1x160")],
            &[("job", "shoal"), ("instance", "a")],
        )
        .quiet(&[(r#"shoal_disk_full{job="shoal",instance="a"}"#, "1x80 0x80")])
}

fn unavailable() -> Alert {
    let requests = select(&catalogue::MASTER_UNAVAILABLE, &[]);
    Alert::warning(
        "ShoalRequestsUnavailable",
        "5m",
        format!("sum by (job) (rate({requests}[5m])) > 0.1"),
    )
    .says(
        "requests find no leader in time",
        "Clients get 503 and ask again. A change of the leader costs none of them, so that this is \
         more than that.",
    )
    .steps(
        &["Alerts *ShoalNoLeader*, *ShoalLeaderUnstable* and *ShoalMasterCutOff*: does one fire?"],
        &["Begin with what they say; if none fires, look at the machines of the masters."],
    )
    .fires(
        &[(
            r#"shoal_requests_unavailable_total{job="shoal",instance="a"}"#,
            "0+9x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_requests_unavailable_total{job="shoal",instance="a"}"#,
        "0x100 5x60",
    )])
}

fn dropped() -> Alert {
    let commands = select(&catalogue::LEDGER_DROPPED, &[]);
    Alert::warning(
        "ShoalCommandsDropped",
        "0m",
        format!("sum by (job) (increase({commands}[5m])) > 0"),
    )
    .says(
        "the leader drops commands, since too many wait",
        "Each is sent again under its id, so that nothing is lost and nothing happens twice; it \
         happens later. The cluster is asked for more than it can commit.",
    )
    .steps(
        &[
            "Panels *Ledger* of the dashboard *masters*: how much is committed?",
            "Panel *HTTP answers by endpoint*: who asks for so much?",
        ],
        &["Slow down who asks, or give the masters faster disks."],
    )
    .fires(
        &[(
            r#"shoal_ledger_dropped_commands_total{job="shoal",instance="a"}"#,
            "0+1x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_ledger_dropped_commands_total{job="shoal",instance="a"}"#,
        "7x160",
    )])
}

fn busy() -> Alert {
    let name = catalogue::MACHINE_BUSY.name;
    Alert::warning(
        "ShoalMasterBusy",
        "10m",
        format!("sum by (job, instance) (rate({name}_sum[5m])) > 0.8"),
    )
    .says(
        "{{ $labels.instance }} is at work for more than 80 % of the time",
        "Its machine has one thread. Answers become slow, then elections begin.",
    )
    .steps(
        &[
            "Panel *HTTP answers by endpoint* of the dashboard *masters*: who asks for so much?",
            "Panel *Processor* of the dashboard *overview*: is the machine short of processors?",
        ],
        &["Slow down who asks; give masters machines of their own."],
    )
    .fires(
        &[(
            r#"shoal_machine_busy_seconds_sum{job="shoal",instance="a",machine="master"}"#,
            "0+14x160",
        )],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[(
        r#"shoal_machine_busy_seconds_sum{job="shoal",instance="a",machine="master"}"#,
        "0+3x160",
    )])
}
