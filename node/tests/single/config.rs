//! The configuration of real nodes: what is refused, what is read again, and how the log looks.

use crate::process::{Node, Place, bare, get, is_filled, metric, run};
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn what_is_wrong_is_told_before_anything_is_opened() {
    for (more, words) in [
        (
            "gosip = \"127.0.0.1:1\"\n",
            &["shoal.toml:7:1", "'gosip'", "did you mean gossip?"][..],
        ),
        (
            "join = [\"nowhere\"]\n",
            &["shoal.toml:7:1", "'nowhere' has no port", "HOST:PORT"],
        ),
        (
            "insecure = 3\n",
            &["shoal.toml:7:12", "true or false, not a whole number"],
        ),
        (
            "advertise_gossip = \"0.0.0.0:7946\"\n",
            &["shoal.toml:7:1", "others cannot reach"],
        ),
        (
            "bootstrap_expect = 3\n",
            &["shoal.toml:7:1", "for masters only", "roles"],
        ),
        ("roles = [\"master\"\n", &["shoal.toml:", "no TOML"]),
        (
            "log_level = \"loud\"\nbootstrap_expect = 2\n",
            &["2 things", ":7:1: log_level", ":8:1: bootstrap_expect"],
        ),
    ] {
        let place = Place::new("n", more);
        for arguments in [&["node"][..], &["config", "check"]] {
            let (code, out, err) = run(&mut place.shoal(arguments));
            assert_eq!((code, out.as_str()), (Some(2), ""), "{more}: {err}");
            for word in words {
                assert!(err.contains(word), "{more}: no {word} in: {err}");
            }
        }
        assert!(!is_filled(&place.data()), "{more}: nothing was written");
    }
}

