//! Mesos' read endpoints of version 0: the whole state, and where the leader is.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use shoal_api::offer::Offer;
use shoal_api::{AgentId, FrameworkId};
use shoal_master::{Answer, MasterInfo, View};
use shoal_mesos::listing::{
    AgentEntry, Build, Entries, FrameworkEntry, Identity, Presence, Source, Sum, TaskEntry, Tasks,
};
use shoal_mesos::master::Master;
use shoal_offers::{CompletedTask, FrameworkRow, TaskRef};

use super::Api;
use super::reply::{self, Reply};
use crate::drive::mailbox::Mailbox;

/// `/redirect`: the leader, without a path.
pub fn redirect(api: &Api) -> Reply {
    match leader(api) {
        Some(info) => {
            let mut reply = reply::empty(StatusCode::TEMPORARY_REDIRECT);
            let location = HeaderValue::from_str(&format!("//{}", info.http));
            let location = location.expect("an address is a header value");
            reply.headers_mut().insert(LOCATION, location);
            reply
        }
        None => reply::text(StatusCode::SERVICE_UNAVAILABLE, "No leader elected"),
    }
}

fn leader(api: &Api) -> Option<MasterInfo> {
    let leader = api.board.leadership()?.leader?;
    let masters = api.board.masters();
    masters.iter().find(|info| info.raft == leader).cloned()
}

/// `/state`: everything.
pub async fn state(api: &Api, master: &Mailbox) -> Reply {
    let Answer::State(view) = master.ask(shoal_master::Request::Read).await else {
        return reply::text(StatusCode::SERVICE_UNAVAILABLE, "No leader can be reached");
    };
    let id: Arc<str> = Arc::from(view.state.origin().to_string());
    let identity = Identity {
        master: Master {
            id: Arc::clone(&id),
            http: api.board.http(),
        },
        leader: leader(api).map(|info| Master {
            id,
            http: info.http,
        }),
        cluster: "",
        started: api.board.started(),
        elected: None,
        flags: &[],
        build: Build::default(),
    };
    let mut body = BytesMut::new();
    let mut sink = |piece: Bytes| body.extend_from_slice(&piece);
    shoal_mesos::listing::state(&identity, &Moment(&view), &mut sink);
    reply::whole(StatusCode::OK, "application/json", body.freeze())
}

/// One moment of the ledger, as Mesos lists it.
struct Moment<'a>(&'a View);

impl Moment<'_> {
    fn address(&self, agent: AgentId) -> Option<IpAddr> {
        self.0.state.offers.agent(agent)?.info.http.ip()
    }

    fn task<'a>(&self, task: &TaskRef<'a>) -> TaskEntry<'a> {
        let statuses = task.row.statuses.iter();
        TaskEntry {
            framework: &task.key.framework,
            spec: &task.row.assignment.spec,
            agent: task.row.assignment.agent,
            address: self.address(task.row.assignment.agent),
            role: &task.row.assignment.role,
            state: task.row.state_seen(),
            statuses: statuses
                .map(|report| (report.state, report.timestamp))
                .collect(),
        }
    }

    fn completed<'a>(&self, task: &'a CompletedTask) -> TaskEntry<'a> {
        let statuses = task.statuses.iter();
        TaskEntry {
            framework: &task.assignment.key.framework,
            spec: &task.assignment.spec,
            agent: task.assignment.agent,
            address: self.address(task.assignment.agent),
            role: &task.assignment.role,
            state: task.state,
            statuses: statuses
                .map(|report| (report.state, report.timestamp))
                .collect(),
        }
    }

    fn framework<'a>(&'a self, id: &'a FrameworkId, row: &'a FrameworkRow) -> FrameworkEntry<'a> {
        let offers = &self.0.state.offers;
        let (mut used, mut offered) = (Sum::default(), Sum::default());
        for task in offers
            .tasks_of_framework(id)
            .filter(|task| task.row.holds())
        {
            used.add(&task.row.assignment.spec.resources);
        }
        for row in offers.offers_of(id) {
            offered.add(&row.offer.resources);
        }
        FrameworkEntry {
            id,
            info: &row.info,
            connected: row.stream().is_some(),
            registered: row.registered,
            reregistered: (row.subscribed != row.registered).then_some(row.subscribed),
            unregistered: None,
            used,
            offered,
        }
    }
}

impl Source for Moment<'_> {
    fn agents(&self) -> Entries<'_, AgentEntry<'_>> {
        let offers = &self.0.state.offers;
        Box::new(offers.agents().map(move |(id, row)| {
            let (mut used, mut offered) = (Sum::default(), Sum::default());
            for task in offers.tasks_of_agent(id).filter(|task| task.row.holds()) {
                used.add(&task.row.assignment.spec.resources);
            }
            for row in offers.offers_on(id) {
                offered.add(&row.offer.resources);
            }
            let presence = match row.presence {
                shoal_offers::Presence::Connected { .. } => Presence::Connected,
                shoal_offers::Presence::Disconnected { .. } => Presence::Disconnected,
                shoal_offers::Presence::Unreachable { .. } => Presence::Unreachable,
            };
            let since = match row.presence {
                shoal_offers::Presence::Connected { since, .. } => Some(since),
                shoal_offers::Presence::Disconnected { .. }
                | shoal_offers::Presence::Unreachable { .. } => None,
            };
            AgentEntry {
                id,
                info: &row.info,
                presence,
                registered: row.registered,
                reregistered: since.filter(|since| *since != row.registered),
                used,
                offered,
            }
        }))
    }

    fn frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        let offers = &self.0.state.offers;
        Box::new(offers.frameworks().map(|(id, row)| self.framework(id, row)))
    }

    fn completed_frameworks(&self) -> Entries<'_, FrameworkEntry<'_>> {
        let offers = &self.0.state.offers;
        Box::new(
            offers
                .completed_frameworks()
                .map(|(id, row)| FrameworkEntry {
                    id,
                    info: &row.info,
                    connected: false,
                    registered: row.registered,
                    reregistered: None,
                    unregistered: Some(row.ended),
                    used: Sum::default(),
                    offered: Sum::default(),
                }),
        )
    }

    fn tasks<'a>(&'a self, framework: &'a FrameworkId, tasks: Tasks) -> Entries<'a, TaskEntry<'a>> {
        let offers = &self.0.state.offers;
        let lost = |task: &TaskRef<'_>| task.row.unreachable_since.is_some();
        match tasks {
            Tasks::Live => Box::new(
                offers
                    .tasks_of_framework(framework)
                    .filter(move |task| !lost(task))
                    .map(|task| self.task(&task)),
            ),
            Tasks::Unreachable => Box::new(
                offers
                    .tasks_of_framework(framework)
                    .filter(move |task| lost(task))
                    .map(|task| self.task(&task)),
            ),
            Tasks::Completed => Box::new(
                offers
                    .completed_tasks()
                    .filter(move |task| task.assignment.key.framework == *framework)
                    .map(|task| self.completed(task)),
            ),
        }
    }

    fn offers<'a>(&'a self, framework: &'a FrameworkId) -> Entries<'a, &'a Offer> {
        Box::new(
            self.0
                .state
                .offers
                .offers_of(framework)
                .map(|row| &row.offer),
        )
    }
}
