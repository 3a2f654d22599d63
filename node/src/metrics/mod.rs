//! Metrics: one catalogue, handles held by whoever counts, one registry that is printed on request.

mod cluster;
mod process;
mod render;

use std::sync::OnceLock;

use metrics::{Counter, Gauge, Histogram};
use prometheus::Registry;

pub use shoal_catalogue as catalogue;

use catalogue::{CATALOGUE, Kind, Metric};

pub use cluster::Cluster;
pub use process::{About, introduce};
pub use render::{Form, render};

/// The registry of this process, with every metric of the catalogue registered.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let registry = Registry::new();
        let recorder = metrics_prometheus::Recorder::builder()
            .with_registry(registry.clone())
            .build();
        for metric in CATALOGUE {
            register(&recorder, metric);
        }
        registry
            .register(Box::new(process::Process::new()))
            .expect("the process' metrics have names of their own");
        metrics::set_global_recorder(recorder).expect("this is the only recorder of the process");
        registry
    })
}

fn register<S>(recorder: &metrics_prometheus::Recorder<S>, metric: &Metric) {
    let options = prometheus::Opts::new(metric.name, metric.help);
    let labels = metric.labels;
    match metric.kind {
        Kind::Counter if labels.is_empty() => {
            recorder.register_metric(prometheus::IntCounter::with_opts(options).expect(metric.name))
        }
        Kind::Counter => recorder
            .register_metric(prometheus::IntCounterVec::new(options, labels).expect(metric.name)),
        Kind::Gauge if labels.is_empty() => {
            recorder.register_metric(prometheus::Gauge::with_opts(options).expect(metric.name));
        }
        Kind::Gauge => {
            recorder.register_metric(prometheus::GaugeVec::new(options, labels).expect(metric.name))
        }
        Kind::Histogram(buckets) => {
            let options = prometheus::HistogramOpts::from(options).buckets(buckets.to_vec());
            if labels.is_empty() {
                let histogram = prometheus::Histogram::with_opts(options).expect(metric.name);
                recorder.register_metric(histogram);
            } else {
                let histogram = prometheus::HistogramVec::new(options, labels).expect(metric.name);
                recorder.register_metric(histogram);
            }
        }
        Kind::Scraped => {}
    }
}

/// The handle of a counter; each value belongs to the label at its place.
pub fn counter(metric: &Metric, values: &[&'static str]) -> Counter {
    registry();
    assert_eq!(metric.kind, Kind::Counter, "{} is no counter", metric.name);
    metrics::with_recorder(|recorder| recorder.register_counter(&key(metric, values), &HERE))
}

/// The handle of a gauge; each value belongs to the label at its place.
pub fn gauge(metric: &Metric, values: &[&'static str]) -> Gauge {
    registry();
    assert_eq!(metric.kind, Kind::Gauge, "{} is no gauge", metric.name);
    metrics::with_recorder(|recorder| recorder.register_gauge(&key(metric, values), &HERE))
}

/// The handle of a histogram; each value belongs to the label at its place.
pub fn histogram(metric: &Metric, values: &[&'static str]) -> Histogram {
    registry();
    assert!(
        matches!(metric.kind, Kind::Histogram(_)),
        "{} is no histogram",
        metric.name
    );
    metrics::with_recorder(|recorder| recorder.register_histogram(&key(metric, values), &HERE))
}

static HERE: metrics::Metadata<'static> =
    metrics::Metadata::new("shoal", metrics::Level::INFO, Some(module_path!()));

fn key(metric: &Metric, values: &[&'static str]) -> metrics::Key {
    assert_eq!(
        metric.labels.len(),
        values.len(),
        "labels of {}",
        metric.name
    );
    let labels = metric.labels.iter().zip(values);
    let labels = labels.map(|(name, value)| metrics::Label::from_static_parts(name, value));
    metrics::Key::from_parts(metric.name, labels.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_registered_and_counts() {
        let ok = counter(&catalogue::HTTP_REQUESTS, &["health", "2xx"]);
        ok.increment(3);
        histogram(&catalogue::HTTP_SECONDS, &["health"]).record(0.004);
        gauge(&catalogue::HTTP_CONNECTIONS, &[]).set(1.0);
        let text = render(registry(), Form::Text);
        assert!(text.contains("shoal_http_requests_total{code=\"2xx\",endpoint=\"health\"} "));
        assert!(text.contains("shoal_http_request_duration_seconds_bucket{endpoint=\"health\""));
        assert!(text.contains("process_resident_memory_bytes"));
    }
}
