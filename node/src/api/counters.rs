//! One handle per endpoint and class of status, so that counting costs no look-up of strings.

use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram};

use super::route::Endpoint;
use crate::metrics::{catalogue, counter, histogram};

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

struct OfEndpoint {
    label: &'static str,
    requests: [Counter; 4],
    seconds: Histogram,
}

/// All of them.
pub struct Counters(Vec<OfEndpoint>);

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Counters")
    }
}

impl Counters {
    /// Looks every handle up once.
    pub fn new() -> Counters {
        let of = |label: &&'static str| OfEndpoint {
            label,
            requests: CLASSES.map(|class| counter(&catalogue::HTTP_REQUESTS, &[label, class])),
            seconds: histogram(&catalogue::HTTP_SECONDS, &[label]),
        };
        Counters(Endpoint::LABELS.iter().map(of).collect())
    }

    /// Counts one answer.
    pub fn count(&self, label: &'static str, status: StatusCode, took: Duration) {
        let of = self.0.iter().find(|of| of.label == label);
        let of = of.expect("every label is listed");
        let class = usize::from(status.as_u16() / 100).clamp(2, 5) - 2;
        of.requests[class].increment(1);
        of.seconds.record(took.as_secs_f64());
    }
}
