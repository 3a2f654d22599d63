//! Where log lines go.

use tracing_subscriber::EnvFilter;

/// What is logged unless `SHOAL_LOG` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// State changes that an operator asks about.
    Info,
    /// Only what is unexpected.
    Warn,
}

/// Sends log lines to standard error.
pub fn to_standard_error(level: Level) {
    let default = match level {
        Level::Info => "info",
        Level::Warn => "warn",
    };
    let filter = EnvFilter::try_from_env("SHOAL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}
