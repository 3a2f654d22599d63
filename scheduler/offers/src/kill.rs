//! Kills: a row of the task until its agent confirms the end.

use std::sync::Arc;
use std::time::Duration;

use shoal_api::call::{AgentName, ReconcileTask};
use shoal_api::notice::Notice;
use shoal_api::{FrameworkId, Plant, TaskId, TaskKey, TaskState};

use crate::apply::Context;
use crate::effect::Effect;
use crate::notices;
use crate::outcome::{Dropped, Outcome, Refusal};
use crate::row::KillOrder;
use crate::state::Offers;

impl Offers {
    /// Orders a task's end; of an unknown task the framework is told as if it had asked for it.
    pub(crate) fn kill(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        task: &Arc<str>,
        agent: Option<AgentName>,
        grace: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let found = TaskId::new(task)
            .ok()
            .and_then(|id| self.find_task(framework, &id));
        let Some(found) = found else {
            let asked = ReconcileTask {
                task: Arc::clone(task),
                agent,
            };
            let row = self.frameworks.get(framework).expect("a checked framework");
            let status = self.reconcile_one(&row.info, framework, &asked, context.wall());
            notices::tell(framework, Some(row), effects, |_| Notice::Update(status));
            return Ok(Outcome::Dropped(Dropped::Answered));
        };
        let on = found.row.assignment.agent;
        if agent.is_some_and(|agent| agent != AgentName::Id(on)) {
            return Ok(Outcome::Dropped(Dropped::WrongAgent));
        }
        if !found.row.holds() {
            let key = found.key.clone();
            if context.plants.has(Plant::KillOverwritesEnd) {
                self.change_task(&key, |row| row.reported = TaskState::Killed);
            }
            return Ok(Outcome::Dropped(Dropped::AlreadyEnded));
        }
        let key = found.key.clone();
        self.order_kill(context, &key, grace, effects);
        Ok(Outcome::Done)
    }

    /// Writes the order down and has the agent look at it.
    pub(crate) fn order_kill(
        &mut self,
        context: &Context<'_>,
        key: &TaskKey,
        grace: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) {
        let since = context.wall();
        let mut agent = None;
        self.change_task(key, |row| {
            let since = row.kill.map_or(since, |before| before.since);
            let grace = grace.or(row.kill.and_then(|before| before.grace));
            row.kill = Some(KillOrder { grace, since });
            agent = Some(row.assignment.agent);
        });
        let agent = agent.expect("the caller found the task");
        notices::runs_changed(agent, key.clone(), effects);
    }
}
