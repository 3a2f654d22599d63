//! An accept with operations: its steps in order, on what is left of its offers.
//!
//! An accept that only launches has a way of its own, in `accept`.

use std::collections::BTreeSet;
use std::sync::Arc;

use shoal_api::call::{Filters, Launch};
use shoal_api::limits::TASKS_PER_ACCEPT;
use shoal_api::notice::Notice;
use shoal_api::operation::{Operation, Step};
use shoal_api::{
    FrameworkId, FrameworkInfo, OfferId, Reason, Resource, Resources, TaskKey, TaskState, Terms,
};
use shoal_ledger::Sealed;

use crate::accept::{Pool, Rejection};
use crate::apply::Context;
use crate::command::OffersCommand;
use crate::effect::Effect;
use crate::notices;
use crate::operate::{UNFILTERED, Usable};
use crate::outcome::{Outcome, Refusal};
use crate::state::Offers;

/// What the steps of one accept have come to so far.
struct Progress {
    pool: Pool,
    /// Name and terms of what operations made.
    made: BTreeSet<(Arc<str>, Option<Arc<Terms>>)>,
    /// What operations made and later steps may not use.
    later: Resources,
    launched: Vec<TaskKey>,
    refused: u32,
}

impl Offers {
    /// The calls of frameworks that are about operations.
    pub(crate) fn apply_operations(
        &mut self,
        context: &Context<'_>,
        call: OffersCommand,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        match call {
            OffersCommand::Operated {
                framework,
                stream,
                offers,
                steps,
                filters,
            } => {
                let info = self.check_stream(&framework, stream)?.info.clone();
                Ok(self.accept_steps(context, &info, &offers, steps, filters, effects))
            }
            OffersCommand::OperationAcknowledged {
                framework,
                stream,
                operation,
                update,
            } => {
                self.check_stream(&framework, stream)?;
                Ok(self.acknowledge_operation(&framework, &operation, update))
            }
            OffersCommand::OperationsReconciled {
                framework,
                stream,
                operations,
            } => {
                let row = self.check_stream(&framework, stream)?;
                for status in self.reconcile_operations(&framework, &operations) {
                    let notice = Notice::Operation(status);
                    notices::tell(&framework, Some(row), effects, |_| notice);
                }
                Ok(Outcome::Done)
            }
            OffersCommand::SessionOpened { .. }
            | OffersCommand::SessionClosed { .. }
            | OffersCommand::LeaseEnded { .. }
            | OffersCommand::Subscribed { .. }
            | OffersCommand::Disconnected { .. }
            | OffersCommand::FrameworkRemoved { .. }
            | OffersCommand::OffersMade { .. }
            | OffersCommand::Accepted { .. }
            | OffersCommand::Declined { .. }
            | OffersCommand::Rescinded { .. }
            | OffersCommand::Suppressed { .. }
            | OffersCommand::Revived { .. }
            | OffersCommand::Kill { .. }
            | OffersCommand::TaskStatus { .. }
            | OffersCommand::Acknowledged { .. }
            | OffersCommand::AgentOperated { .. } => unreachable!("no call about operations"),
        }
    }

    fn accept_steps(
        &mut self,
        context: &Context<'_>,
        info: &Sealed<FrameworkInfo>,
        offers: &[Result<OfferId, Arc<str>>],
        steps: Vec<Step>,
        filters: Filters,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let framework = info.id.clone().expect("a row's framework has an id");
        if let Err(why) = self.check_offers(&framework, offers) {
            self.discard(&framework, offers, effects);
            return self.refuse_steps(context, &framework, &steps, &why, effects);
        }
        let mut progress = Progress {
            pool: self.pool(offers),
            made: BTreeSet::new(),
            later: Resources::new(),
            launched: Vec::new(),
            refused: 0,
        };
        for step in steps {
            match step {
                Step::Launch(launch) => {
                    self.launch_step(context, info, &framework, &launch, &mut progress, effects);
                }
                Step::Operation(operation) => {
                    self.operation_step(context, info, &operation, &mut progress, effects);
                }
            }
        }
        let Progress {
            pool: Pool { agent, role, left },
            made,
            later,
            launched,
            refused,
        } = progress;
        for task in &launched {
            effects.push(Effect::TaskChanged {
                task: task.clone(),
                agent,
                state: TaskState::Staging,
            });
        }
        let is_made = |r: &Resource| made.contains(&(Arc::clone(&r.name), r.terms.clone()));
        let (fresh, rest) = (left.filter(is_made), left.filter(|r| !is_made(r)));
        self.give_back(&framework, agent, &role, &rest, filters, effects);
        self.give_back(&framework, agent, &role, &fresh, UNFILTERED, effects);
        self.give_back(&framework, agent, &role, &later, UNFILTERED, effects);
        Outcome::Accepted { launched, refused }
    }

