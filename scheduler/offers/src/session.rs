//! Sessions of agents: opened with a hello that is merged into the ledger, closed, given up.
//!
//! Source: design sections 5.1 and 5.6; facts 6.4, 6.8 and 6.9 for what frameworks see.

use std::sync::Arc;
use std::time::Duration;

use shoal_api::notice::Notice;
use shoal_api::session::Hello;
use shoal_api::{AgentId, Epoch, NodeId, Plant, Resources, TaskKey, TaskState};
use shoal_ledger::Sealed;

use crate::apply::Context;
use crate::effect::Effect;
use crate::limits;
use crate::merge::word;
use crate::notices;
use crate::outcome::{Outcome, Refusal};
use crate::row::{AgentRow, Presence};
use crate::state::Offers;

impl Offers {
    pub(crate) fn open_session(
        &mut self,
        context: &Context<'_>,
        hello: Hello,
        master: NodeId,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let merge = self.plan_merge(context, &hello).map_err(Refusal::Session)?;
        if merge.agent.is_none() && self.agents.len() >= limits::AGENTS {
            return Err(Refusal::TooMany {
                what: Arc::from("agents"),
                limit: limits::AGENTS as u64,
            });
        }
        let agent = merge.agent.unwrap_or_else(|| AgentId {
            origin: context.origin,
            number: self.count(|counters| &mut counters.agent),
        });
        if !merge.keeps_offers {
            self.rescind_offers_on(agent, effects);
        }
        effects.push(Effect::SessionChanged { agent });
        self.merge_known(context, agent, &hello, &merge, effects);
        let Hello {
            mut info,
            generation,
            number,
            tasks,
            ..
        } = hello;
        let epoch = merge.epoch;
        info.resources = merge.total;
        let row = AgentRow {
            free: self.rest_of(agent, &info.resources),
            info: Sealed::new(Arc::new(info)),
            generation,
            hello: number,
            epoch,
            incarnation: context.incarnation,
            presence: Presence::Connected {
                master,
                since: context.wall(),
            },
            registered: merge.registered,
        };
        self.put_agent(agent, row);
        self.merge_strangers(context, agent, &tasks, &merge.strangers, effects);
        effects.push(Effect::AgentChanged { agent });
        Ok(Outcome::Session { agent, epoch })
    }

    /// What offers and tasks leave of an agent's resources.
    fn rest_of(&self, agent: AgentId, total: &Resources) -> Resources {
        let mut rest = total.clone();
        let mut without = |held: &Resources| {
            rest.subtract(held)
                .expect("a planned merge leaves tasks and offers their resources");
        };
        for task in self.tasks_of_agent(agent).filter(|task| task.row.holds()) {
            without(&task.row.assignment.spec.resources);
        }
        for offer in self.offers_on(agent) {
            without(&offer.offer.resources);
        }
        rest
    }

    /// A session ended: no new launches there, its offers are taken back, its lease goes on.
    pub(crate) fn close_session(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        epoch: Epoch,
        restarting: Option<Duration>,
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
        if !context.plants.has(Plant::OffersOutliveSession) {
            self.rescind_offers_on(agent, effects);
        }
        self.agents.update(&agent, |row| {
            row.presence = Presence::Disconnected {
                since: context.now(),
                restarting: restarting.map(|asked| asked.min(limits::RESTART_GRACE)),
            };
        });
        effects.push(Effect::SessionChanged { agent });
        effects.push(Effect::AgentChanged { agent });
        Ok(Outcome::Done)
    }

    /// A lease ended: the agent's tasks are unreachable, and every framework is told of its loss.
    pub(crate) fn end_lease(
        &mut self,
        context: &Context<'_>,
        agent: AgentId,
        epoch: Epoch,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let row = self
            .agents
            .get(&agent)
            .ok_or(Refusal::UnknownAgent(agent))?;
        let waiting = matches!(row.presence, Presence::Disconnected { .. });
        if row.epoch != epoch || !waiting {
            return Err(Refusal::OldSession {
                agent,
                current: row.epoch,
            });
        }
        let since = context.wall();
        self.agents.update(&agent, |row| {
            row.presence = Presence::Unreachable { since };
        });
        effects.push(Effect::SessionChanged { agent });
        effects.push(Effect::AgentChanged { agent });
        let running: Vec<TaskKey> = self
            .tasks_of_agent(agent)
            .filter(|task| task.row.holds())
            .map(|task| task.key.clone())
            .collect();
        for key in running {
            self.change_task(&key, |row| row.unreachable_since = Some(since));
            let state = TaskState::Unreachable;
            let row = self.tasks.get(&key).expect("it was found above");
            let word = word(context, &key, row, state);
            let framework = self.frameworks.get(&key.framework);
            notices::tell(&key.framework, framework, effects, |info| {
                Notice::Update(word.status(info))
            });
            effects.push(Effect::TaskChanged {
                task: key,
                agent,
                state,
            });
        }
        for (framework, row) in self.frameworks.iter() {
            notices::tell(framework, Some(row), effects, |_| Notice::Failure { agent });
        }
        Ok(Outcome::Done)
    }
}
