//! The end of a framework: its tasks are killed and hold their resources until their agents
//! confirm; its id is refused.

use shoal_api::{FrameworkId, Plant, TaskKey};

use crate::apply::Context;
use crate::command::RemovalCause;
use crate::effect::Effect;
use crate::outcome::{Outcome, Refusal};
use crate::row::{CompletedFramework, Connection, FrameworkRow, Standing};
use crate::state::Offers;

impl Offers {
    pub(crate) fn end_framework(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        cause: RemovalCause,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        if self.completed_frameworks.contains(framework) {
            return Err(Refusal::FrameworkRemoved);
        }
        let row = self
            .frameworks
            .get(framework)
            .ok_or(Refusal::UnknownFramework)?;
        match cause {
            RemovalCause::Teardown { stream } => {
                self.check_stream(framework, stream)?;
            }
            RemovalCause::FailoverTimeout { deadline } => {
                let still = matches!(row.connection, Connection::Disconnected { deadline: own, .. }
                    if own == deadline);
                if !still || context.now() < deadline {
                    return Err(Refusal::OldTimer);
                }
            }
            RemovalCause::Operator => {}
        }
        self.withdraw_offers_of(framework, effects);
        self.forget_operations(framework);
        let row = self.remove_framework(framework).expect("it was found");
        if !context.plants.has(Plant::TasksOutliveFramework) {
            self.abandon_tasks(context, framework, effects);
        }
        if let Some((stream, holder)) = row.stream() {
            effects.push(Effect::StreamEnded {
                framework: framework.clone(),
                stream,
                holder,
            });
        }
        self.remember(context, framework, &row, cause);
        effects.push(Effect::FrameworkChanged {
            framework: framework.clone(),
        });
        effects.push(Effect::FrameworkGone {
            framework: framework.clone(),
        });
        Ok(Outcome::Done)
    }

    /// Kills what runs; what has ended waits for nobody's acknowledgement any more.
    fn abandon_tasks(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        effects: &mut Vec<Effect>,
    ) {
        let tasks: Vec<(TaskKey, bool)> = self
            .tasks_of_framework(framework)
            .map(|task| (task.key.clone(), task.row.holds()))
            .collect();
        for (key, holds) in tasks {
            if !holds {
                self.finish(context, &key, effects);
                continue;
            }
            self.change_task(&key, |row| {
                row.standing = Standing::Abandoned;
                row.pending.clear();
            });
            self.order_kill(context, &key, None, effects);
        }
    }

    fn remember(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        row: &FrameworkRow,
        cause: RemovalCause,
    ) {
        let order = self.count(|counters| &mut counters.completed);
        let completed = CompletedFramework {
            info: row.info.clone(),
            order,
            cause,
            registered: row.registered,
            ended: context.wall(),
        };
        self.complete_framework(framework, completed);
    }
}
