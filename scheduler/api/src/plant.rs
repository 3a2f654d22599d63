//! Planted bugs: deliberate defects inside the machines, for the simulator to find.
//!
//! A machine is handed its [`Plants`] at construction, as it is handed its dice. A build without the
//! feature `plants` knows one value of that type, of no size, so every question about a defect is
//! answered while it is compiled. With the feature a value that holds a defect can be made, which only
//! the simulator does; a node always hands out [`Plants::NONE`].

/// One deliberate defect inside a machine. What a simulator can break around a machine is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A master answers a caller when its command is queued, not when it is committed.
    AcknowledgeEarly,
    /// A master commands agents whatever session the ledger names.
    IgnoreSessions,
    /// A master mints a new request id for each retry.
    ForgetRequestIds,
    /// A request is applied as often as it is in the log.
    ApplyRetries,
    /// Snapshots of the ledger leave the outcomes of requests out.
    ForgetOutcomes,
    /// Leases never end.
    LeasesForever,
    /// A reconciliation is answered from whatever the asked master has applied.
    ReconcileStale,
    /// Offers stay out when the session of their agent ends.
    OffersOutliveSession,
    /// An offer's resources stay free while it is out.
    OfferWithoutReserving,
    /// A declined offer's resources are given back twice.
    DeclineTwice,
    /// An ended task's resources are given back twice.
    FreeTwice,
    /// An ended task's resources are never given back.
    NeverFree,
    /// A removed framework's tasks are not killed.
    TasksOutliveFramework,
    /// The kill of a task that has ended makes its end another.
    KillOverwritesEnd,
    /// An acknowledgement takes all updates that wait, not only the one that it names.
    AcknowledgeAll,
    /// Decline filters stay when their framework has gone.
    FiltersOutliveFramework,
    /// Agents start a process before its launch is on their disk.
    SpawnBeforeCheckpoint,
    /// Agents obey commands of any session and any life of the cluster.
    IgnoreFences,
    /// Agents compare fences without the life of the cluster.
    IgnoreIncarnations,
    /// A suspect that has refuted is declared dead all the same.
    IgnoreRefutations,
}

/// The defects that a machine has: in a product none, in a simulation one at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plants(#[cfg(feature = "plants")] Option<Plant>);

impl Plants {
    /// No defect.
    pub const NONE: Plants = Plants(
        #[cfg(feature = "plants")]
        None,
    );

    /// One defect.
    #[cfg(feature = "plants")]
    pub const fn of(plant: Plant) -> Plants {
        Plants(Some(plant))
    }

    /// Whether the machine has that defect; a constant in a product.
    #[cfg(feature = "plants")]
    pub fn has(self, plant: Plant) -> bool {
        self.0 == Some(plant)
    }

    /// Whether the machine has that defect; a constant in a product.
    #[cfg(not(feature = "plants"))]
    pub const fn has(self, _: Plant) -> bool {
        false
    }
}
