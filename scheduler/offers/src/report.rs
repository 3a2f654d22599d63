//! Status updates: from agents into the ledger, and their acknowledgements.

use std::sync::Arc;

use shoal_api::call::AgentName;
use shoal_api::notice::Notice;
use shoal_api::{
    AgentId, Capability, Epoch, FrameworkId, Plant, Reason, Source, StatusUpdate, TaskId, TaskKey,
    TaskState, UpdateId,
};
use shoal_ledger::StateHash;

use crate::apply::Context;
use crate::effect::Effect;
use crate::limits;
use crate::notices;
use crate::outcome::{Dropped, Outcome, Refusal};
use crate::row::{Report, Standing, TaskRow};
use crate::state::Offers;

impl Offers {
    /// Takes the reports of an agent's session.
    pub(crate) fn report(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        epoch: Epoch,
        updates: &[StatusUpdate],
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let row = self
            .agents
            .get(&agent)
            .ok_or(Refusal::UnknownAgent(agent))?;
        if row.epoch != epoch || !row.is_connected() {
            return Err(Refusal::OldSession {
                agent,
                current: row.epoch,
            });
        }
        for update in updates {
            self.take_update(context, agent, update, effects);
        }
        Ok(Outcome::Done)
    }

    /// Takes one report; one that the ledger has already is only confirmed again.
    pub(crate) fn take_update(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        update: &StatusUpdate,
        effects: &mut Vec<Effect>,
    ) {
        let key = &update.task;
        let confirmed = Effect::UpdateDurable {
            agent,
            task: key.clone(),
            sequence: update.sequence,
        };
        let Some(row) = self.tasks.get(key) else {
            effects.push(confirmed);
            notices::runs_changed(agent, key.clone(), effects);
            return;
        };
        if row.assignment.agent != agent {
            return;
        }
        if update.sequence <= row.sequence {
            effects.push(confirmed);
            return;
        }
        let counts = !row.reported.is_terminal() && is_reportable(update.state);
        effects.push(confirmed);
        if counts {
            self.advance(context, key, Report::from(update), effects);
        } else {
            self.change_task(key, |row| row.sequence = update.sequence);
        }
    }

    /// A task's state changes.
    pub(crate) fn advance(
        &mut self,
        context: &Context<'_>,
        key: &TaskKey,
        mut report: Report,
        effects: &mut Vec<Effect>,
    ) {
        let row = self.tasks.get(key).expect("the caller found the task");
        let agent = row.assignment.agent;
        let abandoned = row.standing == Standing::Abandoned;
        let framework = self.frameworks.get(&key.framework);
        let knows_killing = framework.is_none_or(|f| f.info.can(Capability::TaskKillingState));
        let told = !abandoned && (report.state != TaskState::Killing || knows_killing);
        if abandoned && report.state == TaskState::Killed {
            report.reason = Some(Reason::FrameworkRemoved);
        }
        let state = report.state;
        let mut is_out = false;
        self.change_task(key, |row| {
            row.reported = state;
            row.sequence = row.sequence.max(report.sequence);
            keep_status(row, &report);
            if told {
                is_out = row.pending.is_empty();
                keep_pending(row, report);
            }
        });
        effects.push(Effect::TaskChanged {
            task: key.clone(),
            agent,
            state,
        });
        if state.is_terminal() {
            self.misaccount(context, key);
            effects.push(Effect::AgentChanged { agent });
            effects.push(Effect::FrameworkChanged {
                framework: key.framework.clone(),
            });
        }
        if is_out {
            self.tell_head(key, effects);
        }
        if abandoned && state.is_terminal() {
            self.finish(context, key, effects);
        }
    }

    /// Planted bugs: what an ended task held is given back once more, or taken again.
    fn misaccount(&mut self, context: &Context<'_>, key: &TaskKey) {
        let plants = context.plants;
        if !plants.has(Plant::FreeTwice) && !plants.has(Plant::NeverFree) {
            return;
        }
        let row = self.tasks.get(key).expect("the caller found the task");
        let (agent, held) = (row.assignment.agent, row.assignment.spec.resources.clone());
        if plants.has(Plant::FreeTwice) {
            self.release(agent, &held);
        } else {
            let taken = self.reserve(agent, &held);
            assert!(taken, "what was just given back is free");
        }
    }

