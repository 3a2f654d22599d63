//! The commands about members, and what is told and asked among them.

mod stream;

use serde_json::{Value, json};

use super::client::{Client, encode};
use super::exit::{Exit, Failure};
use super::flags::{
    EventFlags, ForceLeaveFlags, JoinFlags, MembersFlags, OutputForm, QueryFlags, RttFlags,
    TagsFlags, WaitFlags,
};
use super::list::confirm;
use super::output::{Column, print_json, print_list, print_text, printable, text_at};

pub use stream::monitor;

/// `shoal members`.
///
/// # Errors
/// What the API says.
pub fn members(client: &Client, form: OutputForm, flags: &MembersFlags) -> Result<(), Failure> {
    let mut conditions = Vec::new();
    for (key, value) in [("status", &flags.status), ("role", &flags.role)] {
        if let Some(value) = value {
            conditions.push(format!("{key}={}", encode(value)));
        }
    }
    for (key, values) in [("name", &flags.name), ("tag", &flags.tag)] {
        let all = values.iter();
        conditions.extend(all.map(|value| format!("{key}={}", encode(value))));
    }
    let mut path = "/shoal/v1/members".to_owned();
    if !conditions.is_empty() {
        path = format!("{path}?{}", conditions.join("&"));
    }
    let mut columns = vec![
        column("NAME", |row| text_at(row, "/name")),
        column("ADDR", |row| text_at(row, "/addr")),
        column("STATUS", |row| text_at(row, "/status")),
        column("ROLES", |row| text_at(row, "/tags/roles")),
        column("GENERATION", |row| text_at(row, "/generation")),
        column("ID", |row| text_at(row, "/id")),
    ];
    if flags.detailed {
        columns.push(column("TAGS", tags_of));
    }
    print_list(form, &client.get(&path)?, "members", &columns)
}

fn column(heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { heading, cell }
}

fn tags_of(row: &Value) -> String {
    let tags = row["tags"].as_object().into_iter().flatten();
    let tags = tags.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    tags.collect::<Vec<_>>().join(",")
}

/// `shoal join`.
///
/// # Errors
/// What the API says.
pub fn join(client: &Client, form: OutputForm, flags: &JoinFlags) -> Result<(), Failure> {
    let body = json!({ "addresses": flags.addresses });
    let document = client.post("/shoal/v1/members/join", &body)?;
    let line = format!("joining through {}\n", flags.addresses.join(", "));
    confirm(form, &document, &line)
}

/// `shoal leave`.
///
/// # Errors
/// What the API says.
pub fn leave(client: &Client, form: OutputForm) -> Result<(), Failure> {
    let document = client.post("/shoal/v1/members/leave", &json!({}))?;
    confirm(form, &document, "the node leaves and ends\n")
}

/// `shoal force-leave`.
///
/// # Errors
/// What the API says.
pub fn force_leave(
    client: &Client,
    form: OutputForm,
    flags: &ForceLeaveFlags,
) -> Result<(), Failure> {
    let body = json!({ "member": flags.member, "prune": flags.prune });
    let document = client.post("/shoal/v1/members/remove", &body)?;
    let how = match flags.prune {
        true => "is forgotten",
        false => "counts as left",
    };
    confirm(
        form,
        &document,
        &format!("{} {how}\n", printable(&flags.member)),
    )
}

/// `shoal tags`.
///
/// # Errors
/// What the API says.
pub fn tags(client: &Client, form: OutputForm, flags: &TagsFlags) -> Result<(), Failure> {
    let set: serde_json::Map<String, Value> = (flags.set.iter())
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    let document = match set.is_empty() && flags.delete.is_empty() {
        true => client.get("/shoal/v1/members/self")?,
        false => {
            let body = json!({ "set": set, "delete": flags.delete });
            client.post("/shoal/v1/members/tags", &body)?
        }
    };
    match form {
        OutputForm::Json => print_json(&document),
        OutputForm::Table => {
            let tags = document["tags"].as_object().into_iter().flatten();
            let lines = tags.map(|(key, value)| {
                let value = value.as_str().unwrap_or_default();
                format!("{}={}\n", printable(key), printable(value))
            });
            print_text(&lines.collect::<String>())
        }
    }
}

/// `shoal event`.
///
/// # Errors
/// What the API says.
pub fn event(client: &Client, form: OutputForm, flags: &EventFlags) -> Result<(), Failure> {
    let body = json!({
        "name": flags.name,
        "payload": flags.payload,
        "coalesce": flags.coalesce,
    });
    let document = client.post("/shoal/v1/members/event", &body)?;
    confirm(
        form,
        &document,
        &format!("told all members {}\n", printable(&flags.name)),
    )
}

