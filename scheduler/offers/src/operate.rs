//! Operations: what an agent's resources are reserved for changes at once, in what it has and in what
//! is offered or free of it.
//!
//! Source: facts 3.9 to 3.18, 3.29, 15.1 and 19; the texts are those of Mesos where it has some. The
//! resources in an agent's row are as operations left them; what its hello says is brought there by
//! [`carried_over`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::call::{AgentName, Filters};
use shoal_api::notice::Notice;
use shoal_api::operation::{Change, Operation, OperationState, OperationStatus};
use shoal_api::resource::ResourceError;
use shoal_api::{
    AgentId, Amount, FrameworkId, FrameworkInfo, OfferId, Principal, Resource, Resources, Role,
    Terms, UpdateId, Value,
};
use shoal_ledger::{Sealed, StateHash};

use crate::apply::Context;
use crate::checks::{self, Asker};
use crate::effect::Effect;
use crate::limits;
use crate::notices;
use crate::outcome::{Outcome, Refusal};
use crate::row::{AgentRow, OperationRow};
use crate::state::Offers;

/// How long a framework does not see again what was taken back from it for an operator.
const RESCINDED: Duration = Duration::from_secs(5);

/// Resources before and after a change.
pub(crate) struct Conversion {
    pub(crate) consumed: Resources,
    pub(crate) converted: Resources,
}

impl Conversion {
    /// Of a change whose volumes are resolved; new ones get the number.
    fn of(change: &Change, number: u64) -> Result<Conversion, ResourceError> {
        let on = |resources: &Resources, change: fn(&Terms) -> Terms| {
            resources.on_terms(|r| terms(r).map(change).unwrap_or_default())
        };
        let (consumed, converted) = match change {
            Change::Reserve(all) => (on(all, Terms::without_top)?, all.clone()),
            Change::Unreserve(all) => (all.clone(), on(all, Terms::without_top)?),
            Change::Create(all) => {
                let consumed = on(all, Terms::without_volume)?;
                let numbered = all.on_terms(|r| {
                    let mut terms = terms(r).cloned().unwrap_or_default();
                    let disk = terms.disk.as_mut();
                    if let Some(volume) = disk.and_then(|disk| disk.volume.as_mut()) {
                        volume.created = number;
                    }
                    terms
                });
                (consumed, numbered?)
            }
            Change::Destroy(all) => (all.clone(), on(all, Terms::without_volume)?),
            Change::Grow { volume, addition } => {
                let mut consumed = volume.clone();
                consumed.add(addition)?;
                (consumed, resized(volume, addition.scalar("disk").0)?)
            }
            Change::Shrink { volume, subtract } => {
                let mut converted = resized(volume, -subtract.0)?;
                let freed = resized(volume, subtract.0 - volume.scalar("disk").0)?;
                converted.add(&on(&freed, Terms::without_volume)?)?;
                (volume.clone(), converted)
            }
        };
        Ok(Conversion {
            consumed,
            converted,
        })
    }

    /// Replaces the one by the other.
    fn convert(&self, resources: &mut Resources) -> Result<(), ResourceError> {
        resources.remove(&self.consumed)?;
        resources.add(&self.converted)
    }
}

/// A volume with another size.
fn resized(volume: &Resources, by: i64) -> Result<Resources, ResourceError> {
    Resources::from_list(volume.iter().map(|r| {
        let amount = match r.value {
            Value::Scalar(amount) => amount.0.saturating_add(by),
            Value::Ranges(_) | Value::Set(_) => -1,
        };
        Resource {
            value: Value::Scalar(Amount(amount)),
            ..r.clone()
        }
    }))
}

/// The change with its volumes as they are had.
fn resolved(change: &Change, have: &Resources) -> Change {
    match change {
        Change::Reserve(_) | Change::Unreserve(_) | Change::Create(_) => change.clone(),
        Change::Destroy(volumes) => Change::Destroy(volumes.resolved(have)),
        Change::Grow { volume, addition } => Change::Grow {
            volume: volume.resolved(have),
            addition: addition.clone(),
        },
        Change::Shrink { volume, subtract } => Change::Shrink {
            volume: volume.resolved(have),
            subtract: *subtract,
        },
    }
}

fn terms(resource: &Resource) -> Option<&Terms> {
    resource.terms.as_deref()
}

/// What an agent has: as configured, on the terms that operations left in what it had before. What its
/// tasks hold on terms that nobody knows of, as after a restore, was made by operations, too.
///
/// # Errors
/// It was configured with less than what operations reserved.
pub(crate) fn carried_over(
    configured: &Resources,
    before: &Resources,
    held: &Resources,
) -> Result<Resources, ResourceError> {
    if before.is_plain() && held.is_plain() {
        return Ok(configured.clone());
    }
    let by_operations =
        |r: &Resource| terms(r).is_some_and(|terms| *terms != terms.as_configured());
    let mut changed = before.filter(by_operations);
    for resource in &held.filter(by_operations) {
        changed.add(&beyond(resource, &changed))?;
    }
    let mut all = configured.clone();
    all.remove(&changed.as_configured())?;
    all.add(&changed)?;
    Ok(all)
}

