//! The promises, one per file, each with its source. A world tells [`Fact`]s; each promise remembers
//! what it needs and says when it is broken.

mod acknowledged_is_durable;
mod applied_once;
mod convergence;
mod equal_hashes;
mod losses_are_noticed;
mod no_failed_assertion;
mod no_overcommit;
mod no_stale_command;
mod no_task_twice;
mod offers_conserve;
mod offers_disjoint;
mod offers_have_owners;
mod one_end;
mod one_leader;
mod reads_are_current;
mod reconciliations_are_current;
mod rescinds_are_told;
mod tasks_have_owners;
mod the_living_are_not_failed;
mod updates_are_kept;
mod votes_are_kept;

use shoal_api::call::ReconcileTask;
use shoal_api::notice::TaskStatus;
use shoal_api::{
    Fence, FrameworkId, Index, Instant, NodeId, OfferId, RaftId, Resources, TaskKey, Term,
};
use shoal_ledger::StateHash;
use shoal_master::State;

use crate::report::Violation;

pub use acknowledged_is_durable::NAME as ACKNOWLEDGED_IS_DURABLE;
pub use applied_once::NAME as APPLIED_ONCE;
pub use convergence::NAME as CONVERGENCE;
pub use equal_hashes::NAME as EQUAL_HASHES;
pub use losses_are_noticed::NAME as LOSSES_ARE_NOTICED;
pub use no_failed_assertion::NAME as NO_FAILED_ASSERTION;
pub use no_overcommit::NAME as NO_OVERCOMMIT;
pub use no_stale_command::NAME as NO_STALE_COMMAND;
pub use no_task_twice::NAME as NO_TASK_TWICE;
pub use offers_conserve::NAME as OFFERS_CONSERVE;
pub use offers_disjoint::NAME as OFFERS_DISJOINT;
pub use offers_have_owners::NAME as OFFERS_HAVE_OWNERS;
pub use one_end::NAME as ONE_END;
pub use one_leader::NAME as ONE_LEADER;
pub use reads_are_current::NAME as READS_ARE_CURRENT;
pub use reconciliations_are_current::NAME as RECONCILIATIONS_ARE_CURRENT;
pub use rescinds_are_told::NAME as RESCINDS_ARE_TOLD;
pub use tasks_have_owners::NAME as TASKS_HAVE_OWNERS;
pub use the_living_are_not_failed::NAME as THE_LIVING_ARE_NOT_FAILED;
pub use updates_are_kept::NAME as UPDATES_ARE_KEPT;
pub use votes_are_kept::NAME as VOTES_ARE_KEPT;

/// Something that happened in a world and that a promise may be about.
#[derive(Clone, Debug)]
pub enum Fact<'a> {
    /// A replica says that it leads.
    Leads {
        /// Which.
        replica: RaftId,
        /// In which term.
        term: Term,
    },
    /// A replica says to another in which term it is, and perhaps for whom it votes there.
    Says {
        /// Which.
        replica: RaftId,
        /// Its term.
        term: Term,
        /// Its vote.
        vote: Option<RaftId>,
    },
    /// A replica's state at an index.
    Applied {
        /// Which.
        replica: RaftId,
        /// The last entry applied.
        index: Index,
        /// The hash of its state.
        hash: StateHash,
    },
    /// A client was told that its write of a counter took effect.
    Counted {
        /// Which counter; each has one writer.
        key: u64,
        /// Which of its writes, from 1.
        write: u64,
        /// What the counter was told to be after it.
        value: u64,
    },
    /// A client asked for a counter and was answered.
    Read {
        /// Which counter.
        key: u64,
        /// The last write that was acknowledged before the read was asked.
        acknowledged: u64,
        /// The value read.
        value: u64,
    },
    /// After the faults ended and all had time: a counter as a replica has it.
    Settled {
        /// Which replica.
        replica: RaftId,
        /// Which counter.
        key: u64,
        /// Its value.
        value: u64,
    },
    /// After the faults ended and all had time: something is not as it should be.
    Unsettled(String),
    /// A machine stopped because it found itself in a state that cannot be.
    Panicked(String),
    /// In the calm, an agent died and this was not seen of it in time.
    Unnoticed(String),
    /// A member that must have answered was declared dead.
    DeclaredDead(String),
    /// A framework's stream goes on without word of an offer that is gone.
    Unrescinded(String),
    /// A framework asks for the state of tasks.
    Reconciles {
        /// Which framework.
        framework: &'a FrameworkId,
        /// Which tasks.
        tasks: &'a [ReconcileTask],
    },
    /// A call was answered as done, but the ledger of who answered does not have it.
    NotDone(String),
    /// The newest ledger, as the first replica had it.
    Ledger {
        /// The last entry applied.
        index: Index,
        /// All of it.
        state: &'a State,
    },
    /// Offers were used by an accept that was answered as done.
    Used {
        /// Which.
        offers: &'a [OfferId],
    },
    /// A process was started.
    Started {
        /// On which agent.
        node: NodeId,
        /// For which task.
        task: &'a TaskKey,
        /// What each process there may use, this one included.
        held: &'a [&'a Resources],
        /// What the agent has.
        total: &'a Resources,
    },
    /// A process ended.
    Stopped {
        /// Of which task.
        task: &'a TaskKey,
    },
    /// An agent obeyed a command, or opened a session.
    Obeyed {
        /// Which agent.
        node: NodeId,
        /// Of the command.
        fence: Fence,
    },
    /// A master commands an agent.
    Commanded {
        /// Which master.
        master: NodeId,
        /// Which agent.
        node: NodeId,
        /// Of the command.
        fence: Fence,
    },
    /// An agent is told that the ledger has an update.
    Confirmed {
        /// Which agent.
        node: NodeId,
        /// Of which task.
        task: &'a TaskKey,
        /// All up to this one.
        sequence: u64,
        /// The highest that the newest ledger has; none if the task has no row any more.
        recorded: Option<u64>,
    },
    /// A framework is told a task's state.
    Told {
        /// Which framework.
        framework: &'a FrameworkId,
        /// What it is told.
        status: &'a TaskStatus,
    },
}

