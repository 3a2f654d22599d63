//! A hello, merged: what an agent runs against what the ledger says of it.
//!
//! Planned and checked as a whole first, so that a refused hello changes nothing.
//! Source: design section 5.1, facts 6.8 and 6.9 for what frameworks see.

use std::collections::BTreeMap;
use std::sync::Arc;

use shoal_api::call::AgentName;
use shoal_api::notice::Notice;
use shoal_api::session::{Hello, SessionRefusal, TaskReport};
use shoal_api::task::Assignment;
use shoal_api::{AgentId, ContainerId, Epoch, Reason, Resources, TaskKey, TaskState, Timestamp};
use shoal_ledger::Sealed;

use crate::apply::Context;
use crate::effect::Effect;
use crate::limits;
use crate::notices::{self, Word};
use crate::operate;
use crate::report as reports;
use crate::row::{AgentRow, KillOrder, Report, Standing, TaskRow};
use crate::state::Offers;

/// What a hello will do, decided and checked before anything changes.
pub(crate) struct Merge {
    /// The agent's id, if it is to keep one.
    pub(crate) agent: Option<AgentId>,
    pub(crate) epoch: Epoch,
    pub(crate) registered: Timestamp,
    /// What it has: as configured, on the terms that operations left.
    pub(crate) total: Resources,
    /// Whether its offers stay out.
    pub(crate) keeps_offers: bool,
    /// Reports of tasks that get a row, by their place in the hello.
    pub(crate) strangers: Vec<usize>,
    /// Whether the ledger was restored since the agent's last session.
    pub(crate) restored: bool,
}

impl Offers {
    /// Checks a hello against the ledger.
    pub(crate) fn plan_merge(
        &self,
        context: &Context<'_>,
        hello: &Hello,
    ) -> Result<Merge, SessionRefusal> {
        let (agent, row) = self.find_agent(context, hello)?;
        if let Some(row) = row
            && (row.generation, row.hello) >= (hello.generation, hello.number)
        {
            return Err(SessionRefusal::Superseded(row.epoch));
        }
        let restored = match row {
            Some(row) => row.incarnation < context.incarnation,
            None => hello.agent.is_some_and(|id| id.origin != context.origin),
        };
        let strangers = self.find_strangers(agent, hello, restored)?;
        let mut held = Resources::new();
        if let Some(agent) = agent {
            self.hold_after(agent, hello, restored, &mut held)?;
        }
        let new = strangers.iter().map(|at| &hello.tasks[*at]);
        for report in new.filter(|report| !report.state.is_terminal()) {
            hold(&mut held, &report.assignment.spec.resources)?;
        }
        let configured = &hello.info.resources;
        let before = row.map_or(configured, |row| &row.info.resources);
        let total = operate::carried_over(configured, before, &held).and_then(|total| {
            total.clone().subtract(&held)?;
            Ok(total)
        });
        let total =
            total.map_err(|why| SessionRefusal::ResourcesShrunk(Arc::from(why.to_string())))?;
        let same = |row: &AgentRow| {
            let (before, after) = (&*row.info, &hello.info);
            before.resources == total
                && before.attributes == after.attributes
                && before.http == after.http
        };
        let same_life = hello.fence.incarnation == context.incarnation;
        let obeyed = if same_life {
            hello.fence.epoch
        } else {
            Epoch(0)
        };
        Ok(Merge {
            agent,
            epoch: row.map_or(Epoch(0), |row| row.epoch).max(obeyed).next(),
            registered: row.map_or(context.wall(), |row| row.registered),
            // Strangers may hold what is offered: then the offers are not worth their word.
            keeps_offers: row.is_some_and(same) && strangers.is_empty(),
            total,
            strangers,
            restored,
        })
    }

    /// What the tasks that the ledger knows hold once a hello is merged.
    fn hold_after(
        &self,
        agent: AgentId,
        hello: &Hello,
        restored: bool,
        held: &mut Resources,
    ) -> Result<(), SessionRefusal> {
        let reports = by_key(&hello.tasks);
        for task in self.tasks_of_agent(agent).filter(|task| task.row.holds()) {
            let ends = match reports.get(task.key) {
                Some(report) => report.state.is_terminal(),
                None => end_of_missing(task.row, restored).is_some(),
            };
            if !ends {
                hold(held, &task.row.assignment.spec.resources)?;
            }
        }
        Ok(())
    }

