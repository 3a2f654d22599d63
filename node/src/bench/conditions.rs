//! Under which conditions a figure was measured: the machine, its load, the build.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// What a figure holds for.
#[derive(Clone, Debug)]
pub struct Conditions {
    cores: usize,
    kernel: String,
    load_before: String,
    load_after: String,
    setup: Vec<String>,
}

impl Conditions {
    /// Looks at the machine before a measurement.
    pub fn before() -> Conditions {
        let uname = rustix::system::uname();
        let kernel = format!(
            "{} {}",
            uname.sysname().to_string_lossy(),
            uname.release().to_string_lossy()
        );
        Conditions {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel,
            load_before: load(),
            load_after: String::new(),
            setup: Vec::new(),
        }
    }

    /// Looks again after it, and says what was measured on what.
    #[must_use]
    pub fn after(mut self, setup: &[String]) -> Conditions {
        self.load_after = load();
        self.setup = setup.to_vec();
        self
    }

    /// As a document.
    pub fn to_json(&self) -> Value {
        json!({
            "cores": self.cores,
            "kernel": self.kernel,
            "load_before": self.load_before,
            "load_after": self.load_after,
            "version": env!("CARGO_PKG_VERSION"),
            "build": build(),
            "setup": self.setup,
        })
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "conditions: {} cores, load {} before and {} after, {}, shoal {} ({})",
            self.cores,
            self.load_before,
            self.load_after,
            self.kernel,
            env!("CARGO_PKG_VERSION"),
            build()
        )?;
        self.setup
            .iter()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// How this program was built, as far as it matters to figures.
fn build() -> &'static str {
    match cfg!(debug_assertions) {
        true => "assertions on",
        false => "optimised",
    }
}

/// The load over the last minute: how many processes wanted a core.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.map_or_else(|| "unknown".to_owned(), str::to_owned)
}

/// In milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
