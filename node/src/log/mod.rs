//! Where log lines go, which of them, and how they look.

mod filter;
mod format;
mod json;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

pub use filter::{LogFilter, PARTS};
pub use format::LogFormat;

/// The log of this process, to change what is logged while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    filter: reload::Handle<tracing_subscriber::filter::Targets, Registry>,
}

impl Log {
    /// Logs by another filter from here on.
    pub fn set_filter(&self, filter: &LogFilter) {
        // An error means that the log is gone, and then nobody misses a line.
        drop(self.filter.reload(filter.targets()));
    }
}

/// Sends log lines to standard error; to be called once in a process.
pub fn start(filter: &LogFilter, format: LogFormat) -> Log {
    let (targets, handle) = reload::Layer::new(filter.targets());
    let registry = tracing_subscriber::registry().with(targets);
    match format {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())),
            )
            .init(),
        LogFormat::Json => {
            registry
                .with(
                    fmt::layer()
                        .with_writer(std::io::stderr)
                        .event_format(json::Lines),
                )
                .init();
            json::take_panics();
        }
    }
    Log { filter: handle }
}