#[test]
fn the_origin_of_each_value_is_shown() {
    let place = Place::new("n", "cluster = \"from-file\"\n");
    let mut command = place.shoal(&["config", "show", "--roles", "agent", "-o", "json"]);
    let (code, out, err) = run(command.env("SHOAL_LOG_LEVEL", "debug"));
    assert_eq!(code, Some(0), "{err}");
    let document: Value = serde_json::from_str(&out).expect("it is JSON");
    assert_eq!(document["file"], place.file().display().to_string());
    let told = |key: &str| {
        let keys = document["keys"].as_array().expect("a list");
        let row = keys
            .iter()
            .find(|row| row["key"] == key)
            .expect("every key is told");
        (
            row["value"].clone(),
            row["origin"].as_str().map(str::to_owned),
            row["from"].clone(),
        )
    };
    let origin = |word: &str| Some(word.to_owned());
    assert_eq!(
        told("roles"),
        (
            serde_json::json!(["agent"]),
            origin("flag"),
            "--roles".into()
        )
    );
    assert_eq!(
        told("log_level"),
        ("debug".into(), origin("variable"), "SHOAL_LOG_LEVEL".into())
    );
    let line = format!("{}:7:1", place.file().display());
    assert_eq!(
        told("cluster"),
        ("from-file".into(), origin("file"), line.into())
    );
    assert_eq!(
        told("bootstrap_expect"),
        (Value::Null, origin("default"), Value::Null)
    );
    assert_eq!(
        told("insecure"),
        (false.into(), origin("default"), Value::Null)
    );

    let (code, out, _) = run(&mut place.shoal(&["config", "check", "-o", "json"]));
    let checked: Value = serde_json::from_str(&out).expect("it is JSON");
    assert_eq!((code, &checked["valid"]), (Some(0), &Value::Bool(true)));
    let (code, _, err) = run(&mut bare(&["config", "check", "/no/such/file"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("cannot read /no/such/file"), "{err}");
}

#[test]
fn a_running_node_reads_its_file_again() {
    let other = Place::new("other", "");
    let mut there = other.start().started();
    let place = Place::new("n", "log_level = \"info\"\n");
    let mut node = place.start().started();
    let applied = "shoal_config_reloads_total{outcome=\"applied\"}";
    let refused = "shoal_config_reloads_total{outcome=\"refused\"}";
    let waiting = "shoal_config_waiting_keys";
    assert_eq!(metric(&place.http(), applied), "0");

    let more = format!(
        "log_level = \"warn,config=info\"\njoin = [\"{}:7946\"]\ncluster = \"another\"\n",
        other.ip
    );
    place.write(&format!("{}{more}", place.standard("n")));
    node.signal(Signal::HUP);
    node.until(&["configuration read again", "joined=1", "warn,config=info"]);
    node.until(&["cluster", "keep their old values until a restart"]);
    there.until(&["member joined"]);
    assert_eq!(metric(&place.http(), applied), "1");
    assert_eq!(metric(&place.http(), waiting), "1");

    place.write(&format!("{}log_levle = \"trace\"\n", place.standard("n")));
    node.signal(Signal::HUP);
    node.until(&[
        "stays as it was",
        "log_levle",
        "did you mean log_level?",
        ":7:1",
    ]);
    assert_eq!(metric(&place.http(), refused), "1");
    assert_eq!(metric(&place.http(), waiting), "1");

    place.write(&place.standard("n"));
    node.signal(Signal::HUP);
    node.until(&["configuration read again", "log_level=info"]);
    assert_eq!(metric(&place.http(), waiting), "0");
    node.end();
    there.end();
}

/// Parses a log; every line must have the documented names, and no others.
fn parse(node: &Node) -> Vec<Value> {
    let parse = |line: &String| -> Value {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        let mut names: Vec<&String> = line.as_object().expect("an object").keys().collect();
        names.sort();
        assert_eq!(
            names,
            ["fields", "level", "message", "target", "time"],
            "{line}"
        );
        assert!(line["fields"].is_object(), "{line}");
        line
    };
    node.seen.iter().map(parse).collect()
}

#[test]
fn every_line_of_a_json_log_is_one_object() {
    let more = "roles = [\"master\"]\nbootstrap_expect = 1\nlog_format = \"json\"\nlog_level = \"trace\"\n";
    let place = Place::new("n", more);
    let mut node = place.start().started();
    node.until(&["\"leading\":true"]);
    // A second node on the same data fails with a line of the log, too.
    let mut second = place.start();
    assert_eq!(second.ended().code(), Some(1));
    let last = parse(&second).pop().expect("it says why");
    assert_eq!(last["level"], "error");
    assert!(
        last["message"]
            .as_str()
            .is_some_and(|text| text.contains("used by another process")),
        "{last}"
    );

    place.write("nonsense = 1\n");
    node.signal(Signal::HUP);
    node.until(&["stays as it was"]);
    node.end();
    let lines = parse(&node);
    assert!(
        lines.iter().any(|line| line["level"] == "debug"),
        "{lines:?}"
    );
    let started = lines
        .iter()
        .find(|line| line["message"] == "node started")
        .expect("it started");
    assert_eq!(started["fields"]["name"], "n");
    assert_eq!(started["fields"]["generation"], 1);
    assert_eq!(started["target"], "shoal_node::node");
}

#[test]
fn a_misspelt_variable_is_told() {
    let place = Place::new("n", "");
    let mut node = Node::start(place.shoal(&["node"]).env("SHOAL_GOSIP", "127.0.0.1:1"));
    node.until(&["SHOAL_GOSIP", "SHOAL_GOSSIP"]);
    node.until(&["node started"]);
    node.end();
}

#[test]
fn a_name_that_a_living_node_has_is_refused() {
    let holder = Place::new("twin", "");
    let mut first = holder.start().started();
    let place = Place::new("twin", &format!("join = [\"{}:7946\"]\n", holder.ip));
    let mut second = place.start();
    second.until(&["another living node has this name"]);
    assert_eq!(second.ended().code(), Some(1));
    let last = second.seen.join("\n");
    assert!(
        last.contains("has the name twin") && last.contains("choose another by --name"),
        "{last}"
    );
    assert!(first.lives());
    let members = get(&holder.http(), "/shoal/v1/members");
    let body = members.split("\r\n\r\n").nth(1).expect("a body");
    let members: Value = serde_json::from_str(body).expect("it is JSON");
    let alive = |row: &&Value| row["status"] == "alive" && row["name"] == "twin";
    let rows = members["members"].as_array().expect("a list");
    assert_eq!(
        rows.iter().filter(alive).count(),
        1,
        "the first one keeps the name: {members}"
    );
    first.end();
}

#[test]
fn the_unit_for_systemd_starts_a_node() {
    let unit =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/how-to/shoal.service");
    let unit = std::fs::read_to_string(unit).expect("the unit is there");
    let place = Place::new("n", "");
    let file = place.file().display().to_string();
    let mut ran = 0;
    for line in unit.lines().filter(|line| line.starts_with("Exec")) {
        let (_, command) = line.split_once('=').expect("a key has a value");
        let Some(arguments) = command.strip_prefix("/usr/local/bin/shoal ") else {
            assert_eq!(command, "/bin/kill -HUP $MAINPID");
            continue;
        };
        let arguments = arguments.replace("/etc/shoal/shoal.toml", &file);
        // A node would run on; its flags are those of `config show`.
        let arguments: Vec<&str> = match arguments.strip_prefix("node ") {
            Some(flags) => ["config", "show"]
                .into_iter()
                .chain(flags.split(' '))
                .collect(),
            None => arguments.split(' ').collect(),
        };
        let (code, _, err) = run(&mut bare(&arguments));
        assert_eq!(code, Some(0), "{line}: {err}");
        ran += 1;
    }
    assert_eq!(ran, 3, "it checks, starts and reloads: {unit}");

    let copy = place.data().with_file_name("shoal.service");
    std::fs::write(
        &copy,
        unit.replace("/usr/local/bin/shoal", crate::process::SHOAL),
    )
    .expect("it can be written");
    let verified = std::process::Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output();
    match verified {
        Ok(verified) => {
            let said = String::from_utf8_lossy(&verified.stderr);
            assert!(
                verified.status.success() && !said.contains("shoal.service"),
                "{said}"
            );
        }
        Err(why) => eprintln!("systemd-analyze was left out: {why}"),
    }
}
