//! What one input costs: the memory that it needed at its peak, and CPU time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::HEAP;

/// What something cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    /// Bytes on the heap at the peak, beyond what was there before.
    pub peak: usize,
    /// CPU time of this thread.
    pub cpu: Duration,
}

/// Runs something and says what it cost. Other threads' memory would count, too: there are none.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    HEAP.reset_peak_usage();
    let (before, began) = (HEAP.current_usage(), cpu());
    let result = work();
    let cost = Cost {
        peak: HEAP.peak_usage().saturating_sub(before),
        cpu: cpu().saturating_sub(began),
    };
    (result, cost)
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
