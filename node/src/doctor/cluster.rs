//! The cluster around the node: its API, the members, their clocks, the quorum.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use shoal_api::agent::HostPort;
use shoal_disk::DataDirectory;

use super::data::Running;
use super::{Finding, note, ok, some, wrong};
use crate::cli::client::Client;
use crate::cli::flags::parse_host_port;
use crate::config::NodeConfig;
use crate::limits::{DOCTOR_ANSWER, DOCTOR_CLOCK_SECONDS, DOCTOR_CLOCKS};

/// Asks the node itself if it runs, and otherwise the first of the others that answers.
pub fn look(
    config: &NodeConfig,
    running: Option<Running>,
    others: &[HostPort],
    findings: &mut Vec<Finding>,
) {
    let own = std::slice::from_ref(&config.http.advertise);
    let asked = if running.is_some() { own } else { others };
    let mut why = Vec::new();
    let answer = asked.iter().find_map(|address| {
        let answer = Client::impatient(address.clone(), DOCTOR_ANSWER).get("/shoal/v1/members");
        answer.map_err(|failure| why.push(failure.error)).ok()
    });
    let members = match (answer, running) {
        (Some(answer), _) => members(&answer),
        (None, Some(_)) => {
            findings.push(wrong(
                "api",
                format!(
                    "the node runs and its API does not answer: {}",
                    why.join("; ")
                ),
                "its log says what it waits for; restart it if it says nothing",
            ));
            return;
        }
        (None, None) => {
            findings.push(note(
                "cluster",
                "no master was reached: names, clocks and quorum were not looked at",
                "name one by --addr HOST:PORT",
            ));
            return;
        }
    };
    if running.is_some() {
        findings.push(ok("api", format!("{} answers", config.http.advertise)));
    }
    let id = DataDirectory::look(&config.data).ok().flatten();
    let id = id.map(|identity| identity.node.to_string());
    names(config, id.as_deref(), &members, findings);
    gossip(config, id.as_deref(), running, &members, findings);
    quorum(&members, findings);
    clocks(id.as_deref(), &members, findings);
}

/// A member as the API tells of it.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    id: String,
    status: String,
    master: bool,
    http: Option<HostPort>,
}

