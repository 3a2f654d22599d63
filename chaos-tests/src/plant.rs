//! Planted bugs: defects that a simulator with teeth must find. Off unless a run asks for one.
//!
//! What a machine does wrong by itself is a [`Defect`]; everything else is done to it at its edge, where
//! its inputs and outputs pass.

pub use shoal_api::Plant as Defect;
use shoal_api::Plants;

use crate::invariants::{
    ACKNOWLEDGED_IS_DURABLE, APPLIED_ONCE, CONVERGENCE, EQUAL_HASHES, LOSSES_ARE_NOTICED,
    NO_FAILED_ASSERTION, NO_OVERCOMMIT, NO_STALE_COMMAND, NO_TASK_TWICE, OFFERS_CONSERVE,
    OFFERS_HAVE_OWNERS, ONE_END, ONE_LEADER, READS_ARE_CURRENT, RECONCILIATIONS_ARE_CURRENT,
    RESCINDS_ARE_TOLD, TASKS_HAVE_OWNERS, THE_LIVING_ARE_NOT_FAILED, UPDATES_ARE_KEPT,
    VOTES_ARE_KEPT,
};
use crate::worlds::World;

/// One deliberate defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Of a machine itself. The world of the replicas has no master around its quorum and does the
    /// same with its own clients and its own ledger.
    Machine(Defect),
    /// Masters' disks say "durable" before they are: votes, terms and entries can be lost.
    ForgetSync,
    /// The same, but only the last write or two can be lost.
    SyncLate,
    /// A vote is not synced by itself: who restarts may have forgotten that it voted, and the term.
    VoteWithoutSync,
    /// A restart takes the end of a whole log for torn, and cuts it.
    CutTail,
    /// Who lost its disk comes back as the voter that it was.
    WipedKeepsId,
    /// A leader answers reads from its own state, without asking the others.
    ReadLocally,
    /// Any replica answers reads from its own state.
    ReadAnywhere,
    /// A snapshot is marked with an index that its content has not reached.
    SnapshotIndexWrong,
    /// A master's life has the number of the one before.
    GenerationNotRaised,
    /// Commands to agents say of which session they are, and not where in it.
    FencesLackIndex,
    /// Frameworks are not told that an offer is taken back.
    RescindLost,
    /// Masters are not told that a member has failed.
    FailuresUnheard,
    /// The keeper's journal is lost when its agent restarts.
    KeeperForgets,
    /// Agents' disks say "durable" before they are: launches and updates can be lost.
    ForgetCheckpoints,
    /// Agents are told that an update is durable as soon as a master hears it.
    ConfirmUpdatesEarly,
}

/// A bug in a world, and the promises that it breaks: it must be found as what it is.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// Where it can show itself.
    pub world: World,
    /// Which.
    pub plant: Plant,
    /// It is found by one of these.
    pub breaks: &'static [&'static str],
}

const fn planted(world: World, plant: Plant, breaks: &'static [&'static str]) -> Planted {
    Planted {
        world,
        plant,
        breaks,
    }
}

const LOST: &[&str] = &[
    VOTES_ARE_KEPT,
    EQUAL_HASHES,
    ONE_LEADER,
    ACKNOWLEDGED_IS_DURABLE,
    CONVERGENCE,
    NO_FAILED_ASSERTION,
];

const CONSERVED: &[&str] = &[OFFERS_CONSERVE, NO_FAILED_ASSERTION];

