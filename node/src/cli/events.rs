//! `shoal events`: the ledger's changes, as lines for people or as lines of JSON.

use std::time::Instant;

use serde_json::Value;

use super::client::{Client, encode};
use super::exit::{Exit, Failure};
use super::flags::{EventsFlags, OutputForm};
use super::output::{calendar, print_line, printable};
use super::stream::Sent;
use crate::limits;

/// What comes first in a line for people; the rest follows by name.
const FIRST: &[&str] = &["framework", "task", "state", "agent"];
/// What a line begins with anyway.
const HEAD: &[&str] = &["id", "index", "time", "type"];

/// `shoal events`.
///
/// # Errors
/// What the API says; with `--follow` also that no master came back.
pub fn events(client: &Client, form: OutputForm, flags: &EventsFlags) -> Result<(), Failure> {
    let path = path(flags);
    let mut seen: Option<String> = None;
    let mut broken: Option<Instant> = None;
    let mut connected = false;
    loop {
        let mut stream = match client.follow(&path, seen.as_deref()) {
            Ok(stream) => stream,
            Err(failure) if connected && failure.exit == Exit::NoMaster && bears(&mut broken) => {
                std::thread::sleep(limits::CLIENT_POLL_MAX);
                continue;
            }
            Err(failure) => return Err(failure),
        };
        connected = flags.follow;
        loop {
            match stream.next_event() {
                Ok(Some(sent)) => {
                    broken = None;
                    if sent.kind == "gap" {
                        return Err(gap(&sent));
                    }
                    if !print(form, &sent)? {
                        return Ok(());
                    }
                }
                Ok(None) if !flags.follow => return Ok(()),
                Ok(None) => break,
                Err(error) if !flags.follow => {
                    let error = format!("the stream of events broke: {error}");
                    return Err(Failure::new(Exit::Failed, error, "ask again"));
                }
                Err(_) => break,
            }
        }
        seen = stream.seen.or(seen);
        if !bears(&mut broken) {
            let error = "the stream of events broke again and again";
            return Err(Failure::new(
                Exit::NoMaster,
                error,
                "`shoal members` shows the masters",
            ));
        }
        std::thread::sleep(limits::CLIENT_POLL_MIN);
    }
}

/// Whether a broken stream is opened again: a cluster that changes its leader is not given up on.
fn bears(broken: &mut Option<Instant>) -> bool {
    let since = *broken.get_or_insert_with(Instant::now);
    since.elapsed() < limits::CLIENT_PATIENCE
}

fn gap(sent: &Sent) -> Failure {
    let data: Value = serde_json::from_str(&sent.data).unwrap_or_default();
    let oldest = data["oldest"].as_str().unwrap_or("oldest");
    Failure::new(
        Exit::Failed,
        "events were missed: the master does not keep them for so long",
        format!("go on with --from {oldest}"),
    )
}

fn path(flags: &EventsFlags) -> String {
    let from = match (&flags.from, flags.follow) {
        (Some(from), _) => from,
        (None, true) => "now",
        (None, false) => "oldest",
    };
    let mut path = format!(
        "/shoal/v1/events?from={}&follow={}",
        encode(from),
        flags.follow
    );
    if !flags.kinds.is_empty() {
        path += &format!("&type={}", encode(&flags.kinds.join(",")));
    }
    let filters = [
        ("task", &flags.task),
        ("agent", &flags.agent),
        ("framework", &flags.framework),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            path += &format!("&{name}={}", encode(value));
        }
    }
    path
}

fn print(form: OutputForm, sent: &Sent) -> Result<bool, Failure> {
    match form {
        OutputForm::Json => print_line(&sent.data),
        OutputForm::Table => print_line(&line(&sent.data)),
    }
}

/// One event on one line.
fn line(data: &str) -> String {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let time = calendar(event["time"].as_f64());
    let text = |key: &str| event[key].as_str().unwrap_or("?");
    let time = if time.is_empty() { "-" } else { &time };
    let mut line = format!("{time:<24} {:<9} {:<22}", text("id"), text("type"));
    let mut add = |key: &str, value: &Value| {
        let value = match value {
            Value::Null => return,
            Value::String(text) => text.clone(),
            Value::Array(items) => {
                let texts = items.iter().map(|item| match item {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                texts.collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        if !value.is_empty() {
            line += &format!(" {key}={}", printable(&value));
        }
    };
    for key in FIRST {
        add(key, &event[*key]);
    }
    for (key, value) in event.as_object().into_iter().flatten() {
        if !FIRST.contains(&key.as_str()) && !HEAD.contains(&key.as_str()) {
            add(key, value);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_matters_first() {
        let data = r#"{"agent":"a-S1","exit":null,"id":"7.0","index":7,"message":"","offers":["x","y"],
            "state":"TASK_RUNNING\u001b","task":"t","time":1.5,"type":"task_status"}"#;
        assert_eq!(
            line(data),
            "1970-01-01T00:00:01.500Z 7.0       task_status            \
             task=t state=TASK_RUNNING? agent=a-S1 offers=x,y"
        );
        assert!(line("nonsense").starts_with("- "));
    }
}
