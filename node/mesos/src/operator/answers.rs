//! The answers of a master.

use bytes::Bytes;

use super::document::{Document, Field};
use super::show;
use crate::codec::Codec;
use crate::listing::{FrameworkEntry, Identity, Source, TaskEntry, Tasks, listed, role_entries};
use crate::proto::v1::master::response::{self, Type};
use crate::proto::v1::master::{Response, response::get_frameworks};
use crate::proto::v1::scheduler::OfferConstraints;
use crate::proto::v1::{self, maintenance, quota};

/// A part of the ledger that a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// GET_STATE: all of the following.
    State,
    /// GET_TASKS.
    Tasks,
    /// GET_EXECUTORS: there are none of frameworks' own.
    Executors,
    /// GET_FRAMEWORKS.
    Frameworks,
    /// GET_AGENTS.
    Agents,
}

impl Part {
    /// Its type, and the field it stands in.
    fn place(self) -> (Type, Field) {
        match self {
            Part::State => (Type::GetState, Field(9, "get_state")),
            Part::Tasks => (Type::GetTasks, Field(13, "get_tasks")),
            Part::Executors => (Type::GetExecutors, Field(12, "get_executors")),
            Part::Frameworks => (Type::GetFrameworks, Field(11, "get_frameworks")),
            Part::Agents => (Type::GetAgents, Field(10, "get_agents")),
        }
    }
}

/// The answer to a call for a part of the ledger, in pieces.
pub fn part(part: Part, source: &dyn Source, codec: Codec) -> Vec<Bytes> {
    let mut document = Document::new(codec);
    let (kind, field) = part.place();
    document.named::<Type>(Field(1, "type"), kind.into());
    document.open(field);
    match part {
        Part::State => state(&mut document, source),
        Part::Tasks => tasks(&mut document, source),
        Part::Executors => executors(&mut document),
        Part::Frameworks => frameworks(&mut document, source),
        Part::Agents => agents(&mut document, source),
    }
    document.close();
    document.finish()
}

/// The fields of `GetState` of the message that is open.
pub fn state(document: &mut Document, source: &dyn Source) {
    document.open(Field(1, "get_tasks"));
    tasks(document, source);
    document.close();
    document.open(Field(2, "get_executors"));
    executors(document);
    document.close();
    document.open(Field(3, "get_frameworks"));
    frameworks(document, source);
    document.close();
    document.open(Field(4, "get_agents"));
    agents(document, source);
    document.close();
}