/// All of them.
pub const PLANTED: &[Planted] = {
    use Defect::*;
    use Plant::*;
    use World::{Cluster as C, Replicas as R};
    &[
        planted(R, ForgetSync, LOST),
        planted(R, SyncLate, LOST),
        planted(R, VoteWithoutSync, &[VOTES_ARE_KEPT, ONE_LEADER]),
        planted(R, CutTail, LOST),
        planted(R, WipedKeepsId, LOST),
        planted(
            R,
            Machine(AcknowledgeEarly),
            &[ACKNOWLEDGED_IS_DURABLE, APPLIED_ONCE],
        ),
        planted(R, Machine(ApplyRetries), &[APPLIED_ONCE]),
        planted(R, Machine(ForgetOutcomes), &[EQUAL_HASHES, APPLIED_ONCE]),
        planted(R, ReadLocally, &[READS_ARE_CURRENT]),
        planted(R, ReadAnywhere, &[READS_ARE_CURRENT]),
        planted(R, SnapshotIndexWrong, &[EQUAL_HASHES, NO_FAILED_ASSERTION]),
        planted(C, ForgetSync, LOST),
        planted(C, Machine(AcknowledgeEarly), &[ACKNOWLEDGED_IS_DURABLE]),
        planted(C, Machine(ApplyRetries), &[APPLIED_ONCE, RESCINDS_ARE_TOLD]),
        planted(C, Machine(ForgetRequestIds), &[APPLIED_ONCE]),
        planted(C, Machine(IgnoreSessions), &[NO_STALE_COMMAND, CONVERGENCE]),
        planted(C, Machine(ForgetOutcomes), &[EQUAL_HASHES, APPLIED_ONCE]),
        planted(C, SnapshotIndexWrong, &[EQUAL_HASHES, NO_FAILED_ASSERTION]),
        planted(
            C,
            GenerationNotRaised,
            &[ACKNOWLEDGED_IS_DURABLE, CONVERGENCE],
        ),
        planted(C, Machine(LeasesForever), &[LOSSES_ARE_NOTICED]),
        planted(C, FailuresUnheard, &[LOSSES_ARE_NOTICED]),
        planted(C, Machine(IgnoreRefutations), &[THE_LIVING_ARE_NOT_FAILED]),
        planted(C, Machine(ReconcileStale), &[RECONCILIATIONS_ARE_CURRENT]),
        planted(C, RescindLost, &[RESCINDS_ARE_TOLD]),
        planted(C, Machine(OffersOutliveSession), &[OFFERS_HAVE_OWNERS]),
        planted(C, Machine(OfferWithoutReserving), CONSERVED),
        planted(C, Machine(DeclineTwice), CONSERVED),
        planted(C, Machine(FreeTwice), CONSERVED),
        planted(C, Machine(NeverFree), CONSERVED),
        planted(C, Machine(TasksOutliveFramework), &[TASKS_HAVE_OWNERS]),
        planted(C, Machine(KillOverwritesEnd), &[ONE_END]),
        planted(C, Machine(AcknowledgeAll), &[CONVERGENCE, OFFERS_CONSERVE]),
        planted(C, Machine(FiltersOutliveFramework), &[CONVERGENCE]),
        planted(C, FencesLackIndex, &[NO_STALE_COMMAND, CONVERGENCE]),
        planted(
            C,
            ForgetCheckpoints,
            &[NO_TASK_TWICE, ONE_END, NO_OVERCOMMIT],
        ),
        planted(
            C,
            Machine(SpawnBeforeCheckpoint),
            &[NO_TASK_TWICE, NO_OVERCOMMIT, CONVERGENCE],
        ),
        planted(C, Machine(IgnoreFences), &[NO_STALE_COMMAND, NO_TASK_TWICE]),
        planted(
            C,
            Machine(IgnoreIncarnations),
            &[NO_STALE_COMMAND, NO_TASK_TWICE],
        ),
        planted(C, KeeperForgets, &[NO_TASK_TWICE, NO_OVERCOMMIT]),
        planted(C, ConfirmUpdatesEarly, &[UPDATES_ARE_KEPT]),
    ]
};

impl Plant {
    /// As it is spelled on a command line.
    pub fn name(self) -> String {
        match self {
            Plant::Machine(defect) => format!("{defect:?}"),
            around => format!("{around:?}"),
        }
    }

    /// The bug of that name.
    pub fn named(name: &str) -> Option<Plant> {
        let plants = PLANTED.iter().map(|planted| planted.plant);
        plants.into_iter().find(|plant| plant.name() == name)
    }

    /// What a machine is handed of a run's bug.
    pub fn machine(plant: Option<Plant>) -> Plants {
        match plant {
            Some(Plant::Machine(defect)) => Plants::of(defect),
            Some(_) | None => Plants::NONE,
        }
    }
}
