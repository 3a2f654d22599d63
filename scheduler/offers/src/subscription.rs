//! Subscriptions of frameworks: opened, taken over, lost.
//!
//! Source: facts 2.4 to 2.9, 2.25 and 2.26.

use std::sync::Arc;

use shoal_api::call::Subscribe;
use shoal_api::notice::Notice;
use shoal_api::{Capability, FrameworkId, FrameworkInfo, NodeId, StreamId};
use shoal_ledger::Sealed;

use crate::apply::Context;
use crate::command::DisconnectCause;
use crate::effect::Effect;
use crate::limits;
use crate::notices;
use crate::outcome::{Outcome, Refusal};
use crate::row::{Connection, FrameworkRow, Standing};
use crate::state::Offers;

impl Offers {
    /// A framework subscribes; the newest subscription always wins.
    pub(crate) fn subscribe(
        &mut self,
        context: &Context<'_>,
        subscribe: Subscribe,
        holder: NodeId,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let Subscribe { mut info, stream } = subscribe;
        check_info(&info)?;
        let before = match &info.id {
            Some(id) => self.find_subscriber(id, &info)?,
            None => None,
        };
        if before.is_none() && self.frameworks.len() >= limits::FRAMEWORKS {
            return Err(Refusal::TooMany {
                what: Arc::from("frameworks"),
                limit: limits::FRAMEWORKS as u64,
            });
        }
        let framework = match &info.id {
            Some(id) => id.clone(),
            None => self.assign_framework(context),
        };
        info.id = Some(framework.clone());
        let mut registered = context.wall();
        if let Some(before) = before {
            registered = before.registered;
            info.user = Arc::clone(&before.info.user);
            self.replace_stream(&framework, &before, stream, effects);
        }
        let row = FrameworkRow {
            suppressed: info.suppressed.clone(),
            info: Sealed::new(Arc::new(info)),
            connection: Connection::Connected { stream, holder },
            registered,
            subscribed: context.wall(),
        };
        self.put_framework(&framework, row);
        let row = self.frameworks.get(&framework);
        notices::tell(&framework, row, effects, |_| Notice::Subscribed {
            framework: framework.clone(),
        });
        effects.push(Effect::FrameworkChanged {
            framework: framework.clone(),
        });
        Ok(Outcome::Subscribed { framework })
    }

    /// The row of a framework that brings an id along; an id that is not known is taken over.
    fn find_subscriber(
        &self,
        id: &FrameworkId,
        info: &FrameworkInfo,
    ) -> Result<Option<FrameworkRow>, Refusal> {
        if let Some(before) = self.frameworks.get(id) {
            if before.info.principal != info.principal {
                return Err(Refusal::PrincipalChanged {
                    from: before.info.principal.clone(),
                    to: info.principal.clone(),
                });
            }
            return Ok(Some(before.clone()));
        }
        let was_removed = self.completed_frameworks.contains(id)
            || self
                .tasks_of_framework(id)
                .any(|task| task.row.standing == Standing::Abandoned);
        if was_removed {
            return Err(Refusal::FrameworkRemoved);
        }
        Ok(None)
    }

    fn assign_framework(&mut self, context: &Context<'_>) -> FrameworkId {
        loop {
            let number = self.count(|counters| &mut counters.framework);
            let text = format!("{}-{number:04}", context.origin);
            let id = FrameworkId::new(&text).expect("an assigned id is well formed");
            let taken = self.frameworks.contains(&id) || self.completed_frameworks.contains(&id);
            if !taken {
                return id;
            }
        }
    }

    /// Ends what the older subscription had: its stream, and its offers without a word.
    fn replace_stream(
        &mut self,
        framework: &FrameworkId,
        before: &FrameworkRow,
        stream: StreamId,
        effects: &mut Vec<Effect>,
    ) {
        if let Some((old, holder)) = before.stream()
            && old != stream
        {
            notices::tell(framework, Some(before), effects, |_| {
                Notice::Error(Arc::from("Framework failed over"))
            });
            effects.push(Effect::StreamEnded {
                framework: framework.clone(),
                stream: old,
                holder,
            });
        }
        self.withdraw_offers_of(framework, effects);
        effects.push(Effect::Revived {
            framework: framework.clone(),
            roles: std::collections::BTreeSet::new(),
        });
    }

    /// A stream ended: the framework's time to come back starts.
    pub(crate) fn disconnect(
        &mut self,
        context: &Context<'_>,
        framework: &FrameworkId,
        stream: StreamId,
        cause: DisconnectCause,
        effects: &mut Vec<Effect>,
    ) -> Result<Outcome, Refusal> {
        let mut row = self.check_stream(framework, stream)?.clone();
        let holder = row.stream().map(|(_, holder)| holder);
        let timeout = match cause {
            DisconnectCause::StreamClosed => row.info.failover_timeout,
            DisconnectCause::HolderDied => row.info.failover_timeout.max(limits::HOLDER_DIED_GRACE),
        };
        row.connection = Connection::Disconnected {
            since: context.wall(),
            deadline: context.now() + timeout,
            cause,
        };
        self.withdraw_offers_of(framework, effects);
        self.put_framework(framework, row);
        // A holder that was given up wrongly must not go on as if it held a subscription.
        effects.extend(holder.map(|holder| Effect::StreamEnded {
            framework: framework.clone(),
            stream,
            holder,
        }));
        effects.push(Effect::FrameworkChanged {
            framework: framework.clone(),
        });
        Ok(Outcome::Done)
    }
}

/// What the border cannot have let through, checked again.
fn check_info(info: &FrameworkInfo) -> Result<(), Refusal> {
    let invalid = |why: String| Err(Refusal::InvalidFramework(Arc::from(why)));
    if info.roles.is_empty() {
        return invalid("a framework needs at least one role".to_owned());
    }
    if info.roles.len() > shoal_api::limits::ROLES_PER_FRAMEWORK {
        return invalid(format!("a framework has {} roles", info.roles.len()));
    }
    if info.roles.len() > 1 && !info.can(Capability::MultiRole) {
        return invalid("several roles need the capability MULTI_ROLE".to_owned());
    }
    if let Some(role) = info.suppressed.difference(&info.roles).next() {
        return invalid(format!("suppressed role {role} is not subscribed"));
    }
    Ok(())
}
