//! Log lines for programs: one JSON object each, with names that stay.
//!
//! `time` (RFC 3339, UTC), `level` (error, warn, info, debug, trace), `target` (the module),
//! `message`, and `fields`, an object with whatever else the line tells. Nothing else than such
//! lines goes to standard error, a panic and the last word of a failed node included.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes events as lines.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut told = Told::default();
        event.record(&mut told);
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_lowercase();
        writeln!(
            writer,
            "{{\"time\":{},\"level\":{},\"target\":{},\"message\":{},\"fields\":{}}}",
            Value::from(time),
            Value::from(level),
            Value::from(metadata.target()),
            Value::from(told.message),
            Value::Object(told.fields)
        )
    }
}

/// What an event tells.
#[derive(Debug, Default)]
struct Told {
    message: String,
    fields: Map<String, Value>,
}

impl Told {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => {
                let name = name.strip_prefix("r#").unwrap_or(name);
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Told {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::from(format!("{value:?}")));
    }
}

/// Makes a line of every panic from here on.
pub(super) fn take_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(
            target: "panic",
            place = place.as_deref().unwrap_or_default(),
            thread,
            "{message}"
        );
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_event_is_one_line_with_the_same_names() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Lines)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(
                count = 3_u64,
                ratio = f64::NAN,
                on = true,
                "a \"quoted\"\nline"
            );
            tracing::warn!(target: "t", text = "x", debug = ?Some(1), r#type = %"u\u{1b}");
            tracing::error!(message = 5_u64);
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}")))
            .collect();
        assert_eq!(lines.len(), 3);
        for line in &lines {
            let names: Vec<&String> = line.as_object().unwrap().keys().collect();
            assert_eq!(names, ["fields", "level", "message", "target", "time"]);
            let time = line["time"].as_str().unwrap();
            assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        }
        assert_eq!(lines[0]["message"], "a \"quoted\"\nline");
        assert_eq!(lines[0]["fields"]["count"], 3);
        assert_eq!(lines[0]["fields"]["ratio"], Value::Null);
        assert_eq!(lines[1]["level"], "warn");
        assert_eq!(lines[1]["target"], "t");
        assert_eq!(lines[1]["fields"]["type"], "u\u{1b}");
        assert_eq!(lines[2]["fields"]["message"], 5);
    }
}