    /// The id of an agent that has or keeps one, and its row if it has one.
    fn find_agent(
        &self,
        context: &Context<'_>,
        hello: &Hello,
    ) -> Result<(Option<AgentId>, Option<&AgentRow>), SessionRefusal> {
        if let Some(id) = self.agent_of(hello.info.node) {
            return Ok((Some(id), self.agents.get(&id)));
        }
        match hello.agent {
            Some(id) if self.agents.contains(&id) => {
                let why = format!("agent {id} is of another node");
                Err(SessionRefusal::Invalid(Arc::from(why)))
            }
            // Assigned in a life of the cluster that this ledger does not remember.
            Some(id) if id.origin != context.origin => Ok((Some(id), None)),
            Some(_) | None => Ok((None, None)),
        }
    }

    /// The reports of tasks that have no row and get one.
    ///
    /// What has ended and has no row was acknowledged: it is to be forgotten. Only after a restore
    /// may its end be news.
    fn find_strangers(
        &self,
        agent: Option<AgentId>,
        hello: &Hello,
        restored: bool,
    ) -> Result<Vec<usize>, SessionRefusal> {
        let invalid = |why: String| Err(SessionRefusal::Invalid(Arc::from(why)));
        let mut keys: Vec<&TaskKey> = hello.tasks.iter().map(|t| &t.assignment.key).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return invalid(format!("task {} is reported twice", twice[0]));
        }
        let mut strangers = Vec::new();
        for (at, report) in hello.tasks.iter().enumerate() {
            let key = &report.assignment.key;
            let row = self.tasks.get(key);
            if report.updates.iter().any(|update| update.task != *key) {
                return invalid(format!("task {key} is reported with another task's update"));
            }
            if row.is_some_and(|row| Some(row.assignment.agent) != agent) {
                return invalid(format!("task {key} is of another agent"));
            }
            let ended = report.state.is_terminal();
            let news = restored && !self.completed_frameworks.contains(&key.framework);
            if row.is_none() && (!ended || news) {
                strangers.push(at);
            }
        }
        if self.tasks.len() + strangers.len() > limits::TASKS {
            return invalid(format!("the ledger has {} tasks already", limits::TASKS));
        }
        Ok(strangers)
    }

    /// Brings the tasks that the ledger knows, or that are over, to where the agent says they are.
    pub(crate) fn merge_known(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        hello: &Hello,
        merge: &Merge,
        effects: &mut Vec<Effect>,
    ) {
        self.merge_missing(context, agent, hello, merge.restored, effects);
        for (at, report) in hello.tasks.iter().enumerate() {
            if merge.strangers.binary_search(&at).is_err() {
                self.merge_report(context, agent, report, effects);
            }
        }
    }

    /// Gives the tasks that the ledger does not know their rows; what they hold is free before.
    pub(crate) fn merge_strangers(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        tasks: &[TaskReport],
        strangers: &[usize],
        effects: &mut Vec<Effect>,
    ) {
        for report in strangers.iter().map(|at| &tasks[*at]) {
            if !report.state.is_terminal() {
                let fits = self.reserve(agent, &report.assignment.spec.resources);
                assert!(fits, "a planned merge fits");
            }
            self.add_stranger(context, agent, report, effects);
            self.merge_report(context, agent, report, effects);
        }
    }

    /// Gives a reported task its row: an orphan, or one that its framework left behind.
    ///
    /// The updates of one that runs are taken afterwards, as any others; one that has ended gets
    /// its row only for the end to be told.
    fn add_stranger(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        report: &TaskReport,
        effects: &mut Vec<Effect>,
    ) {
        let key = report.assignment.key.clone();
        let removed = self.completed_frameworks.contains(&key.framework);
        let assignment = Assignment {
            agent,
            ..(*report.assignment).clone()
        };
        let since = context.wall();
        let mut row = TaskRow {
            assignment: Sealed::new(Arc::new(assignment)),
            reported: report.state,
            sequence: 0,
            statuses: Vec::new(),
            pending: Vec::new(),
            kill: removed.then_some(KillOrder { grace: None, since }),
            unreachable_since: None,
            standing: if removed {
                Standing::Abandoned
            } else {
                Standing::Orphan
            },
            launched: since,
        };
        let first = report.updates.first().map(|update| update.sequence);
        if row.holds() {
            // A sequence of 0 would mean that it may never have been launched.
            let confirmed = first.map_or(1, |first| first.saturating_sub(1));
            row.sequence = if report.state == TaskState::Staging {
                0
            } else {
                confirmed
            };
        } else {
            queue_end(context, report, &mut row);
        }
        let (state, over) = (row.reported, !row.holds());
        self.add_task(key.clone(), row);
        if over {
            self.tell_head(&key, effects);
        }
        effects.push(Effect::TaskChanged {
            task: key,
            agent,
            state,
        });
    }

    /// Tasks of the ledger that the agent does not report.
    fn merge_missing(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        hello: &Hello,
        restored: bool,
        effects: &mut Vec<Effect>,
    ) {
        let reports = by_key(&hello.tasks);
        let mut ends = Vec::new();
        for task in self.tasks_of_agent(agent).filter(|task| task.row.holds()) {
            if !reports.contains_key(task.key)
                && let Some(state) = end_of_missing(task.row, restored)
            {
                ends.push((task.key.clone(), state));
            }
        }
        for (key, state) in ends {
            self.change_task(&key, |row| row.unreachable_since = None);
            let end = reports::ending(context, &key, state);
            self.advance(context, &key, end, effects);
        }
    }

    /// One report of a hello: updates that the ledger lacks, and the return from unreachable.
    fn merge_report(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        report: &TaskReport,
        effects: &mut Vec<Effect>,
    ) {
        let key = &report.assignment.key;
        let Some(row) = self.tasks.get(key) else {
            notices::runs_changed(agent, key.clone(), effects);
            return;
        };
        let was_unreachable = row.unreachable_since.is_some();
        if was_unreachable {
            self.change_task(key, |row| row.unreachable_since = None);
        }
        for update in &report.updates {
            self.take_update(context, agent, update, effects);
        }
        self.believe(context, report, effects);
        let Some(row) = self.tasks.get(key) else {
            return;
        };
        if was_unreachable && row.holds() {
            let word = Word {
                message: Arc::from("Agent is back"),
                reason: Reason::AgentReregistered,
                ..word(context, key, row, row.reported)
            };
            let framework = self.frameworks.get(&key.framework);
            notices::tell(&key.framework, framework, effects, |info| {
                Notice::Update(word.status(info))
            });
            effects.push(Effect::TaskChanged {
                task: key.clone(),
                agent,
                state: row.reported,
            });
        }
    }

    /// After a restore a row may be behind what the agent had confirmed: its word counts.
    fn believe(&mut self, context: &Context<'_>, report: &TaskReport, effects: &mut Vec<Effect>) {
        let key = &report.assignment.key;
        let Some(row) = self.tasks.get(key).filter(|row| row.holds()) else {
            return;
        };
        if report.state.is_terminal() {
            let end = confirmed_end(context, report);
            self.advance(context, key, end, effects);
        } else if row.sequence == 0 && report.state != TaskState::Staging {
            self.change_task(key, |row| {
                row.sequence = 1;
                row.reported = report.state;
            });
        }
    }
}

