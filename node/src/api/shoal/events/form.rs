//! How an event looks: a JSON object, and the same as a server-sent event.
//!
//! Source of the latter: the HTML standard's "Server-sent events".

use std::time::Duration;

use serde_json::{Map, Value, json};
use shoal_api::{Role, Source, TaskKey, TaskState};
use shoal_master::{Event, KilledBy, Position, Reported, What};
use shoal_offers::{DisconnectCause, RemovalCause, RescindCause};

use crate::api::shoal::lists;

/// One event as JSON; every kind has `id`, `index`, `time` and `type`.
pub fn object(at: Position, event: &Event) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("id", json!(at.to_string()));
    put("index", json!(at.index.0));
    put("time", json!(event.wall.map(|wall| wall.as_seconds())));
    put("type", json!(event.what.name()));
    if let Value::Object(details) = details(&event.what) {
        object.extend(details);
    }
    Value::Object(object)
}

fn details(what: &What) -> Value {
    match what {
        What::ClusterFounded | What::MastersChanged => json!({}),
        What::LeaderElected { term } => json!({ "term": term.0 }),
        What::QuorumChanged { voters, learners } => json!({
            "voters": ids(voters),
            "learners": ids(learners),
        }),
        What::MasterRestarted { node } => json!({ "node": node.to_string() }),
        What::AgentConnected { agent, master } => {
            json!({ "agent": agent.to_string(), "master": master.to_string() })
        }
        What::AgentDisconnected { agent, restarting } => {
            json!({ "agent": agent.to_string(), "restarting": seconds(restarting) })
        }
        What::AgentUnreachable { agent } => json!({ "agent": agent.to_string() }),
        What::FrameworkSubscribed {
            framework,
            name,
            holder,
        } => {
            json!({ "framework": framework.as_str(), "name": &**name, "master": holder.to_string() })
        }
        What::FrameworkDisconnected { framework, cause } => {
            json!({ "framework": framework.as_str(), "cause": disconnect(*cause) })
        }
        What::FrameworkRemoved { framework, cause } => {
            json!({ "framework": framework.as_str(), "cause": removal(cause) })
        }
        What::FrameworkSuppressed { framework, roles }
        | What::FrameworkRevived { framework, roles } => {
            json!({ "framework": framework.as_str(), "roles": names(roles) })
        }
        What::RunCreated { run, name, count } => {
            json!({ "run": run.0, "name": &**name, "count": count })
        }
        What::RunKillOrdered { run } => json!({ "run": run.0 }),
        What::OfferMade(_)
        | What::OffersAccepted { .. }
        | What::OffersDeclined { .. }
        | What::OfferRescinded { .. }
        | What::TaskLaunched { .. }
        | What::TaskRefused { .. }
        | What::TaskStatus { .. }
        | What::TaskAcknowledged { .. }
        | What::TaskKillOrdered { .. } => of_offers_and_tasks(what),
    }
}

fn of_offers_and_tasks(what: &What) -> Value {
    let mut value = match what {
        What::OfferMade(offer) => json!({
            "offer": offer.id.to_string(),
            "role": offer.role.as_str(),
            "resources": offer.resources.to_string(),
        }),
        What::OffersAccepted {
            offers,
            launched,
            refused,
            ..
        } => {
            json!({ "offers": ids(offers), "launched": launched, "refused": refused })
        }
        What::OffersDeclined { offers, refuse, .. } => {
            json!({ "offers": ids(offers), "refuse_seconds": refuse.as_secs_f64() })
        }
        What::OfferRescinded { offer, cause, .. } => {
            json!({ "offer": offer.to_string(), "cause": rescind(*cause) })
        }
        What::TaskLaunched { task, offers, .. } => {
            json!({ "launch": task.launch.to_string(), "offers": ids(offers) })
        }
        What::TaskRefused {
            state,
            reason,
            message,
            ..
        } => json!({
            "state": state.as_str(),
            "reason": reason.map(|reason| reason.as_str()),
            "message": &**message,
        }),
        What::TaskStatus {
            task,
            state,
            report,
            ..
        } => status(task, *state, report.as_deref()),
        What::TaskAcknowledged { update, .. } => {
            json!({ "update": update.to_string() })
        }
        What::TaskKillOrdered {
            task, by, grace, ..
        } => {
            json!({ "launch": task.launch.to_string(), "by": killer(*by), "grace": seconds(grace) })
        }
        What::LeaderElected { .. }
        | What::QuorumChanged { .. }
        | What::ClusterFounded
        | What::MastersChanged
        | What::MasterRestarted { .. }
        | What::AgentConnected { .. }
        | What::AgentDisconnected { .. }
        | What::AgentUnreachable { .. }
        | What::FrameworkSubscribed { .. }
        | What::FrameworkDisconnected { .. }
        | What::FrameworkRemoved { .. }
        | What::FrameworkSuppressed { .. }
        | What::FrameworkRevived { .. }
        | What::RunCreated { .. }
        | What::RunKillOrdered { .. } => json!({}),
    };
    put_subject(what, &mut value);
    value
}

