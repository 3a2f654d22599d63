//! What a command did, as events: the command gives the cue, its effects and the state the rest.
//!
//! This runs for every command on every replica, so it copies pointers and little else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::notice::Notice;
use shoal_api::{
    AgentId, FrameworkId, NodeId, OfferId, Role, StreamId, TaskId, TaskKey, TaskState, Timestamp,
    UpdateId,
};
use shoal_offers::{
    DisconnectCause, Effect, Offers, OffersCommand, Outcome, Refusal, RemovalCause, Report,
    RescindCause,
};

use crate::event::{Event, KilledBy, Reported, What};
use crate::state::RUNS_STREAM;

/// How many of the newest completed tasks are looked at for one that ended in this very command.
const COMPLETED_LOOK: usize = 64;

/// Where events of one command go.
pub(crate) struct Story<'a> {
    pub(crate) wall: Timestamp,
    pub(crate) events: &'a mut Vec<Event>,
}

impl Story<'_> {
    pub(crate) fn tell(&mut self, what: What) {
        let wall = Some(self.wall);
        self.events.push(Event { wall, what });
    }
}

/// What is kept of a command while it is applied.
pub(crate) enum Cue {
    /// Its effects say it all.
    Effects,
    SessionOpened {
        master: NodeId,
    },
    SessionClosed {
        agent: AgentId,
        restarting: Option<Duration>,
    },
    LeaseEnded {
        agent: AgentId,
    },
    Subscribed {
        name: Arc<str>,
        holder: NodeId,
    },
    Disconnected {
        framework: FrameworkId,
        cause: DisconnectCause,
    },
    Removed {
        framework: FrameworkId,
        cause: RemovalCause,
    },
    Accepted {
        framework: FrameworkId,
        offers: Arc<[OfferId]>,
    },
    Declined {
        framework: FrameworkId,
        offers: Arc<[OfferId]>,
        refuse: Duration,
    },
    Rescinded {
        cause: RescindCause,
    },
    Suppressed {
        framework: FrameworkId,
        roles: BTreeSet<Role>,
    },
    Revived {
        framework: FrameworkId,
        roles: BTreeSet<Role>,
    },
    Kill {
        framework: FrameworkId,
        task: Arc<str>,
        by: KilledBy,
        grace: Option<Duration>,
    },
    Acknowledged {
        framework: FrameworkId,
        task: Arc<str>,
        update: UpdateId,
    },
}

/// Who kills on a stream.
fn killed_by(stream: Option<StreamId>) -> KilledBy {
    match stream {
        None => KilledBy::Operator,
        Some(RUNS_STREAM) => KilledBy::Run,
        Some(_) => KilledBy::Framework,
    }
}

impl Cue {
    /// Of a command that is about to be applied to this state.
    pub(crate) fn of(command: &OffersCommand, state: &Offers) -> Cue {
        match command {
            OffersCommand::OffersMade { .. }
            | OffersCommand::TaskStatus { .. }
            | OffersCommand::OperationAcknowledged { .. }
            | OffersCommand::OperationsReconciled { .. } => Cue::Effects,
            OffersCommand::AgentOperated { .. } => Cue::Rescinded {
                cause: RescindCause::Wanted,
            },
            OffersCommand::Operated {
                framework, offers, ..
            } => Cue::Accepted {
                framework: framework.clone(),
                offers: offers.iter().flatten().copied().collect(),
            },
            OffersCommand::SessionOpened { master, .. } => Cue::SessionOpened { master: *master },
            OffersCommand::SessionClosed {
                agent, restarting, ..
            } => Cue::SessionClosed {
                agent: *agent,
                restarting: *restarting,
            },
            OffersCommand::LeaseEnded { agent, .. } => Cue::LeaseEnded { agent: *agent },
            OffersCommand::Subscribed { subscribe, holder } => Cue::Subscribed {
                name: Arc::clone(&subscribe.info.name),
                holder: *holder,
            },
            OffersCommand::Disconnected {
                framework, cause, ..
            } => Cue::Disconnected {
                framework: framework.clone(),
                cause: *cause,
            },
            OffersCommand::FrameworkRemoved { framework, cause } => Cue::Removed {
                framework: framework.clone(),
                cause: *cause,
            },
            OffersCommand::Rescinded { cause, .. } => Cue::Rescinded { cause: *cause },
            call @ (OffersCommand::Accepted { .. }
            | OffersCommand::Declined { .. }
            | OffersCommand::Suppressed { .. }
            | OffersCommand::Revived { .. }
            | OffersCommand::Kill { .. }
            | OffersCommand::Acknowledged { .. }) => Cue::of_call(call, state),
        }
    }

