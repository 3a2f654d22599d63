//! The registry as text for Prometheus, and as JSON for clients that expect that of `/metrics`.

use prometheus::proto::{Metric as Sample, MetricType};
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::{Map, Value, json};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The text format of Prometheus.
    Text,
    /// Counters, gauges and histograms as one object each.
    Json,
}

/// Prints everything.
pub fn render(registry: &Registry, form: Form) -> String {
    let families = registry.gather();
    match form {
        Form::Text => {
            let mut text = Vec::new();
            TextEncoder::new()
                .encode(&families, &mut text)
                .expect("a registered metric can be printed");
            String::from_utf8(text).expect("the text format is UTF-8")
        }
        Form::Json => {
            let (mut counters, mut gauges, mut histograms) = (Map::new(), Map::new(), Map::new());
            for family in &families {
                for sample in family.get_metric() {
                    let name = name_with_labels(family.name(), sample);
                    match family.get_field_type() {
                        MetricType::COUNTER => {
                            let count = sample.get_counter().get_value();
                            counters.insert(name, json!({ "count": count }));
                        }
                        MetricType::HISTOGRAM => {
                            let histogram = sample.get_histogram();
                            let count = histogram.get_sample_count();
                            let sum = histogram.get_sample_sum();
                            histograms.insert(name, json!({ "count": count, "sum": sum }));
                        }
                        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => {
                            let value = sample.get_gauge().get_value();
                            gauges.insert(name, json!({ "value": value }));
                        }
                    }
                }
            }
            let document: Value = json!({
                "version": "3.0.0",
                "counters": counters,
                "gauges": gauges,
                "histograms": histograms,
                "meters": {},
                "timers": {},
            });
            document.to_string()
        }
    }
}

fn name_with_labels(name: &str, sample: &Sample) -> String {
    let mut text = name.to_owned();
    for label in sample.get_label() {
        text.push('.');
        text.push_str(label.value());
    }
    text
}
