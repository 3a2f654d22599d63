//! The border as a client sees it: recorded exchanges with a real Mesos, its rules, and bad input.

mod agents;
mod exchanges;
mod golden;
mod hostile;
mod launches;
mod listings;
mod operations;
mod recorded;
mod rules;
mod subscriptions;
mod written;

use serde::Deserialize;
use serde_json::Value;

/// One recorded request and what Mesos answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Exchange {
    /// The name of the recording.
    pub name: String,
    /// `POST`, mostly.
    pub method: String,
    /// The header of that name.
    pub content_type: Option<String>,
    /// The header of that name.
    pub accept: Option<String>,
    /// The header `Mesos-Stream-Id`.
    pub stream: Option<String>,
    /// As sent.
    pub body: String,
    /// Of the answer.
    pub status: u16,
    /// The body of the answer, or the message of the ERROR event that is all of its stream.
    pub text: String,
}

/// All recorded exchanges of the scheduler API, in their order.
pub fn exchanges() -> Vec<Exchange> {
    let lines = include_str!("../golden/calls.jsonl").lines();
    lines
        .map(|line| serde_json::from_str(line).expect("the file holds exchanges"))
        .collect()
}

/// Recorded events of the scheduler API, one a line.
pub fn events() -> impl Iterator<Item = &'static str> {
    include_str!("../golden/events.jsonl").lines()
}

/// JSON with every number as a double, so that `4` and `4.0` are the same.
pub fn comparable(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"));
    make_doubles(&mut value);
    value
}

fn make_doubles(value: &mut Value) {
    match value {
        Value::Number(number) => {
            *value = Value::from(number.as_f64().expect("a number is a double"));
        }
        Value::Array(items) => items.iter_mut().for_each(make_doubles),
        Value::Object(fields) => fields.values_mut().for_each(make_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
