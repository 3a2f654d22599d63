//! What `shoal dashboards` writes, judged by Prometheus itself: its rules are valid and proven, and on
//! a running cluster every panel shows something and nothing fires.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cluster::{Cluster, said};
use crate::wait::{check, seconds, until};
use crate::{http, machine};

/// Alerts about how fast the machine under the test is, which is not what is tested.
const OF_THE_MACHINE: [&str; 7] = [
    "ShoalDiskSlow",
    "ShoalHttpSlow",
    "ShoalMasterBusy",
    "ShoalNodeStalls",
    "ShoalFalseSuspicions",
    "ShoalDataDiskFilling",
    "ShoalDataDiskAlmostFull",
];

fn write_files(folder: &Path) {
    let output = Command::new(machine::shoal())
        .args(["dashboards", "--dir"])
        .arg(folder)
        .output()
        .expect("shoal can be run");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn promtool_accepts_and_proves_the_rules() {
    if !machine::has("promtool") {
        let why = "promtool is not installed (Debian: apt-get install prometheus)";
        return machine::skip("promtool_accepts_and_proves_the_rules", why);
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    write_files(folder.path());
    let promtool = |arguments: &[&str]| {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(folder.path().join("prometheus"))
            .output();
        output.expect("promtool can be run")
    };
    for arguments in [
        ["check", "rules", "shoal.rules.yml"],
        ["test", "rules", "shoal.rules.test.yml"],
    ] {
        let output = promtool(&arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    }
    // The proof can fail: rules that fire at nothing do not pass.
    let rules = folder.path().join("prometheus/shoal.rules.yml");
    let text = fs::read_to_string(&rules).expect("the rules can be read");
    let broken = text.replace("(shoal_raft_leading) == 0", "(shoal_raft_leading) == 9");
    assert_ne!(broken, text);
    fs::write(&rules, broken).expect("the rules can be written");
    let output = promtool(&["test", "rules", "shoal.rules.test.yml"]);
    assert!(!output.status.success(), "{}", said(&output));
}

#[test]
fn every_panel_shows_data_and_nothing_fires() {
    if !machine::has("prometheus") {
        let why = "prometheus is not installed (Debian: apt-get install prometheus)";
        return machine::skip("every_panel_shows_data_and_nothing_fires", why);
    }
    let cluster = Cluster::start(3, 3);
    let files = cluster.scratch("files");
    write_files(&files);
    let prometheus = Prometheus::start(&cluster, &files);
    let before = cluster.run(&["run", "--count", "20", "--", "true"]);
    assert_eq!(before, "", "`true` says nothing");
    cluster.run(&["run", "--count", "4", "--detach", "--", "sleep", "300"]);

    let queries = panel_queries(&files.join("grafana"));
    assert!(queries.len() > 60, "there are {} queries", queries.len());
    until("every panel shows data", seconds(60), || {
        // Requests and launches go on, so that there is something to see.
        cluster.run(&["run", "--", "true"]);
        let empty: Vec<&(String, String)> = queries
            .iter()
            .filter(|(_, query)| !prometheus.has_data(query))
            .collect();
        check(empty.is_empty(), || format!("these do not: {empty:#?}"))
    });

    until("each master shows the tasks", seconds(20), || {
        let running = prometheus.ask("shoal_ledger_tasks{state=\"running\"}");
        let running = values(&running);
        check(running == [4.0, 4.0, 4.0], || format!("{running:?}"))
    });
    let evaluated = prometheus.ask("count(count by (rule_group) (prometheus_rule_group_rules))");
    assert_eq!(values(&evaluated), [5.0], "the rules are loaded");
    let fired = "count by (alertname) (count_over_time(ALERTS{alertstate=\"firing\"}[10m]))";
    assert_eq!(names(&prometheus.ask(fired)), Vec::<String>::new());
    until("no alert is pending", seconds(30), || {
        let names = names(&prometheus.ask("ALERTS"));
        check(names.is_empty(), || format!("these are: {names:?}"))
    });
    prometheus.end();
    cluster.end();
}

/// The title and the query of every panel of every dashboard, for all clusters and nodes.
fn panel_queries(folder: &Path) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for entry in fs::read_dir(folder).expect("the dashboards are there") {
        let path = entry.expect("a folder can be listed").path();
        let text = fs::read_to_string(&path).expect("a dashboard can be read");
        let board: Value = serde_json::from_str(&text).expect("a dashboard is JSON");
        for panel in board["panels"].as_array().expect("a dashboard has panels") {
            let targets = panel["targets"].as_array().into_iter().flatten();
            for target in targets {
                let query = target["expr"].as_str().expect("a target has a query");
                let query = query
                    .replace("$__rate_interval", "20s")
                    .replace("$job", ".*")
                    .replace("$instance", ".*");
                assert!(
                    !query.contains('$'),
                    "{query} has a variable that nobody sets"
                );
                queries.push((format!("{}: {}", board["title"], panel["title"]), query));
            }
        }
    }
    queries
}

fn series(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["data"]["result"].as_array().into_iter().flatten()
}

fn values(answer: &Value) -> Vec<f64> {
    let texts = series(answer).filter_map(|one| one["value"][1].as_str());
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// The alerts in an answer, apart from those about the machine.
fn names(answer: &Value) -> Vec<String> {
    let names = series(answer).filter_map(|one| one["metric"]["alertname"].as_str());
    let ours = names.filter(|name| !OF_THE_MACHINE.contains(name));
    ours.map(str::to_owned).collect()
}

/// A Prometheus that scrapes a cluster every second and evaluates the rules.
struct Prometheus {
    child: Child,
    address: String,
    log: std::path::PathBuf,
}

impl Prometheus {
    fn start(cluster: &Cluster, files: &Path) -> Prometheus {
        let targets: Vec<String> = cluster.nodes().into_iter().map(|node| node.http).collect();
        let rules = files.join("prometheus/shoal.rules.yml");
        let address = format!("127.0.0.1:{}", machine::free_port());
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{}]\n\
             scrape_configs:\n  - job_name: shoal\n    static_configs: [{{targets: {targets:?}}}]\n\
             \x20 - job_name: prometheus\n    static_configs: [{{targets: [\"{address}\"]}}]\n",
            rules.display()
        );
        let path = cluster.scratch("prometheus.yml");
        fs::write(&path, config).expect("a configuration can be written");
        let log = cluster.scratch("prometheus.log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                cluster.scratch("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log can be made"))
            .spawn()
            .expect("prometheus can be run");
        let prometheus = Prometheus {
            child,
            address,
            log,
        };
        until("prometheus is ready", seconds(30), || {
            let ready = http::get(&prometheus.address, "/-/ready", "*/*")?;
            check(ready.status == 200, || prometheus.said())
        });
        prometheus
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn ask(&self, query: &str) -> Value {
        let path = format!("/api/v1/query?query={}", encoded(query));
        let answer = http::get(&self.address, &path, "application/json");
        let answer = answer.unwrap_or_else(|why| panic!("{why}: {}", self.said()));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("an answer is JSON")
    }

    /// Whether there is at least one number.
    fn has_data(&self, query: &str) -> bool {
        values(&self.ask(query))
            .iter()
            .any(|value| value.is_finite())
    }

    fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        let (_, _) = (self.child.kill(), self.child.wait());
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A text as the value in an address.
fn encoded(text: &str) -> String {
    let bytes = text.bytes();
    bytes
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