    fn of_call(call: &OffersCommand, state: &Offers) -> Cue {
        match call {
            OffersCommand::Accepted {
                framework, offers, ..
            } => Cue::Accepted {
                framework: framework.clone(),
                offers: offers.iter().flatten().copied().collect(),
            },
            OffersCommand::Declined {
                framework,
                offers,
                filters,
                ..
            } => Cue::Declined {
                framework: framework.clone(),
                offers: own(offers, framework, state),
                refuse: filters.refuse,
            },
            OffersCommand::Suppressed {
                framework, roles, ..
            } => Cue::Suppressed {
                framework: framework.clone(),
                roles: roles.clone(),
            },
            OffersCommand::Revived {
                framework, roles, ..
            } => Cue::Revived {
                framework: framework.clone(),
                roles: roles.clone(),
            },
            OffersCommand::Kill {
                framework,
                stream,
                task,
                grace,
                agent: _,
            } => Cue::Kill {
                framework: framework.clone(),
                task: Arc::clone(task),
                by: killed_by(*stream),
                grace: *grace,
            },
            OffersCommand::Acknowledged {
                framework,
                task,
                update,
                ..
            } => Cue::Acknowledged {
                framework: framework.clone(),
                task: Arc::clone(task),
                update: *update,
            },
            OffersCommand::SessionOpened { .. }
            | OffersCommand::SessionClosed { .. }
            | OffersCommand::LeaseEnded { .. }
            | OffersCommand::Subscribed { .. }
            | OffersCommand::Disconnected { .. }
            | OffersCommand::FrameworkRemoved { .. }
            | OffersCommand::OffersMade { .. }
            | OffersCommand::Rescinded { .. }
            | OffersCommand::TaskStatus { .. }
            | OffersCommand::Operated { .. }
            | OffersCommand::OperationAcknowledged { .. }
            | OffersCommand::OperationsReconciled { .. }
            | OffersCommand::AgentOperated { .. } => unreachable!("not a call of a framework"),
        }
    }

    /// Tells what came of the command; `effects` are its own, `offers` is the state after it.
    pub(crate) fn tell(
        self,
        result: &Result<Outcome, Refusal>,
        effects: &[Effect],
        offers: &Offers,
        story: &mut Story<'_>,
    ) {
        let Ok(outcome) = result else { return };
        match self {
            Cue::Effects => tell_effects(effects, offers, None, story),
            Cue::Rescinded { cause } => tell_effects(effects, offers, Some(cause), story),
            Cue::SessionOpened { master } => {
                if let Outcome::Session { agent, .. } = outcome {
                    let agent = *agent;
                    story.tell(What::AgentConnected { agent, master });
                }
                tell_effects(effects, offers, None, story);
            }
            Cue::SessionClosed { agent, restarting } => {
                story.tell(What::AgentDisconnected { agent, restarting });
                tell_effects(effects, offers, None, story);
            }
            Cue::LeaseEnded { agent } => {
                story.tell(What::AgentUnreachable { agent });
                tell_effects(effects, offers, None, story);
            }
            Cue::Subscribed { name, holder } => {
                if let Outcome::Subscribed { framework } = outcome {
                    let framework = framework.clone();
                    story.tell(What::FrameworkSubscribed {
                        framework,
                        name,
                        holder,
                    });
                }
            }
            Cue::Disconnected { framework, cause } => {
                story.tell(What::FrameworkDisconnected { framework, cause });
            }
            Cue::Removed { framework, cause } => {
                story.tell(What::FrameworkRemoved { framework, cause });
                tell_removal(effects, offers, story);
            }
            Cue::Accepted {
                framework,
                offers: used,
            } => tell_accept(framework, used, outcome, effects, story),
            Cue::Declined { .. }
            | Cue::Suppressed { .. }
            | Cue::Revived { .. }
            | Cue::Kill { .. }
            | Cue::Acknowledged { .. } => {
                if *outcome == Outcome::Done {
                    self.tell_done(offers, story);
                }
            }
        }
    }

    /// Calls that do one thing or nothing.
    fn tell_done(self, offers: &Offers, story: &mut Story<'_>) {
        match self {
            Cue::Declined {
                framework,
                offers,
                refuse,
            } => {
                if !offers.is_empty() {
                    story.tell(What::OffersDeclined {
                        framework,
                        offers,
                        refuse,
                    });
                }
            }
            Cue::Suppressed { framework, roles } => {
                let roles = roles.into_iter().collect();
                story.tell(What::FrameworkSuppressed { framework, roles });
            }
            Cue::Revived { framework, roles } => {
                let roles = roles.into_iter().collect();
                story.tell(What::FrameworkRevived { framework, roles });
            }
            Cue::Kill {
                framework,
                task,
                by,
                grace,
            } => {
                let id = TaskId::new(&task).ok();
                if let Some(found) = id.and_then(|id| offers.find_task(&framework, &id)) {
                    story.tell(What::TaskKillOrdered {
                        task: found.key.clone(),
                        agent: found.row.assignment.agent,
                        by,
                        grace,
                    });
                }
            }
            Cue::Acknowledged {
                framework,
                task,
                update,
            } => story.tell(What::TaskAcknowledged {
                framework,
                task,
                update,
            }),
            Cue::Effects
            | Cue::SessionOpened { .. }
            | Cue::SessionClosed { .. }
            | Cue::LeaseEnded { .. }
            | Cue::Subscribed { .. }
            | Cue::Disconnected { .. }
            | Cue::Removed { .. }
            | Cue::Accepted { .. }
            | Cue::Rescinded { .. } => unreachable!("not told by its outcome alone"),
        }
    }
}

