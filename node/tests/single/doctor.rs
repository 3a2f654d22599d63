//! `shoal doctor` on real nodes: it finds what is wrong, says what to do, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::SystemTime;

use crate::process::{Place, run};
use rustix::process::Signal;
use serde_json::Value;

/// Checks of the machine, which a test does not choose.
const MACHINE: [&str; 4] = ["disk", "limit", "cgroups", "kernel"];

/// What was found, by check; and whether all is well.
fn examine(place: &Place, arguments: &[&str]) -> (bool, BTreeMap<String, Value>) {
    let all = [&["doctor", "-o", "json"], arguments].concat();
    // Nobody listens at port 1: what is not the node's own is not looked at.
    let (code, out, err) = run(place.shoal(&all).env("SHOAL_ADDR", "127.0.0.1:1"));
    let document: Value =
        serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out} {err}"));
    let well = document["well"]
        .as_bool()
        .expect("it says whether all is well");
    assert_eq!(code, Some(if well { 0 } else { 1 }), "{out}");
    let rows = document["findings"].as_array().expect("a list").iter();
    let mut found = BTreeMap::new();
    let mut wrong = 0;
    for row in rows {
        let text = |name: &str| row[name].as_str().expect("a text").to_owned();
        assert!(
            ["ok", "note", "wrong"].contains(&text("status").as_str()),
            "{row}"
        );
        wrong += usize::from(text("status") == "wrong");
        found.insert(text("check"), row.clone());
    }
    assert_eq!(well, wrong == 0, "{out}");
    (well, found)
}

fn is(found: &BTreeMap<String, Value>, check: &str, status: &str, words: &[&str]) {
    let row = found
        .get(check)
        .unwrap_or_else(|| panic!("{check} was not looked at: {found:#?}"));
    assert_eq!(row["status"], status, "{row}");
    for word in words {
        assert!(row.to_string().contains(word), "no {word} in {row}");
    }
}

/// Every file below a folder, with what it holds and when it was changed.
fn picture(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut picture = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.expect("it can be listed");
            let about = entry.metadata().expect("it is there");
            let bytes = match about.is_dir() {
                true => {
                    folders.push(entry.path());
                    Vec::new()
                }
                false => fs::read(entry.path()).unwrap_or_default(),
            };
            let changed = about.modified().expect("the file system keeps times");
            picture.insert(entry.path().display().to_string(), (bytes, changed));
        }
    }
    picture
}

#[test]
fn a_node_that_is_well_is_called_so() {
    let place = Place::new(
        "n",
        "roles = [\"master\", \"agent\"]\nbootstrap_expect = 1\nresources = \"cpus:1\"\n",
    );
    let mut node = place.start().started();
    node.until(&["leadership", "leading=true"]);
    // It leads before the ledger has its own row.
    let address = place.http();
    let asked = || run(&mut place.shoal(&["leader", "--addr", &address])).0;
    assert!((0..1_000).any(|_| asked() == Some(0)), "nobody leads");
    let (_, found) = examine(&place, &[]);
    for (check, row) in &found {
        let machine = MACHINE.iter().any(|word| check.starts_with(word));
        assert!(machine || row["status"] != "wrong", "{row}");
    }
    is(
        &found,
        "configuration",
        "ok",
        &["shoal.toml", "master,agent"],
    );
    is(&found, "data", "ok", &["generation 1"]);
    is(&found, "node", "ok", &["process"]);
    is(&found, "quorum", "ok", &["n leads, all 1 voters"]);
    for check in [
        "api",
        "name",
        "gossip",
        "port gossip",
        "port peer",
        "port http",
        "port agent_http",
    ] {
        is(&found, check, "ok", &[]);
    }
    for check in [
        "disk kind",
        "disk space",
        "disk sync",
        "limit files",
        "limit processes",
    ] {
        assert!(found.contains_key(check), "{check}");
    }

    // Another file than the one it runs with.
    let (well, found) = examine(&place, &["--http", &format!("{}:6050", place.ip)]);
    assert!(!well);
    is(
        &found,
        "port http",
        "wrong",
        &["does not listen on", "another configuration"],
    );

    node.signal(Signal::STOP);
    let (well, found) = examine(&place, &[]);
    node.signal(Signal::CONT);
    assert!(!well);
    is(&found, "api", "wrong", &["does not answer"]);
    node.end();
}

#[test]
fn what_would_keep_a_node_from_starting_is_told() {
    let place = Place::new("n", "roles = [\"master\"]\n");
    let taken = UdpSocket::bind((place.ip, 7946)).expect("nobody has this address");
    let (well, found) = examine(&place, &["--peer", "192.0.2.1:7947", "--insecure"]);
    assert!(!well);
    let me = format!("process {}", std::process::id());
    is(
        &found,
        "port gossip",
        "wrong",
        &["is taken by", &me, "another port by gossip"],
    );
    is(&found, "port peer", "wrong", &["no interface", "192.0.2.1"]);
    is(&found, "port http", "ok", &["is free"]);
    is(&found, "data", "note", &["the first start makes it"]);
    is(&found, "cluster", "note", &["--addr"]);
    assert!(!place.data().exists(), "it makes nothing");
    drop(taken);

    let (well, found) = examine(&place, &["--roles", "nonsense"]);
    assert!(!well);
    assert!(
        !found.contains_key("disk space"),
        "what is not known is not looked at"
    );
    is(&found, "kernel pidfd", "ok", &[]);
}

#[test]
fn damage_is_told_and_nothing_is_changed() {
    let place = Place::new("n", "roles = [\"master\"]\nbootstrap_expect = 1\n");
    let mut node = place.start().started();
    node.until(&["leadership", "leading=true"]);
    node.end();
    let before = picture(&place.data());
    assert!(before.len() > 2, "there are data");
    let (_, found) = examine(&place, &[]);
    is(&found, "node", "note", &["no node runs"]);
    is(&found, "data", "ok", &["generation 1", "cluster"]);
    assert_eq!(picture(&place.data()), before, "it changes nothing");

    let identity = place.data().join("identity");
    let text = fs::read_to_string(&identity).expect("it can be read");
    fs::write(&identity, text.replace("node ", "node 0")).expect("it can be written");
    let (well, found) = examine(&place, &[]);
    assert!(!well);
    is(
        &found,
        "data",
        "wrong",
        &["is damaged", "restore it from a backup"],
    );
}

#[test]
fn a_seed_that_is_not_there_is_told() {
    let place = Place::new("n", "join = [\"127.0.0.1:1\"]\n");
    let mut node = place.start().started();
    let (well, found) = examine(&place, &[]);
    assert!(!well);
    is(
        &found,
        "gossip",
        "wrong",
        &["sees no other", "127.0.0.1:1", "UDP"],
    );
    is(&found, "quorum", "wrong", &["no living member is a master"]);
    node.end();
}
