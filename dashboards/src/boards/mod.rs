//! The dashboards: which panels, in which order. How they are drawn is not decided here.

mod agents;
mod gossip;
mod masters;
mod overview;

use crate::panel::Board;

/// All of them.
pub fn all() -> Vec<Board> {
    vec![
        overview::board(),
        masters::board(),
        gossip::board(),
        agents::board(),
    ]
}