    fn refuse_steps(
        &self,
        context: &Context<'_>,
        framework: &FrameworkId,
        steps: &[Step],
        why: &str,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let mut refused = 0;
        for step in steps {
            match step {
                Step::Launch(launch) => {
                    refused += 1;
                    let rejection = Rejection {
                        state: TaskState::Dropped,
                        reason: Reason::InvalidOffers,
                        message: format!("Task launched with invalid offers: {why}"),
                    };
                    self.reject(context, framework, launch, rejection, effects);
                }
                Step::Operation(operation) => {
                    let why = format!("Operation attempted with invalid offers: {why}");
                    self.operation_failed(framework, operation, None, why, effects);
                }
            }
        }
        Outcome::Accepted {
            launched: Vec::new(),
            refused,
        }
    }

    fn launch_step(
        &mut self,
        context: &Context<'_>,
        info: &FrameworkInfo,
        framework: &FrameworkId,
        launch: &Launch,
        progress: &mut Progress,
        effects: &mut Vec<Effect>,
    ) {
        let resolved = with_volumes(launch, &progress.pool.left);
        let launch = resolved.as_ref().unwrap_or(launch);
        let admitted = if progress.launched.len() < TASKS_PER_ACCEPT {
            self.admit(framework, launch, &progress.pool)
        } else {
            let message = format!("an accept launches at most {TASKS_PER_ACCEPT} tasks");
            Err(Rejection::invalid(message))
        };
        match admitted {
            Ok(spec) => {
                let pool = &mut progress.pool;
                let key = self.launch(context, info, framework, spec, pool);
                notices::runs_changed(pool.agent, key.clone(), effects);
                progress.launched.push(key);
            }
            Err(rejection) => {
                progress.refused += 1;
                self.reject(context, framework, launch, rejection, effects);
            }
        }
    }

    fn operation_step(
        &mut self,
        context: &Context<'_>,
        info: &FrameworkInfo,
        operation: &Operation,
        progress: &mut Progress,
        effects: &mut Vec<Effect>,
    ) {
        let framework = info.id.as_ref().expect("a row's framework has an id");
        let pool = &mut progress.pool;
        let known = operation
            .id
            .as_ref()
            .map_or(Ok(()), |id| self.check_operation_id(framework, id));
        let done = known.and_then(|()| {
            let Pool { agent, role, left } = &mut *pool;
            self.operate(context, info, (*agent, role), operation, left, effects)
        });
        match done {
            Ok((converted, usable)) => {
                if usable == Usable::Afterwards {
                    let later = &mut progress.later;
                    later
                        .add(&converted)
                        .expect("what was converted was not there before");
                }
                let made = converted
                    .iter()
                    .map(|r| (Arc::clone(&r.name), r.terms.clone()));
                progress.made.extend(made);
                if let Some(id) = &operation.id {
                    self.operation_done(context, framework, pool.agent, id, effects);
                }
            }
            Err(why) => {
                self.operation_failed(framework, operation, Some(pool.agent), why, effects);
            }
        }
    }
}

/// A launch that uses volumes, with them as they are had.
pub(crate) fn with_volumes(launch: &Launch, have: &Resources) -> Option<Launch> {
    let Launch::Task { agent, spec } = launch else {
        return None;
    };
    let volume = |r: &Resource| r.terms.as_ref().is_some_and(|t| t.volume().is_some());
    if !spec.resources.iter().any(volume) {
        return None;
    }
    let mut spec = shoal_api::TaskSpec::clone(spec);
    spec.resources = spec.resources.resolved(have);
    Some(Launch::Task {
        agent: agent.clone(),
        spec: Arc::new(spec),
    })
}
