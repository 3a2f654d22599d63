//! A node refuses a data directory that is not its own to use, and says what to do.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::cluster::{Cluster, said};
use crate::machine;
use crate::wait::{check, seconds, until};

/// Starts a node of that cluster on an address of its own and waits for its end.
fn intruder(cluster: &Cluster, roles: &str, data: &Path) -> Output {
    let first = cluster.nodes().remove(0);
    // With the key of its own cluster it would not even be heard.
    drop(fs::remove_file(data.join("keyring.json")));
    let own = |address: &str| address.replace("127.0.0.1:", "127.0.0.99:");
    let agent_http = own(cluster.api());
    let (host, port) = agent_http.rsplit_once(':').expect("an address has a port");
    let next = port.parse::<u16>().expect("a port is a number") + 1;
    let api_port = port.to_string();
    let mut child = Command::new(machine::shoal())
        .args(["node", "--name", "intruder", "--roles", roles, "--data"])
        .arg(data)
        .args([
            "--join",
            &first.gossip,
            "--cluster",
            &format!("dev-{api_port}"),
        ])
        .args(["--http", &own(&first.http), "--gossip", &own(&first.gossip)])
        .args([
            "--peer",
            &own(&first.peer),
            "--agent-http",
            &format!("{host}:{next}"),
        ])
        .arg("--gossip-key-file")
        .arg(cluster.data().join("gossip-key"))
        .args(["--resources", "cpus:1;mem:128"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("shoal can be run");
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the node refuses to start", seconds(30), || {
            let ended = child.try_wait().map_err(|why| why.to_string())?;
            check(ended.is_some(), || "it runs".to_string())
        });
    }));
    if ended.is_err() {
        child.kill().expect("a child can be killed");
    }
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(
        ended.is_ok(),
        "a node with {} ran: {}",
        data.display(),
        said(&output)
    );
    assert!(!output.status.success(), "it fails: {}", said(&output));
    output
}

#[test]
fn an_agent_of_another_cluster_is_refused() {
    let other = Cluster::start(1, 2).end();
    let cluster = Cluster::start(1, 1);
    let output = intruder(&cluster, "agent", &other.data.join("agent1"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("cluster"), "it names the reason: {text}");
    assert_eq!(
        cluster.run(&["run", "--", "echo", "unharmed"]),
        "unharmed\n"
    );
    cluster.end();
}

#[test]
fn a_master_of_another_cluster_is_refused() {
    let other = Cluster::start(3, 0).end();
    let cluster = Cluster::start(1, 1);
    let data = other.data.join("master2");
    let output = intruder(&cluster, "master", &data);
    let text = String::from_utf8_lossy(&output.stderr);
    let theirs = "its --join leads to cluster";
    assert!(text.contains(theirs), "it names the reason: {text}");
    assert!(data.join("master").exists(), "its ledger is untouched");
    assert_eq!(
        cluster.run(&["run", "--", "echo", "unharmed"]),
        "unharmed\n"
    );
    cluster.end();
}

#[test]
fn a_directory_in_use_is_refused() {
    let cluster = Cluster::start(1, 1);
    let output = intruder(&cluster, "master,agent", &cluster.nodes()[0].data);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("another process"),
        "it names the reason: {text}"
    );
    assert_eq!(
        cluster.run(&["run", "--", "echo", "unharmed"]),
        "unharmed\n"
    );
    cluster.end();
}

#[test]
fn a_file_is_no_directory() {
    let cluster = Cluster::start(1, 1);
    let file = cluster.scratch("file");
    fs::write(&file, "precious").expect("a file can be written");
    intruder(&cluster, "master,agent", &file);
    assert_eq!(fs::read(&file).expect("it is still there"), b"precious");
    cluster.end();
}

#[test]
fn dev_does_not_clean_what_is_not_its_own() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    fs::write(folder.path().join("precious"), "x").expect("a file can be written");
    let output = Command::new(machine::shoal())
        .args(["dev", "--clean", "--data"])
        .arg(folder.path())
        .args([
            "--http",
            &format!("127.0.0.1:{}", machine::free_api_port(1)),
        ])
        .stdin(Stdio::null())
        .output()
        .expect("shoal can be run");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(folder.path().join("precious").exists());
}
