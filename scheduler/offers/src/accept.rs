//! An accept: offers become tasks, or typed refusals.
//!
//! Source: facts 3.9 to 3.20, as far as LAUNCH goes.

use std::sync::Arc;

use shoal_api::call::{AgentName, Filters, Launch};
use shoal_api::limits::TASKS_PER_ACCEPT;
use shoal_api::notice::Notice;
use shoal_api::task::Assignment;
use shoal_api::{
    AgentId, FrameworkId, FrameworkInfo, LaunchIndex, OfferId, Reason, Resources, Role, TaskKey,
    TaskSpec, TaskState,
};
use shoal_ledger::Sealed;

use crate::apply::Context;
use crate::effect::Effect;
use crate::limits;
use crate::notices::{self, Word};
use crate::outcome::{Outcome, Refusal};
use crate::row::{Standing, TaskRow};
use crate::state::Offers;
use crate::steps;

/// Resources of accepted offers, all of one agent and one role, shrinking task by task.
pub(crate) struct Pool {
    pub(crate) agent: AgentId,
    pub(crate) role: Role,
    pub(crate) left: Resources,
}

/// Why a task is not launched.
pub(crate) struct Rejection {
    pub(crate) state: TaskState,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Rejection {
    pub(crate) fn invalid(message: String) -> Rejection {
        Rejection {
            state: TaskState::Error,
            reason: Reason::TaskInvalid,
            message,
        }
    }
}

impl Offers {
    pub(crate) fn accept(
        &mut self,
        context: &Context<'_>,
        info: &Sealed<FrameworkInfo>,
        offers: &[Result<OfferId, Arc<str>>],
        launches: Vec<Launch>,
        filters: Filters,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let framework = info.id.clone().expect("a row's framework has an id");
        if let Err(why) = self.check_offers(&framework, offers) {
            self.discard(&framework, offers, effects);
            let refused = launches.len() as u32;
            for launch in launches {
                let rejection = Rejection {
                    state: TaskState::Dropped,
                    reason: Reason::InvalidOffers,
                    message: format!("Task launched with invalid offers: {why}"),
                };
                self.reject(context, &framework, &launch, rejection, effects);
            }
            return Ok(Outcome::Accepted {
                launched: Vec::new(),
                refused,
            });
        }
        let mut pool = self.pool(offers);
        let mut launched = Vec::with_capacity(launches.len());
        let mut refused = 0;
        for launch in launches {
            let launch = steps::with_volumes(&launch, &pool.left).unwrap_or(launch);
            let admitted = if launched.len() < TASKS_PER_ACCEPT {
                self.admit(&framework, &launch, &pool)
            } else {
                let message = format!("an accept launches at most {TASKS_PER_ACCEPT} tasks");
                Err(Rejection::invalid(message))
            };
            match admitted {
                Ok(spec) => {
                    let key = self.launch(context, info, &framework, spec, &mut pool);
                    notices::runs_changed(pool.agent, key.clone(), effects);
                    launched.push(key);
                }
                Err(rejection) => {
                    refused += 1;
                    self.reject(context, &framework, &launch, rejection, effects);
                }
            }
        }
        for task in &launched {
            effects.push(Effect::TaskChanged {
                task: task.clone(),
                agent: pool.agent,
                state: TaskState::Staging,
            });
        }
        let Pool { agent, role, left } = pool;
        self.give_back(&framework, agent, &role, &left, filters, effects);
        Ok(Outcome::Accepted { launched, refused })
    }