fn by_key(tasks: &[TaskReport]) -> BTreeMap<&TaskKey, &TaskReport> {
    tasks.iter().map(|t| (&t.assignment.key, t)).collect()
}

/// How a task ends that its agent does not report; nothing if it is to be launched.
///
/// What the agent never confirmed and is still wanted will be launched. What it had and does not
/// know any more, or was given up meanwhile, must never run again. After a restore nobody can tell
/// whether a task ran and was forgotten.
fn end_of_missing(row: &TaskRow, restored: bool) -> Option<TaskState> {
    let never_ran = row.sequence == 0;
    if !never_ran {
        Some(TaskState::Gone)
    } else if row.kill.is_some() {
        Some(TaskState::Killed)
    } else if restored || row.unreachable_since.is_some() {
        Some(TaskState::Dropped)
    } else {
        None
    }
}

/// Queues the end of a task that was over before the ledger knew of it.
fn queue_end(context: &Context<'_>, report: &TaskReport, row: &mut TaskRow) {
    let end = report.updates.last().filter(|u| u.state.is_terminal());
    let end = end.map_or_else(|| confirmed_end(context, report), Report::from);
    row.reported = end.state;
    row.sequence = end.sequence;
    row.statuses.push(end.clone());
    row.pending.push(end);
}

/// The end of a task that another life of the ledger had confirmed.
fn confirmed_end(context: &Context<'_>, report: &TaskReport) -> Report {
    Report {
        reason: None,
        message: Arc::from("Found after its end was confirmed"),
        ..reports::ending(context, &report.assignment.key, report.state)
    }
}

/// The loss of a task, or its return if the caller says so.
pub(crate) fn word(context: &Context<'_>, key: &TaskKey, row: &TaskRow, state: TaskState) -> Word {
    Word {
        task: Arc::from(key.task.as_str()),
        agent: Some(AgentName::Id(row.assignment.agent)),
        state,
        reason: Reason::AgentRemoved,
        message: Arc::from("Agent is unreachable"),
        wall: context.wall(),
        unreachable_since: row.unreachable_since,
        container: Some(ContainerId::of(row.assignment.agent, key.launch)),
    }
}

fn hold(held: &mut Resources, more: &Resources) -> Result<(), SessionRefusal> {
    held.add(more)
        .map_err(|why| SessionRefusal::Invalid(Arc::from(why.to_string())))
}