fn tasks(document: &mut Document, source: &dyn Source) {
    let live: Vec<FrameworkEntry<'_>> = source.frameworks().collect();
    let gone: Vec<FrameworkEntry<'_>> = source.completed_frameworks().collect();
    let groups = [
        (Field(2, "tasks"), Tasks::Live),
        (Field(5, "unreachable_tasks"), Tasks::Unreachable),
        (Field(3, "completed_tasks"), Tasks::Completed),
    ];
    for (field, group) in groups {
        let all = live.iter().chain(&gone);
        let tasks = all.flat_map(|framework| source.tasks(framework.id, group));
        document.list(field, tasks.map(|entry: TaskEntry<'_>| show::task(&entry)));
    }
}

fn executors(document: &mut Document) {
    let none = std::iter::empty::<response::get_executors::Executor>();
    document.list(Field(1, "executors"), none);
}

fn frameworks(document: &mut Document, source: &dyn Source) {
    let shown = |entry: FrameworkEntry<'_>| with_offers(&entry, source);
    document.list(Field(1, "frameworks"), source.frameworks().map(shown));
    document.list(
        Field(2, "completed_frameworks"),
        source.completed_frameworks().map(shown),
    );
}

fn with_offers(entry: &FrameworkEntry<'_>, source: &dyn Source) -> get_frameworks::Framework {
    let offers = source.offers(entry.id).filter_map(|offer| {
        let agent = source.agent_info(offer.agent)?;
        Some(show::offer(offer, agent))
    });
    get_frameworks::Framework {
        offers: offers.collect(),
        offer_constraints: Some(OfferConstraints::default()),
        ..show::framework(entry)
    }
}

fn agents(document: &mut Document, source: &dyn Source) {
    let agents = listed(source).map(|entry| show::agent(&entry));
    document.list(Field(1, "agents"), agents);
    document.list(
        Field(2, "recovered_agents"),
        std::iter::empty::<v1::AgentInfo>(),
    );
}

fn of(kind: Type) -> Response {
    Response {
        r#type: Some(kind.into()),
        ..Response::default()
    }
}

/// GET_HEALTH: who answers is healthy.
pub fn health() -> Response {
    Response {
        get_health: Some(response::GetHealth {
            healthy: Some(true),
        }),
        ..of(Type::GetHealth)
    }
}

/// GET_VERSION.
pub fn version(identity: &Identity<'_>) -> Response {
    Response {
        get_version: Some(response::GetVersion {
            version_info: Some(show::version(&identity.build)),
        }),
        ..of(Type::GetVersion)
    }
}

/// GET_FLAGS.
pub fn flags(flags: &[(&str, String)]) -> Response {
    Response {
        get_flags: Some(response::GetFlags {
            flags: show::flags(flags),
        }),
        ..of(Type::GetFlags)
    }
}

/// GET_METRICS.
pub fn metrics(metrics: &[(String, f64)]) -> Response {
    Response {
        get_metrics: Some(response::GetMetrics {
            metrics: show::metrics(metrics),
        }),
        ..of(Type::GetMetrics)
    }
}

/// GET_LOGGING_LEVEL: nothing is said verbosely.
pub fn logging_level() -> Response {
    Response {
        get_logging_level: Some(response::GetLoggingLevel { level: Some(0) }),
        ..of(Type::GetLoggingLevel)
    }
}

/// GET_OPERATIONS: none is ever made.
pub fn operations() -> Response {
    Response {
        get_operations: Some(response::GetOperations::default()),
        ..of(Type::GetOperations)
    }
}

/// GET_ROLES.
pub fn roles(source: &dyn Source) -> Response {
    let roles = role_entries(source);
    Response {
        get_roles: Some(response::GetRoles {
            roles: roles
                .iter()
                .map(|(name, entry)| show::role(name, entry))
                .collect(),
        }),
        ..of(Type::GetRoles)
    }
}

/// GET_WEIGHTS: no role has one of its own.
pub fn weights() -> Response {
    of(Type::GetWeights)
}

/// GET_MASTER: the leader, whoever answers.
pub fn master(identity: &Identity<'_>) -> Response {
    let leads = identity.leader.as_ref() == Some(&identity.master);
    Response {
        get_master: Some(response::GetMaster {
            master_info: identity.leader.as_ref().map(|leader| leader.info()),
            // Of the leader, which another master does not know.
            start_time: leads.then(|| identity.started.as_seconds()),
            elected_time: identity.elected.map(|elected| elected.as_seconds()),
        }),
        ..of(Type::GetMaster)
    }
}

/// GET_QUOTA: no role has one.
pub fn no_quota() -> Response {
    Response {
        get_quota: Some(response::GetQuota {
            status: Some(quota::QuotaStatus::default()),
        }),
        ..of(Type::GetQuota)
    }
}

/// GET_MAINTENANCE_STATUS: no machine is in maintenance.
pub fn no_maintenance() -> Response {
    Response {
        get_maintenance_status: Some(response::GetMaintenanceStatus {
            status: Some(maintenance::ClusterStatus::default()),
        }),
        ..of(Type::GetMaintenanceStatus)
    }
}

/// GET_MAINTENANCE_SCHEDULE: none is planned.
pub fn no_schedule() -> Response {
    Response {
        get_maintenance_schedule: Some(response::GetMaintenanceSchedule {
            schedule: Some(maintenance::Schedule::default()),
        }),
        ..of(Type::GetMaintenanceSchedule)
    }
}