/// `shoal query`. Its end is that of no answer if nobody answered.
///
/// # Errors
/// What the API says.
pub fn query(client: &Client, form: OutputForm, flags: &QueryFlags) -> Result<(), Failure> {
    let tags: serde_json::Map<String, Value> = (flags.tag.iter())
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect();
    let mut body = json!({
        "name": flags.name,
        "payload": flags.payload,
        "nodes": flags.node,
        "tags": tags,
        "relay": flags.relay,
    });
    if let Some(timeout) = flags.timeout {
        body["timeout_seconds"] = timeout.as_secs_f64().into();
    }
    let document = client.post("/shoal/v1/members/query", &body)?;
    if form == OutputForm::Json {
        return print_json(&document);
    }
    let none = Vec::new();
    let answers = document["answers"].as_array().unwrap_or(&none);
    let lines = answers.iter().map(|answer| {
        let payload = answer["payload"]
            .as_str()
            .or(answer["payload_base64"].as_str());
        let payload = payload.unwrap_or_default().trim_end_matches('\n');
        let name = printable(&text_at(answer, "/name"));
        let lines = payload.lines().map(printable).collect::<Vec<_>>();
        format!("{name}: {}\n", lines.join("\n    "))
    });
    let text: String = lines.collect();
    let acks = document["acks"].as_array().map_or(0, Vec::len);
    print_text(&format!(
        "{text}{} answers, {acks} of {} members heard of it\n",
        answers.len(),
        text_at(&document, "/asked")
    ))
}

/// `shoal reachability`.
///
/// # Errors
/// What the API says, and [`Exit::Failed`] if a member gave no sign of life.
pub fn reachability(client: &Client, form: OutputForm, flags: &WaitFlags) -> Result<(), Failure> {
    let mut body = json!({});
    if let Some(timeout) = flags.timeout {
        body["timeout_seconds"] = timeout.as_secs_f64().into();
    }
    let document = client.post("/shoal/v1/members/reachability", &body)?;
    let none = Vec::new();
    let silent = document["silent"].as_array().unwrap_or(&none);
    let names: Vec<String> = (silent.iter())
        .map(|row| {
            format!(
                "{} ({})",
                printable(&text_at(row, "/name")),
                text_at(row, "/addr")
            )
        })
        .collect();
    let acks = document["acks"].as_array().map_or(0, Vec::len);
    let line = format!(
        "{acks} of {} members answer\n",
        text_at(&document, "/asked")
    );
    confirm(form, &document, &line)?;
    match names.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Failed,
            format!("no sign of life came from {}", names.join(", ")),
            "they may be down, or datagrams between them and this node are lost; \
             try again with a longer --timeout",
        )),
    }
}

/// `shoal rtt`.
///
/// # Errors
/// What the API says.
pub fn rtt(client: &Client, form: OutputForm, flags: &RttFlags) -> Result<(), Failure> {
    let mut path = format!("/shoal/v1/members/rtt?from={}", encode(&flags.from));
    if let Some(to) = &flags.to {
        path += &format!("&to={}", encode(to));
    }
    let document = client.get(&path)?;
    let trip = document["rtt_seconds"].as_f64().unwrap_or_default();
    let line = format!(
        "{} to {}: {:.3} ms\n",
        printable(&text_at(&document, "/from")),
        printable(&text_at(&document, "/to")),
        trip * 1000.0
    );
    confirm(form, &document, &line)
}

/// `shoal info`.
///
/// # Errors
/// What the API says.
pub fn info(client: &Client, form: OutputForm) -> Result<(), Failure> {
    let document = client.get("/shoal/v1/members/self")?;
    if form == OutputForm::Json {
        return print_json(&document);
    }
    let mut lines = String::new();
    for (label, pointer) in [
        ("name", "/name"),
        ("id", "/id"),
        ("addr", "/addr"),
        ("status", "/status"),
        ("generation", "/generation"),
        ("version", "/version"),
        ("joined", "/joined"),
        ("event time", "/event_time"),
        ("query time", "/query_time"),
        ("broadcasts queued", "/queued/broadcasts"),
    ] {
        lines += &format!("{label:<18}{}\n", printable(&text_at(&document, pointer)));
    }
    for (status, count) in document["members"].as_object().into_iter().flatten() {
        lines += &format!("{:<18}{count}\n", format!("members {status}"));
    }
    lines += &format!("{:<18}{}\n", "tags", printable(&tags_of(&document)));
    print_text(&lines)
}