    /// The offers of one accept: at least one, none twice, all out, own, of one role and one agent.
    pub(crate) fn check_offers(
        &self,
        framework: &FrameworkId,
        offers: &[Result<OfferId, Arc<str>>],
    ) -> Result<(), String> {
        if offers.is_empty() {
            return Err("No offers specified".to_owned());
        }
        if offers.len() > limits::OFFERS_PER_CALL {
            return Err(format!("More than {} offers", limits::OFFERS_PER_CALL));
        }
        let mut sorted: Vec<&Result<OfferId, Arc<str>>> = offers.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("Duplicate offer {} in offer list", text(twice[0])));
        }
        let mut first = None;
        for id in offers {
            let row = id.as_ref().ok().and_then(|id| self.offers.get(id));
            let Some(row) = row else {
                return Err(format!("Offer {} is no longer valid", text(id)));
            };
            let offer = &row.offer;
            if offer.framework != *framework {
                return Err(format!("Offer {} is not of this framework", offer.id));
            }
            let (role, agent) = *first.get_or_insert((&offer.role, offer.agent));
            if offer.role != *role {
                return Err(format!(
                    "Offer {} is of role {} while another one is of role {role}",
                    offer.id, offer.role
                ));
            }
            if offer.agent != agent {
                return Err(format!(
                    "Offer {} is of agent {} while another one is of agent {agent}",
                    offer.id, offer.agent
                ));
            }
        }
        Ok(())
    }

    /// Gives back those offers of a bad list that are out and the framework's, without a filter.
    pub(crate) fn discard(
        &mut self,
        framework: &FrameworkId,
        offers: &[Result<OfferId, Arc<str>>],
        effects: &mut Vec<Effect>,
    ) {
        let unfiltered = Filters {
            refuse: std::time::Duration::ZERO,
        };
        for id in offers.iter().flatten() {
            let own = self.offers.get(id).map(|row| &row.offer.framework) == Some(framework);
            if !own {
                continue;
            }
            let offer = self.take_offer(*id).expect("the offer was found").offer;
            let (agent, role) = (offer.agent, &offer.role);
            self.give_back(
                framework,
                agent,
                role,
                &offer.resources,
                unfiltered,
                effects,
            );
        }
    }

    /// Takes checked offers and merges their resources.
    pub(crate) fn pool(&mut self, offers: &[Result<OfferId, Arc<str>>]) -> Pool {
        let mut pool: Option<Pool> = None;
        for id in offers.iter().flatten() {
            let offer = self.take_offer(*id).expect("the offers were checked").offer;
            match &mut pool {
                None => {
                    pool = Some(Pool {
                        agent: offer.agent,
                        role: offer.role,
                        left: offer.resources,
                    });
                }
                Some(pool) => pool
                    .left
                    .add(&offer.resources)
                    .expect("offers of one agent do not overlap"),
            }
        }
        let pool = pool.expect("at least one offer was checked");
        let agent = self.agents.get(&pool.agent);
        assert!(
            agent.is_some_and(|row| row.is_connected()),
            "an offer of agent {} is out though it has no session",
            pool.agent
        );
        pool
    }

    /// Checks one task, in the order in which Mesos does.
    pub(crate) fn admit(
        &self,
        framework: &FrameworkId,
        launch: &Launch,
        pool: &Pool,
    ) -> Result<Arc<TaskSpec>, Rejection> {
        let (agent, spec, role) = match launch {
            Launch::Task { agent, spec } => (agent, spec, &pool.role),
            Launch::TaskIn { role, agent, spec } => (agent, spec, role),
            Launch::Invalid { why, .. } => return Err(Rejection::invalid(why.to_string())),
        };
        if self.uses_of(framework, &spec.id).next().is_some() {
            let message = format!("Task has duplicate ID: {}", spec.id);
            return Err(Rejection::invalid(message));
        }
        if *agent != AgentName::Id(pool.agent) {
            return Err(Rejection::invalid(format!(
                "Task uses invalid agent {} while agent {} is expected",
                agent_text(agent),
                pool.agent
            )));
        }
        if spec.resources.is_empty() {
            return Err(Rejection::invalid("Task uses no resources".to_owned()));
        }
        if let Some(why) = &spec.unsupported {
            return Err(Rejection {
                state: TaskState::Error,
                reason: Reason::Unsupported,
                message: why.to_string(),
            });
        }
        if spec.command.is_none() {
            return Err(Rejection::invalid(
                "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
                    .to_owned(),
            ));
        }
        if *role != pool.role || !pool.left.contains(&spec.resources) {
            return Err(Rejection::invalid(format!(
                "Total resources {} required by task and its executor is more than available {}",
                notices::allocated(&spec.resources, role),
                notices::allocated(&pool.left, &pool.role)
            )));
        }
        if self.tasks.len() >= limits::TASKS {
            let message = format!("the ledger has {} tasks already", limits::TASKS);
            return Err(Rejection::invalid(message));
        }
        Ok(Arc::clone(spec))
    }

    /// Gives an admitted task its row.
    pub(crate) fn launch(
        &mut self,
        context: &Context<'_>,
        info: &FrameworkInfo,
        framework: &FrameworkId,
        spec: Arc<TaskSpec>,
        pool: &mut Pool,
    ) -> TaskKey {
        pool.left
            .subtract(&spec.resources)
            .expect("the task was found to fit");
        let key = TaskKey {
            framework: framework.clone(),
            task: spec.id.clone(),
            launch: self.next_launch(context),
        };
        let assignment = Assignment {
            key: key.clone(),
            agent: pool.agent,
            role: pool.role.clone(),
            spec,
            framework_user: Arc::clone(&info.user),
            framework_name: Arc::clone(&info.name),
        };
        let row = TaskRow {
            assignment: Sealed::new(Arc::new(assignment)),
            reported: TaskState::Staging,
            sequence: 0,
            statuses: Vec::new(),
            pending: Vec::new(),
            kill: None,
            unreachable_since: None,
            standing: Standing::Launched,
            launched: context.wall(),
        };
        self.add_task(key.clone(), row);
        key
    }

    /// Never used again, not even after a restore: the incarnation is part of it.
    fn next_launch(&mut self, context: &Context<'_>) -> LaunchIndex {
        let number = self.count(|counters| &mut counters.launch);
        assert!(number < 1 << LAUNCH_BITS, "launches ran out of numbers");
        LaunchIndex((context.incarnation.0 << LAUNCH_BITS) | number)
    }

    pub(crate) fn reject(
        &self,
        context: &Context<'_>,
        framework: &FrameworkId,
        launch: &Launch,
        rejection: Rejection,
        effects: &mut Vec<Effect>,
    ) {
        let (task, agent) = match launch {
            Launch::Task { agent, spec } | Launch::TaskIn { agent, spec, .. } => {
                (Arc::from(spec.id.as_str()), agent)
            }
            Launch::Invalid { task, agent, .. } => (Arc::clone(task), agent),
        };
        let word = Word {
            task,
            agent: Some(agent.clone()),
            state: rejection.state,
            reason: rejection.reason,
            message: Arc::from(rejection.message),
            wall: context.wall(),
            unreachable_since: None,
            container: None,
        };
        let row = self.frameworks.get(framework);
        notices::tell(framework, row, effects, |info| {
            Notice::Update(word.status(info))
        });
    }
}

/// How many of a launch index's bits count launches; the incarnation has the rest.
const LAUNCH_BITS: u32 = 40;

fn text(id: &Result<OfferId, Arc<str>>) -> String {
    match id {
        Ok(id) => id.to_string(),
        Err(text) => text.to_string(),
    }
}

fn agent_text(agent: &AgentName) -> String {
    match agent {
        AgentName::Id(id) => id.to_string(),
        AgentName::Foreign(text) => text.to_string(),
    }
}
