//! The gossip's keys on real nodes: who has none is refused, not heard, and disturbs nobody; keys are
//! rotated and a plain cluster becomes an encrypted one, and no member is lost.

use std::net::UdpSocket;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use super::process::{KEY, Node, PATIENCE, Place, bare, get, metric, run};

const OTHER_KEY: &str = "YW5vdGhlciBrZXkgb2YgYSB0ZXN0LCAzMiBieXRlcyE=";

/// Waits until something is so.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

fn json(place: &Place, path: &str) -> Value {
    let answer = get(&place.http(), path);
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    serde_json::from_str(body).expect("it is JSON")
}

/// The names of the members that a node takes for alive.
fn alive(place: &Place) -> Vec<String> {
    let document = json(place, "/shoal/v1/members?status=alive");
    let rows = document["members"].as_array().expect("a list");
    let mut names: Vec<String> = rows
        .iter()
        .map(|row| row["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    names
}

fn dropped(place: &Place, cause: &str) -> u64 {
    let name = format!("shoal_gossip_datagrams_dropped_total{{cause=\"{cause}\"}}");
    metric(&place.http(), &name).parse().expect("a number")
}

fn join(place: &Place) -> String {
    format!("join = [\"{}:7946\"]\n", place.ip)
}

/// `shoal keyring` at a node, with what it may read; gives its code and what it printed.
fn keyring(place: &Place, arguments: &[&str]) -> (Option<i32>, String, String) {
    let address = place.http();
    let all = [&["keyring"], arguments, &["--addr", &address]].concat();
    run(&mut bare(&all))
}

fn keys(place: &Place) -> Value {
    let (code, out, err) = keyring(place, &["list", "-o", "json"]);
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).expect("it is JSON")
}

#[test]
fn a_node_without_a_key_is_refused_and_writes_nothing() {
    let place = Place::new("n", "");
    let (code, _, err) = run(place.shoal(&["node"]).env_remove("SHOAL_GOSSIP_KEY"));
    assert_eq!(code, Some(2), "{err}");
    for word in [
        "no key",
        "shoal keyring generate",
        "--gossip-encryption off",
    ] {
        assert!(err.contains(word), "{err}");
    }
    assert!(!place.data().exists(), "nothing was written");
}

#[test]
fn strangers_are_not_heard_and_change_nothing() {
    let one = Place::new("one", "");
    let two = Place::new("two", &join(&one));
    let foreign = Place::new("foreign", &join(&one));
    let plain = Place::new(
        "plain",
        &format!("{}gossip_encryption = \"off\"\n", join(&one)),
    );
    let mut nodes = [one.start().started(), two.start().started()];
    let mut strangers = [
        Node::start(foreign.shoal(&["node"]).env("SHOAL_GOSSIP_KEY", OTHER_KEY)).started(),
        Node::start(plain.shoal(&["node"]).env_remove("SHOAL_GOSSIP_KEY")).started(),
    ];
    let both = ["one", "two"];
    until("two nodes meet", || {
        alive(&one) == both && alive(&two) == both
    });
    until("both strangers knock", || {
        dropped(&one, "key") > 3 && dropped(&one, "plain") > 3
    });

    // Ten thousand joins under random names, and whatever else comes to a stranger's mind.
    let socket = UdpSocket::bind((one.ip, 0)).expect("loopback binds");
    let mut dice = shoal_api::Dice::new(1);
    let before = dropped(&one, "plain") + dropped(&one, "forged");
    let id = one_key_id(&one);
    for number in 0..10_000_u32 {
        let mut bytes: Vec<u8> = (0..60 + number % 400)
            .map(|_| dice.next_u64() as u8)
            .collect();
        bytes[..6].copy_from_slice(&[1, 0, 0, 0, 0, 0]);
        if number % 2 == 0 {
            bytes[2..6].copy_from_slice(&id.to_be_bytes());
        }
        // A full buffer drops some, as a network does.
        drop(socket.send_to(&bytes, (one.ip, 7946)));
    }
    for length in [0, 1, 17, 33, 1_401, 9_000, 65_507] {
        drop(socket.send_to(&vec![1; length], (one.ip, 7946)));
    }
    until("some thousands are counted", || {
        dropped(&one, "plain") + dropped(&one, "forged") > before + 1_000
    });
    // A flood may delay probes, and then one doubts the other for a moment.
    until("both see each other", || {
        alive(&one) == both && alive(&two) == both
    });
    let all = json(&one, "/shoal/v1/members");
    assert_eq!(all["members"].as_array().map(Vec::len), Some(2), "{all}");
    assert_eq!(alive(&foreign), ["foreign"], "it reads nothing");
    assert_eq!(alive(&plain), ["plain"], "it reads nothing");
    for node in strangers.iter_mut().chain(&mut nodes) {
        node.end();
    }
}

fn one_key_id(place: &Place) -> u32 {
    let document = keys(place);
    let id = document["keys"][0]["id"].as_str().expect("an id");
    u32::from_str_radix(id, 16).expect("hexadecimal")
}

/// Three nodes that gossip in plain text take each step to encrypted gossip, and see each other.
fn encrypt(places: &[Place; 3]) -> Vec<Node> {
    let seeds = join(&places[0]);
    let step = |mode: &str| {
        for (place, name) in places.iter().zip(["a", "b", "c"]) {
            let key = match mode {
                "off" => String::new(),
                _ => format!("gossip_key = \"{KEY}\"\n"),
            };
            let mode = format!("gossip_encryption = \"{mode}\"\n");
            place.write(&format!("{}{seeds}{key}{mode}", place.standard(name)));
        }
    };
    step("off");
    let mut nodes: Vec<Node> = places.iter().map(start_by_file).collect();
    until("they meet in plain text", || together(places));
    let (code, _, err) = keyring(&places[0], &["list"]);
    assert_eq!(code, Some(1), "keys do not travel in plain text");
    assert!(err.contains("gossip_encryption is off"), "{err}");
    for mode in ["incoming", "outgoing", "required"] {
        step(mode);
        for node in &mut nodes {
            node.signal(Signal::HUP);
            node.until(&["gossip's encryption changed", mode]);
        }
        until(mode, || together(places));
    }
    nodes
}

fn start_by_file(place: &Place) -> Node {
    Node::start(place.shoal(&["node"]).env_remove("SHOAL_GOSSIP_KEY")).started()
}

fn together(places: &[Place; 3]) -> bool {
    places.iter().all(|place| alive(place) == ["a", "b", "c"])
}

#[test]
fn a_plain_cluster_is_encrypted_and_its_key_rotated_without_a_loss() {
    let places = ["a", "b", "c"].map(|name| Place::new(name, ""));
    let mut nodes = encrypt(&places);
    let old = keys(&places[1])["keys"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let (_, key, _) = run(&mut bare(&["keyring", "generate"]));
    let file = places[0].data().join("new-key");
    std::fs::write(&file, &key).expect("it can be written");
    let mut install = bare(&["keyring", "install", "--addr", &places[2].http()]);
    let (code, out, err) = run(install.stdin(std::fs::File::open(&file).expect("it is there")));
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(!format!("{out}{err}").contains(&key[..10]), "{out}");
    let document = keys(&places[0]);
    let ids = document["keys"].as_array().expect("a list").iter();
    let mut ids = ids.map(|row| row["id"].as_str().expect("an id").to_owned());
    let new = ids.find(|id| *id != old).expect("it is installed");

    let (code, _, err) = keyring(&places[0], &["remove", &old]);
    assert_eq!(code, Some(1), "it is in use");
    assert!(err.contains("is the primary key of members"), "{err}");
    for arguments in [["use", &new], ["remove", &old]] {
        let (code, out, err) = keyring(&places[1], &arguments);
        assert_eq!(code, Some(0), "{out}{err}");
        until("nobody is lost", || together(&places));
    }
    let document = keys(&places[2]);
    assert_eq!(
        document["keys"],
        serde_json::json!([{ "id": new, "members": 3, "primary": 3 }])
    );

    // What it keeps counts at the next start, and not the old key of its file.
    nodes[2].end();
    nodes[2] = start_by_file(&places[2]);
    until("it comes back with the new key", || together(&places));
    for node in &mut nodes {
        node.end();
        assert!(
            !node.seen.join("").contains(&KEY[..10]),
            "no key in the log"
        );
        assert!(
            !node.seen.join("").contains(&key[..10]),
            "no key in the log"
        );
    }
}
