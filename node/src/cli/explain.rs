//! `shoal explain`: the life of one task, told for people.

use serde_json::Value;

use super::client::Client;
use super::exit::Failure;
use super::flags::{ExplainFlags, OutputForm};
use super::output::{calendar, print_json, print_text, printable, text_at};
use super::tasks::task_path;

/// `shoal explain`.
///
/// # Errors
/// What the API says.
pub fn explain(client: &Client, form: OutputForm, flags: &ExplainFlags) -> Result<(), Failure> {
    let path = task_path(&flags.task).replacen('?', "/timeline?", 1);
    let document = client.get(&path)?;
    match form {
        OutputForm::Json => print_json(&document),
        OutputForm::Table => print_text(&tell(&document)),
    }
}

fn tell(document: &Value) -> String {
    let at = |pointer: &str| printable(&text_at(document, pointer));
    let mut text = format!(
        "task {} of framework {}: {}\n",
        at("/id"),
        at("/framework"),
        at("/task/state")
    );
    for (label, pointer) in [
        ("agent", "/task/agent_name"),
        ("resources", "/task/resources"),
    ] {
        let value = text_at(document, pointer);
        if !value.is_empty() {
            text += &format!("{label:<10}{}\n", printable(&value));
        }
    }
    text.push('\n');
    let entries = document["timeline"].as_array();
    for entry in entries.into_iter().flatten() {
        let time = calendar(entry["time"].as_f64());
        let index = text_at(entry, "/id");
        text += &format!(
            "{:<24} {:<9} {}\n",
            printable(&time),
            printable(&index),
            printable(&sentence(entry, document))
        );
    }
    let list = |pointer: &str| document[pointer].as_array().cloned().unwrap_or_default();
    let unacknowledged: Vec<String> = list("unacknowledged")
        .iter()
        .filter_map(|state| state.as_str().map(str::to_owned))
        .collect();
    if !unacknowledged.is_empty() {
        let states = unacknowledged.join(", ");
        text += &format!("\nnot acknowledged by its framework: {states}\n");
    }
    text += &waits(&document["waits"]);
    for unknown in list("unknown") {
        text += &format!("\nnot known: {}\n", unknown.as_str().unwrap_or_default());
    }
    text
}

/// Why a task waits.
fn waits(waits: &Value) -> String {
    let count = |key: &str| waits[key].as_u64().unwrap_or_default();
    let Some(resources) = waits["resources"].as_str() else {
        return String::new();
    };
    let why = match (count("agents"), count("large_enough"), count("free_enough")) {
        (0, ..) => "no agent is connected".to_owned(),
        (agents, 0, _) => format!("none of {agents} agents is large enough, ever"),
        (_, large, 0) => {
            format!("{large} agents are large enough, but none has that much free now")
        }
        (.., free) => format!("{free} agents have that much free now: it should start in a moment"),
    };
    format!("\nwaits for {}: {why}\n", printable(resources))
}

/// One entry, as a person would say it.
fn sentence(entry: &Value, document: &Value) -> String {
    let at = |key: &str| text_at(entry, &format!("/{key}"));
    let agent = match text_at(document, "/task/agent_name") {
        name if name.is_empty() => at("agent"),
        name => name,
    };
    match entry["type"].as_str().unwrap_or_default() {
        "run_created" => "its run was created".to_owned(),
        "run_kill_ordered" => "somebody ended its run".to_owned(),
        "offer_made" => format!("offered: {} of agent {}", at("resources"), at("agent")),
        "offers_accepted" => format!(
            "the framework accepted: {} tasks launched, {} refused",
            at("launched"),
            at("refused")
        ),
        "task_launched" => format!("launched on agent {agent}"),
        "task_refused" => format!(
            "refused: {} {} {}",
            at("state"),
            at("reason"),
            at("message")
        ),
        "task_status" => status(entry),
        "task_acknowledged" => format!(
            "the framework acknowledged {}",
            acknowledged(entry, document)
        ),
        "task_kill_ordered" => match at("by") {
            by if by.is_empty() => "somebody ordered its end".to_owned(),
            by => format!("its end was ordered by: {}", by.replace('_', " ")),
        },
        "agent_connected" => format!("agent {agent} opened a session"),
        "agent_disconnected" => {
            format!("agent {agent} lost its session; the task counts as running")
        }
        "agent_unreachable" => format!("agent {agent} stayed away for too long"),
        other => other.replace('_', " "),
    }
}

fn status(entry: &Value) -> String {
    let at = |pointer: &str| text_at(entry, pointer);
    let source = at("/source");
    let source = source.strip_prefix("SOURCE_").unwrap_or(&source);
    let mut text = format!("{}, says the {}", at("/state"), source.to_ascii_lowercase());
    for (label, pointer) in [("exit code", "/exit/code"), ("signal", "/exit/signal")] {
        let value = at(pointer);
        if !value.is_empty() {
            text += &format!(", {label} {value}");
        }
    }
    for detail in [at("/reason"), at("/message")] {
        if !detail.is_empty() {
            text += &format!(": {detail}");
        }
    }
    text
}

/// The state that an acknowledgement is of.
fn acknowledged(entry: &Value, document: &Value) -> String {
    let all = document["timeline"].as_array();
    let of = all
        .into_iter()
        .flatten()
        .find(|other| other["type"] == "task_status" && other["update"] == entry["update"]);
    match of {
        Some(status) => text_at(status, "/state"),
        None => text_at(entry, "/update"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_life_is_told_in_sentences() {
        let document = json!({
            "id": "t", "framework": "f",
            "task": { "state": "TASK_FAILED", "agent_name": "a1" },
            "timeline": [
                { "type": "task_launched", "time": 0.0, "id": "7.1" },
                { "type": "task_status", "time": 1.0, "id": "8.0", "state": "TASK_FAILED",
                  "source": "SOURCE_EXECUTOR", "exit": { "code": 3 }, "message": "x\u{1b}", "update": "u" },
                { "type": "task_acknowledged", "time": 2.0, "id": "9.0", "update": "u" },
            ],
            "unacknowledged": [], "waits": null, "unknown": ["the rest"],
        });
        let told = tell(&document);
        for wanted in [
            "task t of framework f: TASK_FAILED\nagent     a1\n",
            "1970-01-01T00:00:00.000Z 7.1       launched on agent a1\n",
            "8.0       TASK_FAILED, says the executor, exit code 3: x?\n",
            "the framework acknowledged TASK_FAILED\n",
            "\nnot known: the rest\n",
        ] {
            assert!(told.contains(wanted), "{told}");
        }
        let waiting =
            json!({ "resources": "cpus:9", "agents": 2, "large_enough": 0, "free_enough": 0 });
        assert!(waits(&waiting).contains("none of 2 agents is large enough"));
        assert_eq!(waits(&Value::Null), "");
    }
}
