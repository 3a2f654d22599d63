//! Alerts about single nodes: their processes, machines and APIs.

use shoal_catalogue as catalogue;

use crate::alert::Alert;
use crate::query::select;

/// All of them.
pub fn alerts() -> Vec<Alert> {
    vec![
        down(),
        restarting(),
        data_filling(),
        data_almost_full(),
        files_low(),
        http_errors(),
        http_slow(),
        streams_slow(),
        versions_differ(),
    ]
}

fn down() -> Alert {
    Alert::warning(
        "ShoalNodeDown",
        "1m",
        "up{job=~\".*shoal.*\"} == 0".to_owned(),
    )
    .says(
        "{{ $labels.instance }} cannot be scraped",
        "The node is down, or Prometheus cannot reach it. The alerts about masters and agents say \
         what that means for the cluster. Jobs that scrape nodes must have `shoal` in their names.",
    )
    .steps(
        &["`shoal members`: do the other nodes see it?"],
        &["Start it again, or repair the way from Prometheus to its HTTP address."],
    )
    .fires(
        &[(r#"up{job="shoal",instance="a"}"#, "0x160")],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (r#"up{job="shoal",instance="a"}"#, "1x160"),
        (r#"up{job="other",instance="b"}"#, "0x160"),
    ])
}

fn restarting() -> Alert {
    let build = select(&catalogue::BUILD_INFO, &[]);
    let started = select(&catalogue::PROCESS_START, &[]);
    Alert::warning(
        "ShoalNodeRestarts",
        "0m",
        format!("changes({started}[15m]) > 2 and on (job, instance) {build}"),
    )
    .says(
        "{{ $labels.instance }} was started more than twice in 15 minutes",
        "Something ends it. Tasks run on while an agent is away.",
    )
    .steps(
        &["The last lines of its log before each end; the kernel's log for lack of memory."],
        &["Do what the last line of the log says."],
    )
    .fires(
        &[
            (
                r#"process_start_time_seconds{job="shoal",instance="a"}"#,
                "0+60x160",
            ),
            (
                r#"shoal_build_info{job="shoal",instance="a",version="1"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (
            r#"process_start_time_seconds{job="shoal",instance="a"}"#,
            "60x140 90x20",
        ),
        (
            r#"shoal_build_info{job="shoal",instance="a",version="1"}"#,
            "1x160",
        ),
        (
            r#"process_start_time_seconds{job="other",instance="a"}"#,
            "0+60x160",
        ),
    ])
}

fn free_below(share: &str) -> String {
    let available = select(&catalogue::DATA_AVAILABLE, &[]);
    let size = select(&catalogue::DATA_SIZE, &[]);
    format!("{available} / {size} < {share}")
}

fn data_filling() -> Alert {
    Alert::warning("ShoalDataDiskFilling", "5m", free_below("0.1"))
        .says(
            "less than a tenth of the disk of {{ $labels.instance }} is free",
            "Once it is full, a master takes part in nothing new, and an agent starts nothing.",
        )
        .steps(
            &["`du` in the data folder: the log and snapshots, or the files of tasks?"],
            &["Make room, or move the data folder to a larger disk."],
        )
        .fires(
            &[
                (
                    r#"shoal_data_available_bytes{job="shoal",instance="a"}"#,
                    "5x160",
                ),
                (
                    r#"shoal_data_size_bytes{job="shoal",instance="a"}"#,
                    "100x160",
                ),
            ],
            &[("job", "shoal"), ("instance", "a")],
        )
        .quiet(&[
            (
                r#"shoal_data_available_bytes{job="shoal",instance="a"}"#,
                "20x160",
            ),
            (
                r#"shoal_data_size_bytes{job="shoal",instance="a"}"#,
                "100x160",
            ),
        ])
}

fn data_almost_full() -> Alert {
    Alert::critical("ShoalDataDiskAlmostFull", "1m", free_below("0.03"))
        .says(
            "less than 3 % of the disk of {{ $labels.instance }} is free",
            "Once it is full, a master takes part in nothing new, and an agent starts nothing.",
        )
        .steps(
            &["`du` in the data folder: the log and snapshots, or the files of tasks?"],
            &["Make room now."],
        )
        .fires(
            &[
                (
                    r#"shoal_data_available_bytes{job="shoal",instance="a"}"#,
                    "2x160",
                ),
                (
                    r#"shoal_data_size_bytes{job="shoal",instance="a"}"#,
                    "100x160",
                ),
            ],
            &[("job", "shoal"), ("instance", "a")],
        )
        .quiet(&[
            (
                r#"shoal_data_available_bytes{job="shoal",instance="a"}"#,
                "5x160",
            ),
            (
                r#"shoal_data_size_bytes{job="shoal",instance="a"}"#,
                "100x160",
            ),
        ])
}

fn files_low() -> Alert {
    let open = select(&catalogue::PROCESS_FILES, &[]);
    let most = select(&catalogue::PROCESS_MAX_FILES, &[]);
    let build = select(&catalogue::BUILD_INFO, &[]);
    Alert::warning(
        "ShoalFilesLow",
        "5m",
        format!("{open} / {most} > 0.8 and on (job, instance) {build}"),
    )
    .says(
        "{{ $labels.instance }} has used 80 % of its file descriptors",
        "At the end of them it accepts no more connections.",
    )
    .steps(
        &["Panels *HTTP connections* and *Connections by purpose* of the dashboard *masters*."],
        &["Raise the limit (`LimitNOFILE=` of the service), or find who opens so many."],
    )
    .fires(
        &[
            (r#"process_open_fds{job="shoal",instance="a"}"#, "900x160"),
            (r#"process_max_fds{job="shoal",instance="a"}"#, "1000x160"),
            (
                r#"shoal_build_info{job="shoal",instance="a",version="1"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (r#"process_open_fds{job="shoal",instance="a"}"#, "100x160"),
        (r#"process_max_fds{job="shoal",instance="a"}"#, "1000x160"),
        (
            r#"shoal_build_info{job="shoal",instance="a",version="1"}"#,
            "1x160",
        ),
    ])
}

fn http_errors() -> Alert {
    let failed = select(&catalogue::HTTP_REQUESTS, &[("code", "5xx")]);
    let all = select(&catalogue::HTTP_REQUESTS, &[]);
    let by = |of: &str| format!("sum by (job, instance) (rate({of}[5m]))");
    Alert::warning(
        "ShoalHttpErrors",
        "5m",
        format!("{} / {} > 0.05", by(&failed), by(&all)),
    )
    .says(
        "more than 5 % of the answers of {{ $labels.instance }} are errors of the server",
        "Most of them are 503: no leader, or this master is cut off.",
    )
    .steps(
        &["Panel *HTTP answers by class* of the dashboard *overview*; alert *ShoalMasterCutOff*."],
        &["Begin with the alerts about the quorum."],
    )
    .fires(
        &[
            (
                r#"shoal_http_requests_total{job="shoal",instance="a",endpoint="state",code="5xx"}"#,
                "0+5x160",
            ),
            (
                r#"shoal_http_requests_total{job="shoal",instance="a",endpoint="state",code="2xx"}"#,
                "0+5x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (
            r#"shoal_http_requests_total{job="shoal",instance="a",endpoint="state",code="5xx"}"#,
            "0+1x160",
        ),
        (
            r#"shoal_http_requests_total{job="shoal",instance="a",endpoint="state",code="2xx"}"#,
            "0+99x160",
        ),
    ])
}

fn http_slow() -> Alert {
    let name = catalogue::HTTP_SECONDS.name;
    Alert::warning(
        "ShoalHttpSlow",
        "10m",
        format!("histogram_quantile(0.99, sum by (job, instance, le) (rate({name}_bucket[5m]))) > 2.5"),
    )
    .says(
        "one in a hundred answers of {{ $labels.instance }} takes more than 2.5 s",
        "Answers wait for the ledger: an election, a slow disk, or a master that catches up.",
    )
    .steps(
        &["Panels *Replicas* and *Disk* of the dashboard *masters*."],
        &["Begin with the alerts about the quorum and the ledger."],
    )
    .fires(
        &[
            (
                r#"shoal_http_request_duration_seconds_bucket{job="shoal",instance="a",endpoint="state",le="2.5"}"#,
                "0+1x160",
            ),
            (
                r#"shoal_http_request_duration_seconds_bucket{job="shoal",instance="a",endpoint="state",le="5"}"#,
                "0+9x160",
            ),
            (
                r#"shoal_http_request_duration_seconds_bucket{job="shoal",instance="a",endpoint="state",le="+Inf"}"#,
                "0+9x160",
            ),
        ],
        &[("job", "shoal"), ("instance", "a")],
    )
    .quiet(&[
        (
            r#"shoal_http_request_duration_seconds_bucket{job="shoal",instance="a",endpoint="state",le="0.1"}"#,
            "0+9x160",
        ),
        (
            r#"shoal_http_request_duration_seconds_bucket{job="shoal",instance="a",endpoint="state",le="+Inf"}"#,
            "0+9x160",
        ),
    ])
}

fn streams_slow() -> Alert {
    let slow = select(&catalogue::STREAMS_SLOW, &[]);
    Alert::warning(
        "ShoalStreamsGivenUp",
        "0m",
        format!("sum by (job) (increase({slow}[15m])) > 2"),
    )
    .says(
        "frameworks do not read their events fast enough",
        "Such a stream is closed, and the framework has to subscribe again. Nothing is lost.",
    )
    .steps(
        &["`shoal frameworks`: which ones come and go?"],
        &["Give that framework more processor, or less to do for each event."],
    )
    .fires(
        &[(
            r#"shoal_streams_given_up_total{job="shoal",instance="a"}"#,
            "0+1x160",
        )],
        &[("job", "shoal")],
    )
    .quiet(&[(
        r#"shoal_streams_given_up_total{job="shoal",instance="a"}"#,
        "4x160",
    )])
}

fn versions_differ() -> Alert {
    let build = select(&catalogue::BUILD_INFO, &[]);
    Alert::warning(
        "ShoalVersionsDiffer",
        "20m",
        format!("count by (job) (count by (job, version) ({build})) > 1"),
    )
    .says(
        "nodes run different versions",
        "That is meant to be so for the time of an upgrade, and not longer.",
    )
    .steps(
        &["Panel *Nodes by version* of the dashboard *overview*."],
        &["Finish the upgrade, or take it back."],
    )
    .fires(
        &[
            (
                r#"shoal_build_info{job="shoal",instance="a",version="1"}"#,
                "1x160",
            ),
            (
                r#"shoal_build_info{job="shoal",instance="b",version="2"}"#,
                "1x160",
            ),
        ],
        &[("job", "shoal")],
    )
    .quiet(&[
        (
            r#"shoal_build_info{job="shoal",instance="a",version="1"}"#,
            "1x160",
        ),
        (
            r#"shoal_build_info{job="other",instance="b",version="2"}"#,
            "1x160",
        ),
    ])
}
