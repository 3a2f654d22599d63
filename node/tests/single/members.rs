//! Plain members as real processes: found by tags, told and asked, with scripts written for Serf,
//! that leave, fail, and come back.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{PATIENCE, Place, run};

/// A script as one writes it for Serf: everything that it is given, on one line of a file.
const SCRIPT: &str = r#"
line=$(tr '\n' '#')
echo "$SERF_EVENT $SERF_SELF_NAME $SERF_TAG_DB $SERF_USER_EVENT$SERF_QUERY_NAME $line" >> "$1"
if [ "$SERF_EVENT" = query ]; then echo "load of $SERF_SELF_NAME"; fi
"#;

struct Member {
    place: Place,
}

impl Member {
    fn new(name: &str, more: &str) -> Member {
        Member {
            place: Place::new(name, &format!("cluster = \"members-test\"\n{more}")),
        }
    }

    fn gossip(&self) -> String {
        format!("{}:7946", self.place.ip)
    }

    fn ask(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run(self
            .place
            .shoal(arguments)
            .env("SHOAL_ADDR", self.place.http()))
    }

    fn shoal(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.ask(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
        out
    }

    fn refused(&self, arguments: &[&str], words: &str) {
        let (code, out, err) = self.ask(arguments);
        assert!(
            code != Some(0) && err.contains(words),
            "{arguments:?}: {out}{err}"
        );
    }

    /// Waits until this member sees another one so.
    fn sees(&self, name: &str, status: &str) -> Value {
        until(&format!("{name} is {status}"), || {
            let list = self.shoal(&["members", "--name", name, "-o", "json"]);
            let list: Value = serde_json::from_str(&list).expect("JSON");
            let member = list["members"].get(0)?.clone();
            (member["status"] == status).then_some(member)
        })
    }
}

fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

#[test]
fn members_are_found_told_asked_and_come_back() {
    let one = Member::new("one", "");
    let script = one.place.file().with_file_name("handler.sh");
    let heard = one.place.file().with_file_name("heard");
    fs::write(&script, SCRIPT).expect("it is written");
    let two = Member::new(
        "two",
        &format!(
            "join = [\"{}\"]\ntags = [\"db=mongo\"]\n\
             event_handlers = [\"member-join,user:deploy,query:load=sh {} {}\"]\n",
            one.gossip(),
            script.display(),
            heard.display()
        ),
    );
    let _one = one.place.start().started();
    let mut process = two.place.start().started();
    one.sees("two", "alive");

    let found = one.shoal(&[
        "members", "--tag", "db=mon.*", "--role", "member", "-o", "json",
    ]);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(
        found["members"].as_array().map(Vec::len),
        Some(1),
        "{found}"
    );
    assert_eq!(found["members"][0]["tags"]["db"], "mongo");

    one.shoal(&["event", "deploy", "1.4"]);
    one.shoal(&["event", "other", "unheard"]);
    let answer = one.shoal(&["query", "--tag", "db=mongo", "load", "now", "-o", "json"]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["answers"][0]["payload"], "load of two\n", "{answer}");
    assert_eq!(answer["acks"][0], "two");
    until("the script heard all", || {
        let heard = fs::read_to_string(&heard).unwrap_or_default();
        let mut lines = heard.lines();
        let joined =
            lines.any(|line| line.starts_with("member-join two mongo") && line.contains("one\t"));
        let told = heard.contains("user two mongo deploy 1.4#\n");
        let asked = heard.contains("query two mongo load now#\n");
        assert!(!heard.contains("unheard"));
        (joined && told && asked).then_some(())
    });
    one.shoal(&["reachability"]);
    until("a coordinate is learned", || {
        let (code, out, _) = one.ask(&["rtt", "two", "-o", "json"]);
        let trip: Value = serde_json::from_str(&out).ok()?;
        (code == Some(0) && trip["rtt_seconds"].as_f64()? < 1.0).then_some(())
    });

    two.shoal(&["tags", "--set", "rack=a", "--delete", "db"]);
    until("new tags are seen", || {
        let tags = one.sees("two", "alive")["tags"].clone();
        (tags["rack"] == "a" && tags["db"].is_null()).then_some(())
    });
    two.refused(&["tags", "--set", "roles=master"], "the node's own");
    two.refused(
        &["tags", "--set", &format!("a={}", "x".repeat(600))],
        "at most 512",
    );
    one.refused(&["event", "big", &"x".repeat(100_000)], "at most 1024");
    one.refused(&["event", "a\u{1b}[31m"], "control character");
    one.refused(&["query", "_shoal_keys"], "among themselves");
    one.refused(&["force-leave", "two"], "only one that failed");

    come_back(&one, &two, &mut process);
}

/// It dies and comes back with no address given; it leaves and does not; it is taken off the list.
fn come_back(one: &Member, two: &Member, process: &mut crate::process::Node) {
    until("it is remembered", || {
        let memory = fs::read_to_string(two.place.data().join("gossip.json")).ok()?;
        memory.contains(&one.gossip()).then_some(())
    });
    process.signal(Signal::KILL);
    process.ended();
    one.sees("two", "failed");
    let alone = two.place.standard("two") + "cluster = \"members-test\"\n";
    two.place.write(&alone);
    *process = two.place.start().started();
    one.sees("two", "alive");

    two.shoal(&["leave"]);
    assert!(process.ended().success());
    one.sees("two", "left");
    *process = two.place.start();
    process.until(&["left for good"]);
    process.until(&["node started"]);
    two.shoal(&["join", &one.gossip()]);
    one.sees("two", "alive");
    process.signal(Signal::KILL);
    process.ended();
    one.sees("two", "failed");
    one.shoal(&["force-leave", "two"]);
    one.sees("two", "left");
    one.shoal(&["force-leave", "--prune", "two"]);
    until("it is forgotten", || {
        let list = one.shoal(&["members", "--name", "two", "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("JSON");
        list["members"].as_array()?.is_empty().then_some(())
    });
}