/// Whom and what it is about.
fn put_subject(what: &What, value: &mut Value) {
    value["framework"] = json!(what.framework().map(|id| id.as_str()));
    if let Some(task) = what.task() {
        value["task"] = json!(task);
    }
    if let Some(agent) = what.agent() {
        value["agent"] = json!(agent.to_string());
    }
}

fn status(task: &TaskKey, state: TaskState, report: Option<&Reported>) -> Value {
    json!({
        "launch": task.launch.to_string(),
        "state": state.as_str(),
        "source": report.map_or(Source::Master, |report| report.source).as_str(),
        "reason": report.and_then(|report| report.reason).map(|reason| reason.as_str()),
        "message": report.map_or("", |report| &report.message),
        "reported": report.map(|report| report.timestamp.as_seconds()),
        "update": report.map(|report| report.update.to_string()),
        "exit": report.and_then(|report| report.exit).map_or(Value::Null, lists::exit),
    })
}

fn seconds(duration: &Option<Duration>) -> Option<f64> {
    duration.as_ref().map(Duration::as_secs_f64)
}

fn names(roles: &[Role]) -> Vec<&str> {
    roles.iter().map(Role::as_str).collect()
}

fn ids<T: ToString>(ids: &[T]) -> Vec<String> {
    ids.iter().map(T::to_string).collect()
}

fn disconnect(cause: DisconnectCause) -> &'static str {
    match cause {
        DisconnectCause::StreamClosed => "stream_closed",
        DisconnectCause::HolderDied => "master_died",
    }
}

fn removal(cause: &RemovalCause) -> &'static str {
    match cause {
        RemovalCause::Teardown { .. } => "teardown",
        RemovalCause::FailoverTimeout { .. } => "failover_timeout",
        RemovalCause::Operator => "operator",
    }
}

fn rescind(cause: Option<RescindCause>) -> &'static str {
    match cause {
        Some(RescindCause::Timeout) => "timeout",
        Some(RescindCause::Wanted) => "wanted",
        None => "agent",
    }
}

fn killer(by: KilledBy) -> &'static str {
    match by {
        KilledBy::Framework => "framework",
        KilledBy::Operator => "operator",
        KilledBy::Run => "run",
        KilledBy::Removal => "framework_removal",
    }
}

/// One event for a client of server-sent events.
pub fn sent(at: Position, event: &Event, out: &mut Vec<u8>) {
    let head = format!("id: {at}\nevent: {}\ndata: ", event.what.name());
    out.extend_from_slice(head.as_bytes());
    serde_json::to_writer(&mut *out, &object(at, event)).expect("a JSON value has a text");
    out.extend_from_slice(b"\n\n");
}

/// The first words of a stream, with the position that it begins after.
pub fn opening(at: Position) -> String {
    format!(
        ": events of the ledger\nretry: 1000\nid: {}\n\n",
        before(at)
    )
}

/// A sign of life that moves the client's position on though nothing is dispatched.
pub fn heartbeat(at: Position) -> String {
    format!(": heartbeat\nid: {}\n\n", before(at))
}

/// What a client that goes on at a position has seen.
fn before(at: Position) -> String {
    match at.number.checked_sub(1) {
        Some(number) => Position { number, ..at }.to_string(),
        None => at.index.0.saturating_sub(1).to_string(),
    }
}

/// The end of a stream whose client fell behind what is kept.
pub fn gap(asked: Position, oldest: Position) -> String {
    let data = json!({
        "type": "gap",
        "asked": asked.to_string(),
        "oldest": oldest.to_string(),
        "hint": "events were missed: read the lists again, then go on from the oldest",
    });
    format!("event: gap\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use shoal_api::{AgentId, FrameworkId, Index, LaunchIndex, Origin, RaftId, TaskId};

    use super::*;

    #[test]
    fn ids_of_64_bits_are_texts() {
        let agent = AgentId {
            origin: Origin(1),
            number: 1,
        };
        let task = TaskKey {
            framework: FrameworkId::new("f").unwrap(),
            task: TaskId::new("t").unwrap(),
            launch: LaunchIndex(u64::MAX),
        };
        let at = Position {
            index: Index(7),
            number: 0,
        };
        let shown = |what| object(at, &Event { wall: None, what });
        let launched = shown(What::TaskLaunched {
            task,
            agent,
            offers: Vec::new().into(),
        });
        assert_eq!(launched["launch"], u64::MAX.to_string());
        let changed = shown(What::QuorumChanged {
            voters: vec![RaftId(u64::MAX)],
            learners: vec![RaftId(u64::MAX - 1)],
        });
        assert_eq!(changed["voters"][0], u64::MAX.to_string());
        assert_eq!(changed["learners"][0], (u64::MAX - 1).to_string());
    }
}
