//! What every node tells about itself: health, members, and metrics that Prometheus' own tool accepts.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::cluster::{Cluster, said};
use crate::wait::{check, seconds, until};
use crate::{http, machine};

#[test]
fn promtool_accepts_the_metrics_of_every_node() {
    if !machine::has("promtool") {
        let why = "promtool is not installed (Debian: apt-get install prometheus)";
        return machine::skip("promtool_accepts_the_metrics_of_every_node", why);
    }
    let cluster = Cluster::start(3, 2);
    cluster.run(&["run", "--count", "3", "--", "true"]);
    for node in cluster.nodes() {
        let answer = http::get(&node.http, "/metrics", "text/plain").expect("/metrics answers");
        assert_eq!(answer.status, 200, "{}", node.name);
        let text = answer.text();
        assert!(
            text.contains("# HELP ") && text.contains("# TYPE "),
            "{}: {text}",
            node.name
        );
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool can be run");
        let mut stdin = promtool.stdin.take().expect("stdin is piped");
        stdin.write_all(&answer.body).expect("promtool reads");
        drop(stdin);
        let output = promtool.wait_with_output().expect("promtool ends");
        let clean = output.status.success() && output.stdout.is_empty() && output.stderr.is_empty();
        assert!(clean, "{}: {}", node.name, said(&output));
    }
    cluster.end();
}

#[test]
fn every_node_is_healthy_and_knows_all_members() {
    let cluster = Cluster::start(3, 2);
    let nodes = cluster.nodes();
    for node in &nodes {
        let health = http::get(&node.http, "/health", "*/*").expect("/health answers");
        assert_eq!(health.status, 200, "{}", node.name);
        until(
            &format!("{} knows all members", node.name),
            seconds(30),
            || {
                let told = http::json(&node.http, "/shoal/v1/members")?;
                let members = told["members"].as_array().ok_or("there is no list")?;
                let alive = members.iter().filter(|member| member["status"] == "alive");
                let mut names: Vec<&str> =
                    alive.filter_map(|member| member["name"].as_str()).collect();
                names.sort_unstable();
                let mut wanted: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
                wanted.sort_unstable();
                check(names == wanted, || format!("it knows {names:?}"))
            },
        );
    }
    cluster.end();
}