/// A promise.
pub trait Invariant: std::fmt::Debug {
    /// What it says.
    fn name(&self) -> &'static str;

    /// Takes note of a fact.
    ///
    /// # Errors
    /// How the promise is broken.
    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String>;
}

/// All promises, watched together.
#[derive(Debug)]
pub struct Watch {
    invariants: Vec<Box<dyn Invariant>>,
    violation: Option<Violation>,
}

impl Watch {
    /// The promises of the quorum and of a ledger.
    pub fn of_replicas() -> Watch {
        Watch {
            invariants: vec![
                Box::new(no_failed_assertion::NoFailedAssertion),
                Box::new(one_leader::OneLeader::default()),
                Box::new(votes_are_kept::VotesAreKept::default()),
                Box::new(equal_hashes::EqualHashes::default()),
                Box::new(applied_once::AppliedOnce),
                Box::new(acknowledged_is_durable::AcknowledgedIsDurable::default()),
                Box::new(reads_are_current::ReadsAreCurrent),
                Box::new(convergence::Convergence),
            ],
            violation: None,
        }
    }

    /// The promises of a whole cluster.
    pub fn of_cluster() -> Watch {
        Watch {
            invariants: vec![
                Box::new(no_failed_assertion::NoFailedAssertion),
                Box::new(one_leader::OneLeader::default()),
                Box::new(votes_are_kept::VotesAreKept::default()),
                Box::new(equal_hashes::EqualHashes::default()),
                Box::new(offers_have_owners::OffersHaveOwners),
                Box::new(tasks_have_owners::TasksHaveOwners),
                Box::new(rescinds_are_told::RescindsAreTold),
                Box::new(reconciliations_are_current::ReconciliationsAreCurrent::default()),
                Box::new(the_living_are_not_failed::TheLivingAreNotFailed),
                Box::new(losses_are_noticed::LossesAreNoticed),
                Box::new(offers_conserve::OffersConserve),
                Box::new(offers_disjoint::OffersDisjoint::default()),
                Box::new(acknowledged_is_durable::AcknowledgedIsDurable::default()),
                Box::new(applied_once::AppliedOnce),
                Box::new(no_task_twice::NoTaskTwice::default()),
                Box::new(no_overcommit::NoOvercommit),
                Box::new(one_end::OneEnd::default()),
                Box::new(updates_are_kept::UpdatesAreKept),
                Box::new(no_stale_command::NoStaleCommand::default()),
                Box::new(convergence::Convergence),
            ],
            violation: None,
        }
    }

    /// Tells all of them.
    pub fn tell(&mut self, at: Instant, fact: &Fact<'_>) {
        if self.violation.is_some() {
            return;
        }
        for invariant in &mut self.invariants {
            if let Err(detail) = invariant.see(fact) {
                self.violation = Some(Violation {
                    at,
                    invariant: invariant.name(),
                    detail,
                });
                return;
            }
        }
    }

    /// The first that was broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }
}