fn members(document: &Value) -> Vec<Member> {
    let rows = document["members"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let member = |row: &Value| Member {
        name: text(&row["name"]),
        id: text(&row["id"]),
        status: text(&row["status"]),
        master: text(&row["tags"]["roles"])
            .split(',')
            .any(|role| role == "master"),
        http: parse_host_port(&text(&row["tags"]["http"])).ok(),
    };
    rows.iter().map(member).collect()
}

impl Member {
    fn lives(&self) -> bool {
        self.status == "alive"
    }

    fn is(&self, id: Option<&str>) -> bool {
        id == Some(self.id.as_str())
    }
}

fn names(config: &NodeConfig, id: Option<&str>, members: &[Member], findings: &mut Vec<Finding>) {
    let name = config.name.as_str();
    let twin = members
        .iter()
        .find(|member| member.lives() && member.name == name && !member.is(id));
    findings.push(match twin {
        Some(twin) => wrong(
            "name",
            format!("another living node, {}, has the name {name}", twin.id),
            "choose another by --name",
        ),
        None => ok("name", format!("{name} is this node's alone")),
    });
}

fn gossip(
    config: &NodeConfig,
    id: Option<&str>,
    running: Option<Running>,
    members: &[Member],
    findings: &mut Vec<Finding>,
) {
    let alive = members.iter().filter(|member| member.lives());
    let (alive, others) = alive.fold((0, 0), |(all, others), member| {
        (all + 1, others + usize::from(!member.is(id)))
    });
    if running.is_some() && others == 0 && !config.join.is_empty() {
        let seeds: Vec<String> = config.join.iter().map(HostPort::to_string).collect();
        findings.push(wrong(
            "gossip",
            format!(
                "this node sees no other, and none of {} answers",
                some(&seeds)
            ),
            "do nodes gossip there, with the same cluster label, and does UDP pass both ways?",
        ));
        return;
    }
    let gone = members.iter().filter(|member| member.status == "failed");
    let gone: Vec<&str> = gone.map(|member| member.name.as_str()).collect();
    findings.push(match gone.is_empty() {
        true => ok("gossip", format!("{alive} members are alive")),
        false => note(
            "gossip",
            format!("{alive} members are alive, failed: {}", some(&gone)),
            "start those again; nobody has to act if they are gone for good",
        ),
    });
}

fn quorum(members: &[Member], findings: &mut Vec<Finding>) {
    let masters = members
        .iter()
        .filter(|member| member.lives() && member.master);
    let masters: Vec<&HostPort> = masters.filter_map(|member| member.http.as_ref()).collect();
    let mut why = Vec::new();
    let found = masters.iter().find_map(|master| {
        let client = Client::impatient((*master).clone(), DOCTOR_ANSWER);
        let both = client.get("/shoal/v1/leader").and_then(|leader| {
            let quorum = client.get("/shoal/v1/quorum")?;
            Ok((leader, quorum))
        });
        let failed =
            |failure: crate::cli::Failure| why.push(format!("{master}: {}", failure.error));
        both.map_err(failed).ok()
    });
    let Some((leader, quorum)) = found else {
        findings.push(match masters.is_empty() {
            true => wrong(
                "quorum",
                "no living member is a master",
                "start the masters, or join them",
            ),
            false => wrong(
                "quorum",
                format!("none of {} masters leads: {}", masters.len(), some(&why)),
                "most voters must live and reach each other at their peer ports",
            ),
        });
        return;
    };
    let rows = quorum["masters"].as_array().map_or(&[][..], Vec::as_slice);
    let voters = rows.iter().filter(|row| row["voter"] == true);
    let (mut count, mut away) = (0, Vec::new());
    for voter in voters {
        count += 1;
        if voter["status"] != "alive" {
            away.push(voter["name"].as_str().unwrap_or("a nameless one"));
        }
    }
    let leads = leader["name"].as_str().unwrap_or_default();
    findings.push(match away.is_empty() {
        true => ok(
            "quorum",
            format!("{leads} leads, all {count} voters are alive"),
        ),
        false => wrong(
            "quorum",
            format!(
                "{leads} leads, of {count} voters these are away: {}",
                some(&away)
            ),
            "start them again, or take one that is gone for good out by `shoal quorum remove`",
        ),
    });
}

/// Compares clocks: what another one shows, less what this one shows in the middle of the question.
fn clocks(id: Option<&str>, members: &[Member], findings: &mut Vec<Finding>) {
    let others = members
        .iter()
        .filter(|member| member.lives() && !member.is(id));
    let asked: Vec<(&str, &HostPort)> = others
        .filter_map(|member| Some((member.name.as_str(), member.http.as_ref()?)))
        .take(DOCTOR_CLOCKS)
        .collect();
    let told: Vec<(&str, Offset)> = thread::scope(|scope| {
        let threads: Vec<_> = asked
            .iter()
            .map(|(name, http)| (*name, scope.spawn(|| offset(http))))
            .collect();
        let told = threads.into_iter().map(|(name, thread)| {
            let offset = thread.join().expect("asking for a clock does not panic");
            Some((name, offset?))
        });
        told.flatten().collect()
    });
    let off: Vec<String> = told
        .iter()
        .filter(|(_, offset)| offset.is_certain())
        .map(|(name, offset)| format!("{name} is {:+.1} s off", offset.seconds))
        .collect();
    let worst = told.iter().map(|(_, offset)| offset.seconds.abs());
    let worst = worst.fold(0.0, f64::max);
    findings.push(match (told.len(), off.is_empty()) {
        (0, _) => note("clock", "no other member told its time", ""),
        (count, true) => ok("clock", format!("within {worst:.3} s of {count} members")),
        (count, false) if off.len() * 2 > count => wrong(
            "clock",
            format!(
                "differs from {} of {count} members: {}",
                off.len(),
                some(&off)
            ),
            "most differ, so it is this clock: let chrony or systemd-timesyncd keep it",
        ),
        (_, false) => note(
            "clock",
            format!("agrees with most, but {}", some(&off)),
            "let chrony or systemd-timesyncd keep those clocks",
        ),
    });
}

/// How far another clock is ahead of this one.
#[derive(Clone, Copy, Debug)]
struct Offset {
    seconds: f64,
    /// Half of the time that the question took.
    doubt: f64,
}

impl Offset {
    fn is_certain(&self) -> bool {
        self.seconds.abs() - self.doubt > DOCTOR_CLOCK_SECONDS
    }
}

fn offset(http: &HostPort) -> Option<Offset> {
    let now = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0.0, |since| since.as_secs_f64())
    };
    let before = now();
    let client = Client::impatient(http.clone(), DOCTOR_ANSWER);
    // The status keeps the answer short.
    let answer = client.get("/shoal/v1/members?status=leaving").ok()?;
    let after = now();
    Some(Offset {
        seconds: answer["time"].as_f64()? - before.midpoint(after),
        doubt: (after - before) / 2.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let offset = |seconds, doubt| Offset { seconds, doubt };
        assert!(offset(-1.5, 0.1).is_certain());
        assert!(!offset(1.5, 0.9).is_certain());
    }

    #[test]
    fn a_twin_is_told() {
        let document = json!({"members": [
            {"name": "n", "id": "1", "status": "alive", "tags": {"roles": "master,agent", "http": "a:1"}},
            {"name": "n", "id": "2", "status": "failed", "tags": {}},
        ]});
        let members = members(&document);
        assert!(members[0].master && members[0].http.is_some() && !members[1].master);
        let flags = crate::config::flags::NodeFlags::of(&["--config=", "--name", "n"]);
        let config = NodeConfig::of(crate::config::load(&flags).unwrap().settings).unwrap();
        let told = |id| {
            let mut findings = Vec::new();
            names(&config, id, &members, &mut findings);
            findings[0].status
        };
        assert_eq!(told(Some("1")), super::super::Status::Ok);
        assert_eq!(told(Some("3")), super::super::Status::Wrong);
        assert_eq!(told(None), super::super::Status::Wrong);
    }
}
