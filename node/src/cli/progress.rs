//! How far long work has come, on a terminal; nothing where nobody looks.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is written again.
const EVERY: Duration = Duration::from_millis(200);

/// One line on standard error that counts bytes.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    /// Nothing is done yet.
    pub fn new(what: &'static str) -> Progress {
        Progress {
            what,
            shown: None,
            terminal: io::stderr().is_terminal(),
        }
    }

    /// So much is done.
    pub fn show(&mut self, bytes: u64, of: Option<u64>) {
        if !self.terminal || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let of = of.map_or(String::new(), |of| format!(" of {:.1}", mib(of)));
        // Who has no standard error misses nothing but this.
        let _ = write!(io::stderr(), "\r{}: {:.1}{of} MiB", self.what, mib(bytes));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