/// Those offers that are out and the framework's.
fn own(offers: &[OfferId], framework: &FrameworkId, state: &Offers) -> Arc<[OfferId]> {
    let own = |id: &&OfferId| {
        let row = state.offer(**id);
        row.is_some_and(|row| row.offer.framework == *framework)
    };
    offers.iter().filter(own).copied().collect()
}

fn tell_accept(
    framework: FrameworkId,
    used: Arc<[OfferId]>,
    outcome: &Outcome,
    effects: &[Effect],
    story: &mut Story<'_>,
) {
    let Outcome::Accepted { launched, refused } = outcome else {
        return;
    };
    let launched = u32::try_from(launched.len()).unwrap_or(u32::MAX);
    story.tell(What::OffersAccepted {
        framework,
        offers: Arc::clone(&used),
        launched,
        refused: *refused,
    });
    for effect in effects {
        if let Effect::TaskChanged { task, agent, .. } = effect {
            story.tell(What::TaskLaunched {
                task: task.clone(),
                agent: *agent,
                offers: Arc::clone(&used),
            });
        }
        if let Effect::Notice {
            framework,
            notice: Notice::Update(status),
            ..
        } = effect
        {
            story.tell(What::TaskRefused {
                framework: framework.clone(),
                task: Arc::clone(&status.task),
                state: status.state,
                reason: status.reason,
                message: Arc::clone(&status.message),
            });
        }
    }
}

/// What holds for any command: offers that came and went, tasks that changed.
fn tell_effects(
    effects: &[Effect],
    offers: &Offers,
    cause: Option<RescindCause>,
    story: &mut Story<'_>,
) {
    for effect in effects {
        match effect {
            Effect::TaskChanged { task, agent, state } => story.tell(What::TaskStatus {
                task: task.clone(),
                agent: *agent,
                state: *state,
                report: report_of(offers, task, *state),
            }),
            Effect::Notice {
                notice: Notice::Offers(made),
                ..
            } => {
                for (offer, _) in made {
                    story.tell(What::OfferMade(Box::new(offer.clone())));
                }
            }
            Effect::Notice {
                framework,
                notice: Notice::Rescind(offer),
                ..
            } => story.tell(What::OfferRescinded {
                framework: framework.clone(),
                offer: *offer,
                cause,
            }),
            Effect::Notice { .. }
            | Effect::SessionChanged { .. }
            | Effect::AgentRunsChanged { .. }
            | Effect::UpdateDurable { .. }
            | Effect::StreamEnded { .. }
            | Effect::FrameworkChanged { .. }
            | Effect::FrameworkGone { .. }
            | Effect::AgentChanged { .. }
            | Effect::Refused { .. }
            | Effect::Revived { .. }
            | Effect::VolumeDestroyed { .. }
            | Effect::TaskGone { .. } => {}
        }
    }
}

/// The tasks of a removed framework are to end.
fn tell_removal(effects: &[Effect], offers: &Offers, story: &mut Story<'_>) {
    for effect in effects {
        let Effect::AgentRunsChanged { agent, tasks } = effect else {
            continue;
        };
        for task in tasks {
            let ordered = offers.task(task).is_some_and(|row| row.kill.is_some());
            if ordered {
                story.tell(What::TaskKillOrdered {
                    task: task.clone(),
                    agent: *agent,
                    by: KilledBy::Removal,
                    grace: None,
                });
            }
        }
    }
}

/// The report that made a task's state so; it may have ended in the same command.
fn report_of(offers: &Offers, task: &TaskKey, state: TaskState) -> Option<Box<Reported>> {
    let of = |statuses: &[Report]| {
        let report = statuses.iter().rfind(|report| report.state == state)?;
        Some(Box::new(Reported {
            update: report.id,
            source: report.source,
            reason: report.reason,
            message: Arc::clone(&report.message),
            timestamp: report.timestamp,
            exit: report.exit,
        }))
    };
    if let Some(row) = offers.task(task) {
        return of(&row.statuses);
    }
    let mut ended = offers.completed_tasks().rev().take(COMPLETED_LOOK);
    let ended = ended.find(|ended| ended.assignment.key == *task)?;
    of(&ended.statuses)
}
