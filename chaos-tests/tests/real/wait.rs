//! Waiting for a condition, with a deadline and a reason.

use std::thread;
use std::time::{Duration, Instant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until there is a value; panics with the last reason when it takes longer than that.
pub fn until<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(why) if start.elapsed() > patience => {
                panic!("{what}: not within {} s, {why}", patience.as_secs());
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Turns a condition into what [`until`] looks for.
pub fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// As many seconds.
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
