//! The machine's clocks, in the words.

use std::time::{SystemTime, UNIX_EPOCH};

use shoal_api::Timestamp;

/// What the calendar says.
pub fn calendar() -> Timestamp {
    let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    };
    Timestamp::from_nanos(nanos)
}

/// A monotonic clock that starts with it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock at zero.
    pub fn start() -> Clock {
        Clock {
            start: std::time::Instant::now(),
        }
    }

    /// What it shows.
    pub fn now(&self) -> shoal_api::Instant {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        shoal_api::Instant::from_nanos(nanos)
    }

    /// When it will show that, for a timer.
    pub fn at(&self, instant: shoal_api::Instant) -> tokio::time::Instant {
        let far = std::time::Duration::from_secs(365 * 24 * 3600);
        let after = instant.since(shoal_api::Instant::ZERO).min(far);
        tokio::time::Instant::from_std(self.start) + after
    }
}
