//! The commands that list: the leader, tasks, agents, frameworks.

use serde_json::Value;

use super::client::{Client, encode};
use super::exit::Failure;
use super::flags::{OffersFlags, OutputForm, TasksFlags};
use super::output::{Column, print_json, print_list, print_text, text_at};

/// A column whose cell is the text at a pointer; a list's items are joined by commas.
macro_rules! column {
    ($heading:literal, $pointer:literal) => {
        Column {
            heading: $heading,
            cell: |row| match row.pointer($pointer).and_then(Value::as_array) {
                Some(items) => {
                    let texts = items.iter().filter_map(Value::as_str);
                    texts.collect::<Vec<_>>().join(",")
                }
                None => text_at(row, $pointer),
            },
        }
    };
}

/// `shoal leader`.
///
/// # Errors
/// What the API says.
pub fn leader(client: &Client, form: OutputForm) -> Result<(), Failure> {
    let document = client.get("/shoal/v1/leader")?;
    match form {
        OutputForm::Json => print_json(&document),
        OutputForm::Table => {
            let row = |(label, pointer)| format!("{label:<6}{}\n", text_at(&document, pointer));
            let lines = [
                ("name", "/name"),
                ("id", "/id"),
                ("http", "/http"),
                ("peer", "/peer"),
                ("term", "/term"),
                ("pid", "/pid"),
            ];
            print_text(&lines.into_iter().map(row).collect::<String>())
        }
    }
}

/// `shoal tasks`.
///
/// # Errors
/// What the API says.
pub fn tasks(client: &Client, form: OutputForm, flags: &TasksFlags) -> Result<(), Failure> {
    let all = flags.all.then(|| "true".to_owned());
    let path = filtered(
        "/shoal/v1/tasks",
        &[
            ("all", &all),
            ("framework", &flags.framework),
            ("agent", &flags.agent),
            ("state", &flags.state),
        ],
    );
    let columns = [
        column!("TASK", "/id"),
        Column {
            heading: "STATE",
            cell: |row| match row.pointer("/orphan") {
                Some(Value::Bool(true)) => format!("{} (orphan)", text_at(row, "/state")),
                Some(_) | None => text_at(row, "/state"),
            },
        },
        Column {
            heading: "EXIT",
            cell: exit_of,
        },
        column!("AGENT", "/agent_name"),
        column!("FRAMEWORK", "/framework_name"),
        column!("RESOURCES", "/resources"),
    ];
    print_list(form, &client.get(&path)?, "tasks", &columns)
}

/// `shoal offers`.
///
/// # Errors
/// What the API says.
pub fn offers(client: &Client, form: OutputForm, flags: &OffersFlags) -> Result<(), Failure> {
    let path = filtered(
        "/shoal/v1/offers",
        &[("framework", &flags.framework), ("agent", &flags.agent)],
    );
    let columns = [
        column!("FRAMEWORK", "/framework_name"),
        column!("AGENT", "/agent_name"),
        column!("ROLE", "/role"),
        column!("RESOURCES", "/resources"),
        Column {
            heading: "AGE",
            cell: |row| match row["age_seconds"].as_f64() {
                Some(seconds) => format!("{seconds:.1} s"),
                None => String::new(),
            },
        },
        column!("ID", "/id"),
    ];
    print_list(form, &client.get(&path)?, "offers", &columns)
}

/// A path with those parameters that were given.
pub fn filtered(path: &str, parameters: &[(&str, &Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| {
        let value = value.as_deref()?;
        Some(format!("{name}={}", encode(value)))
    });
    let given: Vec<String> = given.collect();
    match given.is_empty() {
        true => path.to_owned(),
        false => format!("{path}?{}", given.join("&")),
    }
}

fn exit_of(row: &Value) -> String {
    match (text_at(row, "/exit/code"), text_at(row, "/exit/signal")) {
        (code, _) if !code.is_empty() => code,
        (_, signal) if !signal.is_empty() => format!("signal {signal}"),
        _ => String::new(),
    }
}

/// `shoal agents`.
///
/// # Errors
/// What the API says.
pub fn agents(client: &Client, form: OutputForm) -> Result<(), Failure> {
    let columns = [
        column!("NAME", "/name"),
        column!("STATUS", "/status"),
        column!("HTTP", "/http"),
        column!("RESOURCES", "/resources"),
        column!("FREE", "/free"),
        column!("TASKS", "/tasks"),
        column!("ID", "/id"),
    ];
    print_list(form, &client.get("/shoal/v1/agents")?, "agents", &columns)
}

/// `shoal frameworks`.
///
/// # Errors
/// What the API says.
pub fn frameworks(client: &Client, form: OutputForm) -> Result<(), Failure> {
    let columns = [
        column!("NAME", "/name"),
        column!("STATUS", "/status"),
        column!("ROLES", "/roles"),
        column!("TASKS", "/tasks"),
        column!("OFFERS", "/offers"),
        column!("ID", "/id"),
    ];
    let document = client.get("/shoal/v1/frameworks")?;
    print_list(form, &document, "frameworks", &columns)
}

/// Prints what the API said, or one line for people.
pub fn confirm(form: OutputForm, document: &Value, line: &str) -> Result<(), Failure> {
    match form {
        OutputForm::Json => print_json(document),
        OutputForm::Table => print_text(line),
    }
}
