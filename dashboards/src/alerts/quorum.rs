//! Alerts about the masters as a quorum.

use shoal_catalogue as catalogue;

use super::of_masters;
use crate::alert::Alert;
use crate::query::select;

/// All of them.
pub fn alerts() -> Vec<Alert> {
    vec![
        no_leader(),
        several_leaders(),
        unstable(),
        at_risk(),
        voter_absent(),
        cut_off(),
    ]
}

/// What the leader says of the voters with this status.
fn voters(status: &str) -> String {
    let leading = select(&catalogue::RAFT_LEADING, &[]);
    let voters = match status {
        "" => select(&catalogue::RAFT_VOTERS, &[]),
        status => select(&catalogue::RAFT_VOTERS, &[("status", status)]),
    };
    format!("sum by (job) ({voters} and on (job, instance) ({leading} == 1))")
}

fn no_leader() -> Alert {
    let leading = select(&catalogue::RAFT_LEADING, &[]);
    Alert::critical(
        "ShoalNoLeader",
        "15s",
        format!("max by (job) ({leading}) == 0"),
    )
    .says(
        "no master leads",
        "Nothing can be launched, killed or changed. Running tasks go on, and all resumes by itself \
         once a majority of the masters sees each other.",
    )
    .steps(
        &[
            "`shoal members` on any node: which masters are alive, which are failed?",
            "The logs of the masters that are alive: do they reach each other's peer addresses?",
            "Panel *Waits for room* of the dashboard *masters*: a master without room does not vote.",
        ],
        &[
            "Start dead masters again, with their old data folders.",
            "Repair the network between the masters: their peer ports must be open to each other.",
            "If most masters are lost for good, and only then: `shoal quorum recover` on the one whose \
             log reaches furthest; its `--help` says what that costs.",
        ],
    )
    .fires(
        &[
            (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "0x160"),
            (r#"shoal_raft_leading{job="shoal",instance="b"}"#, "0x160"),
        ],
        &[("job", "shoal")],
    )
    .quiet(&[
        (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "1x160"),
        (r#"shoal_raft_leading{job="shoal",instance="b"}"#, "0x160"),
    ])
}

fn several_leaders() -> Alert {
    let leading = select(&catalogue::RAFT_LEADING, &[]);
    Alert::critical(
        "ShoalSeveralLeaders",
        "1m",
        format!("sum by (job) ({leading}) > 1"),
    )
    .says(
        "more than one master says that it leads",
        "Only one of them can commit anything, so nothing is decided twice. But a master that is cut \
         off gives up within seconds, so that one which does not hangs, or two clusters are scraped \
         under one job.",
    )
    .steps(
        &[
            "Panel *Term* of the dashboard *masters*: the one with the highest term is the leader.",
            "`shoal quorum list`: are all of them voters of one quorum?",
        ],
        &[
            "Scrape each cluster under a job of its own.",
            "End a master that hangs; its agents and frameworks move to others.",
        ],
    )
    .fires(
        &[
            (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "1x160"),
            (r#"shoal_raft_leading{job="shoal",instance="b"}"#, "1x160"),
        ],
        &[("job", "shoal")],
    )
    .quiet(&[
        (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "1x160"),
        (r#"shoal_raft_leading{job="other",instance="b"}"#, "1x160"),
    ])
}

fn unstable() -> Alert {
    let term = select(&catalogue::RAFT_TERM, &[]);
    Alert::warning(
        "ShoalLeaderUnstable",
        "0m",
        format!("max by (job) (changes({term}[15m])) > 4"),
    )
    .says(
        "the leader changed more than four times in 15 minutes",
        "Each change stops writes for a moment. Many of them mean that masters do not hear each other \
         in time.",
    )
    .steps(
        &[
            "Panel *Elections stood in* of the dashboard *masters*: is it always the same master?",
            "Panels *Machine* and *Time until a batch of the log is durable*: is one of them slow?",
        ],
        &[
            "Give masters processors and a disk that nobody else starves.",
            "`shoal quorum transfer` moves the lead away from a master that is slow.",
        ],
    )
    .fires(
        &[(r#"shoal_raft_term{job="shoal",instance="a"}"#, "1+1x160")],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_raft_term{job="shoal",instance="a"}"#,
        "1x60 2x40 3x60",
    )])
}

fn at_risk() -> Alert {
    let (alive, all) = (voters("alive"), voters(""));
    Alert::critical(
        "ShoalQuorumAtRisk",
        "2m",
        format!("({alive} <= floor({all} / 2) + 1) and ({alive} < {all})"),
    )
    .says(
        "the loss of one more master stops all writes",
        "As few masters are alive as the quorum needs. Everything works.",
    )
    .steps(
        &["`shoal quorum list`: which voter is not alive?"],
        &[
            "Start the absent master again, with its old data folder.",
            "If its disk is lost, start it with an empty folder: it takes the place of its old self.",
        ],
    )
    .fires(
        &[
            (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "1x160"),
            (
                r#"shoal_raft_voters{job="shoal",instance="a",status="alive"}"#,
                "2x160",
            ),
            (
                r#"shoal_raft_voters{job="shoal",instance="a",status="absent"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal")],
    )
    .quiet(&[
        (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "1x160"),
        (
            r#"shoal_raft_voters{job="shoal",instance="a",status="alive"}"#,
            "4x160",
        ),
        (
            r#"shoal_raft_voters{job="shoal",instance="a",status="absent"}"#,
            "1x160",
        ),
    ])
}

fn voter_absent() -> Alert {
    let absent = voters("absent");
    Alert::warning("ShoalVoterAbsent", "10m", format!("{absent} > 0"))
        .says(
            "a voting master has been absent for 10 minutes",
            "The cluster works, and bears fewer further losses than it is built for.",
        )
        .steps(
            &["`shoal quorum list`: which voter is not alive?"],
            &[
                "Start the absent master again.",
                "If it will not come back, `shoal quorum remove NAME`, then start another one.",
            ],
        )
        .fires(
            &[
                (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "1x160"),
                (
                    r#"shoal_raft_voters{job="shoal",instance="a",status="absent"}"#,
                    "1x160",
                ),
            ],
            &[("job", "shoal")],
        )
        .quiet(&[
            (r#"shoal_raft_leading{job="shoal",instance="a"}"#, "1x160"),
            (
                r#"shoal_raft_voters{job="shoal",instance="a",status="absent"}"#,
                "0x150 1x10",
            ),
        ])
}

fn cut_off() -> Alert {
    let known = select(&catalogue::RAFT_LEADER_KNOWN, &[]);
    Alert::warning(
        "ShoalMasterCutOff",
        "1m",
        of_masters(&format!("{known} == 0")),
    )
    .says(
        "{{ $labels.instance }} knows no leader",
        "This master answers neither reads nor writes. Frameworks at it are disconnected after 30 s \
         and go to another one.",
    )
    .steps(
        &[
            "Alert *ShoalNoLeader*: if it fires too, begin there.",
            "The master's log: which peer addresses does it fail to reach?",
        ],
        &["Repair its network; it catches up by itself."],
    )
    .fires(
        &[
            (
                r#"shoal_raft_leader_known{job="shoal",instance="a"}"#,
                "0x160",
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
            r#"shoal_raft_leader_known{job="shoal",instance="a"}"#,
            "0x160",
        ),
        (
            r#"shoal_node_info{job="shoal",instance="a",name="a",roles="agent"}"#,
            "1x160",
        ),
    ])
}