/// What of a resource is not among others: of ranges and sets all or nothing.
fn beyond(resource: &Resource, others: &Resources) -> Resources {
    let same = others
        .named(&resource.name)
        .find(|other| other.terms == resource.terms);
    let value = match (&resource.value, same.map(|other| &other.value)) {
        (Value::Scalar(all), Some(Value::Scalar(have))) => {
            Value::Scalar(Amount((all.0 - have.0).max(0)))
        }
        (_, Some(_)) => return Resources::new(),
        (value, None) => value.clone(),
    };
    let rest = Resource {
        value,
        ..resource.clone()
    };
    Resources::from_list([rest]).expect("a part of a valid resource is valid")
}

/// An agent as Mesos names it in texts.
fn place(agent: AgentId, row: &AgentRow) -> String {
    let http = &row.info.http;
    format!("agent {agent} at slave(1)@{http} ({})", http.host)
}

impl Offers {
    /// Does one operation of an accept on what is left of its offers; gives back what became of them,
    /// and whether later steps may use it.
    ///
    /// # Errors
    /// Why it is not done; nothing changed.
    pub(crate) fn operate(
        &mut self,
        context: &Context<'_>,
        info: &FrameworkInfo,
        (agent, role): (AgentId, &Role),
        operation: &Operation,
        left: &mut Resources,
        effects: &mut Vec<Effect>,
    ) -> Result<(Resources, Usable), String> {
        let row = self.agents.get(&agent).expect("offers are of known agents");
        let place = || format!("; on {}", place(agent, row));
        let change = operation
            .change
            .as_ref()
            .map_err(|why| format!("{why}{}", place()))?;
        if operation
            .allocated
            .as_deref()
            .is_some_and(|own| own != role.as_str())
        {
            return Err(format!(
                "The resources are not allocated to role '{role}' of the offers{}",
                place()
            ));
        }
        let change = resolved(change, left);
        let asker = Asker::Framework { info, role };
        checks::check(&change, &asker, &row.info.resources).map_err(|why| why + &place())?;
        let conversion =
            Conversion::of(&change, context.volume_number()).map_err(|why| why.to_string())?;
        if !left.contains(&conversion.consumed) {
            return Err(format!(
                "{} does not contain {}",
                notices::allocated(left, role),
                notices::allocated(&conversion.consumed, role)
            ));
        }
        self.check_unused(agent, &change)?;
        self.convert(agent, &conversion)?;
        self.drop_volumes(agent, &change, effects);
        let Conversion {
            consumed,
            converted,
        } = conversion;
        left.remove(&consumed)
            .expect("it was found to be contained");
        let usable = match change {
            Change::Grow { .. } | Change::Shrink { .. } => Usable::Afterwards,
            Change::Reserve(_) | Change::Unreserve(_) | Change::Create(_) | Change::Destroy(_) => {
                Usable::AtOnce
            }
        };
        if usable == Usable::AtOnce {
            left.add(&converted)
                .expect("what was converted was not there before");
        }
        Ok((converted, usable))
    }

    /// Whether no task uses a volume that is to go: a shared one may be offered while some do.
    fn check_unused(&self, agent: AgentId, change: &Change) -> Result<(), String> {
        let Change::Destroy(volumes) = change else {
            return Ok(());
        };
        let shared = volumes.filter(|r| !r.is_used_up());
        let is_used = |wanted: &Resource| {
            let tasks = self.tasks_of_agent(agent);
            let mut running = tasks.filter(|task| task.row.holds());
            running.any(|task| {
                let mut held = task.row.assignment.spec.resources.iter();
                held.any(|r| r.terms == wanted.terms)
            })
        };
        if shared.iter().any(is_used) {
            return Err("Persistent volumes in use".to_owned());
        }
        Ok(())
    }

    /// After volumes were destroyed: whoever is offered a shared one is not any more, and the agent
    /// removes their data.
    fn drop_volumes(&mut self, agent: AgentId, change: &Change, effects: &mut Vec<Effect>) {
        let Change::Destroy(volumes) = change else {
            return;
        };
        for volume in volumes {
            if !volume.is_used_up() {
                let offered = self.offers_on(agent).filter(|row| {
                    let mut all = row.offer.resources.iter();
                    all.any(|r| r.terms == volume.terms)
                });
                let offered: Vec<OfferId> = offered.map(|row| row.offer.id).collect();
                for id in offered {
                    self.rescind_one(id, effects);
                }
                let gone = Resources::from_list([volume.clone()]).expect("it is a resource");
                self.agents.update(&agent, |row| {
                    if row.free.contains(&gone) {
                        row.free.remove(&gone).expect("it is contained");
                    }
                });
            }
            if let Some(terms) = volume.terms.clone() {
                effects.push(Effect::VolumeDestroyed { agent, terms });
            }
        }
    }