    /// Sends the first unacknowledged update of a task to its framework.
    pub(crate) fn tell_head(&self, key: &TaskKey, effects: &mut Vec<Effect>) {
        let task = self.tasks.get(key).expect("the caller found the task");
        let head = task.pending.first().expect("the caller saw an update");
        let row = self.frameworks.get(&key.framework);
        notices::tell(&key.framework, row, effects, |info| {
            Notice::Update(notices::update_status(info, key, task, head))
        });
    }

    /// Moves an ended task to the completed ones and lets its agent forget it.
    pub(crate) fn finish(
        &mut self,
        context: &Context<'_>,
        key: &TaskKey,
        effects: &mut Vec<Effect>,
    ) {
        let row = self
            .complete_task(key, context.wall())
            .expect("the caller found the task");
        let agent = row.assignment.agent;
        notices::runs_changed(agent, key.clone(), effects);
        effects.push(Effect::TaskGone {
            task: key.clone(),
            agent,
        });
    }

    /// A framework received an update: the next one goes out, or the task is done.
    pub(crate) fn acknowledge(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        agent: &AgentName,
        task: &str,
        update: UpdateId,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let is_meant = |row: &TaskRow| {
            AgentName::Id(row.assignment.agent) == *agent
                && row.pending.first().is_some_and(|head| head.id == update)
        };
        let key = TaskId::new(task).ok().and_then(|id| {
            self.uses_of(framework, &id)
                .find(|task| is_meant(task.row))
                .map(|task| task.key.clone())
        });
        let Some(key) = key else {
            return Ok(Outcome::Dropped(Dropped::NotOutstanding));
        };
        let (mut ended, mut waits) = (false, false);
        self.change_task(&key, |row| {
            let head = row.pending.remove(0);
            if context.plants.has(Plant::AcknowledgeAll) {
                row.pending.clear();
            }
            ended = head.state.is_terminal();
            waits = !row.pending.is_empty();
        });
        if ended {
            self.finish(context, &key, effects);
        } else if waits {
            self.tell_head(&key, effects);
        }
        Ok(Outcome::Done)
    }
}

/// Whether an agent may report such a state.
fn is_reportable(state: TaskState) -> bool {
    match state {
        TaskState::Starting
        | TaskState::Running
        | TaskState::Killing
        | TaskState::Finished
        | TaskState::Failed
        | TaskState::Killed
        | TaskState::Error
        | TaskState::Lost
        | TaskState::Dropped
        | TaskState::Gone => true,
        TaskState::Staging
        | TaskState::Unreachable
        | TaskState::GoneByOperator
        | TaskState::Unknown => false,
    }
}

/// Keeps one status per distinct consecutive state: a repeated state replaces the last.
fn keep_status(row: &mut TaskRow, report: &Report) {
    match row.statuses.last_mut() {
        Some(last) if last.state == report.state => *last = report.clone(),
        Some(_) | None => {
            if row.statuses.len() == limits::STATUSES_PER_TASK {
                row.statuses.remove(0);
            }
            row.statuses.push(report.clone());
        }
    }
}

/// Queues a report for the framework; in a full queue it takes the place of the one before it,
/// which is neither out (that is the first) nor an end (nothing follows an end).
fn keep_pending(row: &mut TaskRow, report: Report) {
    if row.pending.len() == limits::PENDING_PER_TASK {
        row.pending.pop();
    }
    row.pending.push(report);
}

/// The end of a task that its agent does not know, or no longer proves: told as reliably as an
/// agent's word, under an id that is the same on every replica.
pub(crate) fn ending(context: &Context<'_>, key: &TaskKey, state: TaskState) -> Report {
    let (reason, message) = if state == TaskState::Killed {
        let reason = Reason::TaskKilledDuringLaunch;
        (reason, "Killed before it was launched")
    } else {
        let reason = Reason::Reconciliation;
        (reason, "Reconciliation: Task is unknown to the agent")
    };
    let text = format!("{key} {state}");
    Report {
        sequence: 0,
        id: UpdateId(StateHash::of_row(u64::MAX, text.as_bytes()).0),
        state,
        source: Source::Agent,
        reason: Some(reason),
        message: Arc::from(message),
        timestamp: context.wall(),
        exit: None,
    }
}
