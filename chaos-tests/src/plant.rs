//! Planted bugs: defects that a simulator with teeth must find. Off unless a test asks for one.

/// One deliberate defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Masters' disks say "durable" before they are: votes, terms and entries can be lost.
    ForgetSync,
    /// A write is acknowledged when it is proposed, not when it is committed.
    AcknowledgeEarly,
    /// Retries are applied as if they were new.
    ApplyRetries,
    /// A leader answers reads from its own state, without asking the others.
    ReadLocally,
}

impl Plant {
    /// Those that live in the world of [`crate::replicas`].
    pub const OF_REPLICAS: [Plant; 4] = [
        Plant::ForgetSync,
        Plant::AcknowledgeEarly,
        Plant::ApplyRetries,
        Plant::ReadLocally,
    ];
}