    /// Replaces resources in what an agent has.
    fn convert(&mut self, agent: AgentId, conversion: &Conversion) -> Result<(), String> {
        let row = self.agents.get(&agent).expect("the caller found the agent");
        let mut info = (**row.info.content()).clone();
        conversion
            .convert(&mut info.resources)
            .map_err(|why| why.to_string())?;
        if info.resources.len() > limits::RESOURCES_PER_AGENT {
            return Err(format!(
                "an agent has at most {} distinct resources",
                limits::RESOURCES_PER_AGENT
            ));
        }
        let info = Sealed::new(Arc::new(info));
        self.agents.update(&agent, |row| row.info = info);
        Ok(())
    }

    /// Notes a done operation that has an id, and tells its framework.
    pub(crate) fn operation_done(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        agent: AgentId,
        id: &Arc<str>,
        effects: &mut Vec<Effect>,
    ) {
        let text = format!("{framework} {id} {} {}", context.index, context.position);
        let row = OperationRow {
            agent,
            update: UpdateId(StateHash::of_row(u64::MAX - 1, text.as_bytes()).0),
            finished: context.wall(),
        };
        let status = row.status(id);
        self.operations
            .insert((framework.clone(), Arc::clone(id)), row);
        let owner = self.frameworks.get(framework);
        notices::tell(framework, owner, effects, |_| Notice::Operation(status));
    }

    /// Whether an operation with this id can be taken.
    ///
    /// # Errors
    /// The text of its OPERATION_ERROR.
    pub(crate) fn check_operation_id(
        &self,
        framework: &FrameworkId,
        id: &Arc<str>,
    ) -> Result<(), String> {
        shoal_api::TaskId::new(id).map_err(|error| format!("Invalid operation ID: {error}"))?;
        let key = (framework.clone(), Arc::clone(id));
        if self.operations.contains(&key) {
            return Err(format!(
                "Operation ID '{id}' is of an operation whose status is not acknowledged"
            ));
        }
        if self.operations.len() >= limits::OPERATIONS {
            return Err(format!(
                "the ledger has {} operations that are not acknowledged",
                limits::OPERATIONS
            ));
        }
        Ok(())
    }

    /// Tells a framework of an operation that is not done, if it has an id.
    pub(crate) fn operation_failed(
        &self,
        framework: &FrameworkId,
        operation: &Operation,
        agent: Option<AgentId>,
        why: String,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = &operation.id else {
            return;
        };
        let status = OperationStatus {
            operation: Arc::clone(id),
            state: OperationState::Error,
            message: Arc::from(why),
            agent: agent.map(AgentName::Id),
            update: None,
        };
        let owner = self.frameworks.get(framework);
        notices::tell(framework, owner, effects, |_| Notice::Operation(status));
    }

    /// A framework received an operation's status.
    pub(crate) fn acknowledge_operation(
        &mut self,
        framework: &FrameworkId,
        id: &Arc<str>,
        update: UpdateId,
    ) -> Outcome {
        let key = (framework.clone(), Arc::clone(id));
        if self.operations.get(&key).map(|row| row.update) != Some(update) {
            return Outcome::Dropped(crate::outcome::Dropped::NotOutstanding);
        }
        self.operations.remove(&key);
        Outcome::Done
    }

    /// An operator changes what an agent's resources are reserved for; offers that hold them are
    /// taken back.
    pub(crate) fn operate_agent(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        change: &Change,
        principal: Option<&Principal>,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let row = self
            .agents
            .get(&agent)
            .ok_or(Refusal::UnknownAgent(agent))?;
        let name = match change {
            Change::Reserve(_) => "RESERVE",
            Change::Unreserve(_) => "UNRESERVE",
            Change::Create(_) => "CREATE",
            Change::Destroy(_) => "DESTROY",
            Change::Grow { .. } => "GROW_VOLUME",
            Change::Shrink { .. } => "SHRINK_VOLUME",
        };
        let bad = |why: String| {
            let text = format!("Invalid {name} operation on {}: {why}", place(agent, row));
            Refusal::InvalidOperation(Arc::from(text))
        };
        let change = &resolved(change, &row.info.resources);
        checks::check(change, &Asker::Operator(principal), &row.info.resources).map_err(bad)?;
        let conversion = Conversion::of(change, context.volume_number())
            .map_err(|error| bad(error.to_string()))?;
        let wanted = &conversion.consumed;
        let offers = self.offers_needed(agent, wanted)?;
        let conflict = |why: String| Refusal::Conflict(Arc::from(why));
        self.check_unused(agent, change).map_err(conflict)?;
        self.convert(agent, &conversion).map_err(conflict)?;
        for id in offers {
            self.take_back(id, effects);
        }
        self.agents
            .update(&agent, |row| conversion.convert(&mut row.free))
            .expect("the agent was found")
            .expect("what is needed was made free");
        self.drop_volumes(agent, change, effects);
        effects.push(Effect::AgentChanged { agent });
        Ok(Outcome::Done)
    }

