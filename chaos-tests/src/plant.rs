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
    /// Masters command agents whatever session the ledger names.
    IgnoreSessions,
    /// Masters mint a new request id for each retry.
    ForgetRequestIds,
    /// Agents' disks say "durable" before they are: launches and updates can be lost.
    ForgetCheckpoints,
    /// Agents are told that an update is durable as soon as a master hears it.
    ConfirmUpdatesEarly,
}

impl Plant {
    /// The bug of that name, as it is spelled here.
    pub fn named(name: &str) -> Option<Plant> {
        let all = Plant::OF_REPLICAS.into_iter().chain(Plant::OF_CLUSTER);
        all.into_iter().find(|plant| format!("{plant:?}") == name)
    }

    /// Those that live in the world of [`crate::replicas`].
    pub const OF_REPLICAS: [Plant; 4] = [
        Plant::ForgetSync,
        Plant::AcknowledgeEarly,
        Plant::ApplyRetries,
        Plant::ReadLocally,
    ];

    /// Those that live in the world of [`crate::cluster`].
    pub const OF_CLUSTER: [Plant; 7] = [
        Plant::ForgetSync,
        Plant::AcknowledgeEarly,
        Plant::ApplyRetries,
        Plant::IgnoreSessions,
        Plant::ForgetRequestIds,
        Plant::ForgetCheckpoints,
        Plant::ConfirmUpdatesEarly,
    ];
}