    /// The offers to take back so that resources of an agent are free.
    fn offers_needed(&self, agent: AgentId, wanted: &Resources) -> Result<Vec<OfferId>, Refusal> {
        let row = self.agents.get(&agent).expect("the caller found the agent");
        let mut free = row.free.clone();
        let kinds: BTreeSet<_> = wanted.iter().map(|r| (&r.name, &r.terms)).collect();
        let mut needed = Vec::new();
        for row in self.offers_on(agent) {
            if free.contains(wanted) {
                break;
            }
            let offered = &row.offer.resources;
            if offered.iter().any(|r| kinds.contains(&(&r.name, &r.terms))) {
                free.add(offered)
                    .expect("offers of one agent do not overlap");
                needed.push(row.offer.id);
            }
        }
        if free.contains(wanted) {
            return Ok(needed);
        }
        let have = if free.is_empty() {
            "{}".to_owned()
        } else {
            free.to_string()
        };
        let why = format!("{have} does not contain {wanted}");
        Err(Refusal::Conflict(Arc::from(why)))
    }

    fn take_back(&mut self, id: OfferId, effects: &mut Vec<Effect>) {
        let row = self.offers.get(&id).expect("a needed offer is out");
        let offer = row.offer.clone();
        self.rescind_one(id, effects);
        effects.push(Effect::Refused {
            framework: offer.framework,
            role: offer.role,
            agent: offer.agent,
            resources: offer.resources,
            refuse: RESCINDED,
        });
    }

    /// What is out at a framework: its operations whose status it did not acknowledge.
    pub fn pending_operations(
        &self,
        framework: &FrameworkId,
    ) -> impl Iterator<Item = OperationStatus> {
        let own = framework.clone();
        self.operations
            .range((framework.clone(), Arc::from(""))..)
            .take_while(move |((owner, _), _)| *owner == own)
            .map(|((_, id), row)| row.status(id))
    }

    /// The answers to a reconciliation: of the operations that are named, or of all that are known.
    pub fn reconcile_operations(
        &self,
        framework: &FrameworkId,
        asked: &[shoal_api::operation::ReconcileOperation],
    ) -> Vec<OperationStatus> {
        let unconfirmed = |status| OperationStatus {
            update: None,
            ..status
        };
        if asked.is_empty() {
            return self
                .pending_operations(framework)
                .map(unconfirmed)
                .collect();
        }
        let one = |asked: &shoal_api::operation::ReconcileOperation| {
            let key = (framework.clone(), Arc::clone(&asked.operation));
            if let Some(row) = self.operations.get(&key) {
                return unconfirmed(row.status(&asked.operation));
            }
            let agent = match &asked.agent {
                Some(AgentName::Id(id)) => self.agents.get(id),
                Some(AgentName::Foreign(_)) | None => None,
            };
            let (state, message) = if agent.is_some_and(AgentRow::is_unreachable) {
                let state = OperationState::Unreachable;
                (state, "Reconciliation: Agent is unreachable")
            } else {
                let state = OperationState::Unknown;
                (state, "Reconciliation: Operation is unknown")
            };
            OperationStatus {
                operation: Arc::clone(&asked.operation),
                state,
                message: Arc::from(message),
                agent: asked.agent.clone(),
                update: None,
            }
        };
        asked.iter().map(one).collect()
    }

    /// Forgets the operations of a framework that goes for ever.
    pub(crate) fn forget_operations(&mut self, framework: &FrameworkId) {
        let own = self.pending_operations(framework);
        let ids: Vec<Arc<str>> = own.map(|status| status.operation).collect();
        for id in ids {
            self.operations.remove(&(framework.clone(), id));
        }
    }
}

/// When what an operation made can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usable {
    /// By the next step of the same accept.
    AtOnce,
    /// When it is offered again. Source: Mesos, for volumes that change their size.
    Afterwards,
}

/// For what was converted: it is offered again at once.
pub(crate) const UNFILTERED: Filters = Filters {
    refuse: Duration::ZERO,
};
