//! Mesos' endpoints of an agent: its state, its flags and metrics, the files of its tasks, and the
//! reading calls of its operator API.
//!
//! What an agent shows comes from its own machine at the moment of asking; no master is needed.

mod calls;
mod files;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use shoal_agent::{AgentView, TaskView};
use shoal_api::member::MemberStatus;
use shoal_api::{StatusUpdate, TaskKey, TaskState};
use shoal_mesos::agent::{
    AgentState, Run, Stage, Usage, push_containers, push_statistics, state as write_state,
};
use shoal_mesos::listing::{Build, StatusEntry, TaskEntry};

use super::Api;
use super::listing::{self, Written, aside, finished};
use super::reply::{self, Reply};
use super::route::Own;
use super::snapshot::{self, Snapshot};
use crate::executor::{self, Window};
use crate::tags;

/// Answers a request to an agent's own endpoint.
pub async fn answer(api: &Arc<Api>, own: Own, request: Request<Incoming>) -> Reply {
    let asked = request.uri().query().map(str::to_owned);
    let asked = asked.as_deref();
    if own == Own::Flags {
        let flags = shoal_mesos::listing::flags(&api.facts.agent_flags);
        return listing::document(asked, flags);
    }
    let Some(window) = api.agent.get() else {
        return reply::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "Agent has not finished recovery",
        );
    };
    match own {
        Own::State => state(api, window, asked).await,
        Own::Containers => in_containers(api, window, asked, push_containers).await,
        Own::Statistics => in_containers(api, window, asked, push_statistics).await,
        Own::Snapshot => match window.view().await {
            Some(view) => snapshot::document(&metrics(api, window, &view), asked),
            None => stopping(),
        },
        Own::Operator => calls::answer(api, window, request).await,
        Own::Files(which) => files::answer(api, window, which, asked).await,
        Own::Flags => unreachable!("answered above"),
    }
}

fn stopping() -> Reply {
    reply::text(StatusCode::SERVICE_UNAVAILABLE, "The agent is stopping")
}

/// `/state`.
async fn state(api: &Arc<Api>, window: &Window, asked: Option<&str>) -> Reply {
    let callback = match listing::callback(asked) {
        Ok(callback) => callback,
        Err(refusal) => return *refusal,
    };
    let Some(view) = window.view().await else {
        return stopping();
    };
    let (for_writer, window) = (Arc::clone(api), window.clone());
    let write = move || {
        let mut pieces = Vec::new();
        with_state(&for_writer, &window, &view, &BTreeMap::new(), |state| {
            write_state(state, &mut |piece: Bytes| pieces.push(piece));
        });
        pieces
    };
    match aside(api, write).await {
        Ok(Written { pieces, held }) => finished(callback, pieces, Some(held)),
        Err(refusal) => *refusal,
    }
}

/// `/containers` and `/monitor/statistics`.
async fn in_containers(
    api: &Arc<Api>,
    window: &Window,
    asked: Option<&str>,
    write: fn(&AgentState<'_>, &mut dyn FnMut(Bytes)),
) -> Reply {
    let callback = match listing::callback(asked) {
        Ok(callback) => callback,
        Err(refusal) => return *refusal,
    };
    let Some(seen) = window.look().await else {
        return stopping();
    };
    let (for_writer, window) = (Arc::clone(api), window.clone());
    let write = move || {
        let mut pieces = Vec::new();
        let usage = executor::measure(&seen.pids);
        with_state(&for_writer, &window, &seen.view, &usage, |state| {
            write(state, &mut |piece: Bytes| pieces.push(piece));
        });
        pieces
    };
    match aside(api, write).await {
        Ok(Written { pieces, held }) => finished(callback, pieces, Some(held)),
        Err(refusal) => *refusal,
    }
}

/// Calls with the agent as its listings show it.
fn with_state<T>(
    api: &Api,
    window: &Window,
    view: &AgentView,
    usage: &BTreeMap<TaskKey, Usage>,
    then: impl FnOnce(&AgentState<'_>) -> T,
) -> T {
    let master = master_host(api);
    then(&AgentState {
        id: view.agent,
        info: &window.info,
        started: api.board.started(),
        master: master.as_deref(),
        flags: &api.facts.agent_flags,
        build: Build::default(),
        runs: view
            .tasks
            .iter()
            .map(|task| Run {
                usage: usage.get(&task.assignment.key).copied(),
                ..run(window, task)
            })
            .collect(),
    })
}

/// The host of a master that lives, as the gossip knows it.
fn master_host(api: &Api) -> Option<String> {
    let members = api.board.members();
    let alive = members.iter().filter(|m| m.status == MemberStatus::Alive);
    let mut masters = alive.filter(|member| tags::roles(member).master);
    masters
        .find_map(tags::http)
        .map(|http| http.host.to_string())
}

fn run<'a>(window: &Window, task: &'a TaskView) -> Run<'a> {
    let assignment = &task.assignment;
    Run {
        task: TaskEntry {
            framework: &assignment.key.framework,
            spec: &assignment.spec,
            agent: assignment.agent,
            address: window.info.http.ip(),
            container: task.container,
            role: &assignment.role,
            state: task.state,
            statuses: task.updates.iter().map(status).collect(),
            launched: task
                .updates
                .first()
                .map(|update| update.timestamp)
                .unwrap_or_default(),
        },
        stage: match (task.forgotten, task.state.is_terminal()) {
            (true, _) => Stage::Completed,
            (false, true) => Stage::Terminated,
            (false, false) => Stage::Launched,
        },
        framework_name: &assignment.framework_name,
        framework_user: &assignment.framework_user,
        directory: window.directory(task),
        usage: None,
    }
}

fn status(update: &StatusUpdate) -> StatusEntry<'_> {
    StatusEntry {
        state: update.state,
        source: update.source,
        reason: update.reason,
        message: &update.message,
        timestamp: update.timestamp,
        update: Some(update.id),
        exit: update.exit,
    }
}

/// An agent's metrics by Mesos' names.
fn metrics(api: &Api, window: &Window, view: &AgentView) -> Snapshot {
    let mut found = BTreeMap::new();
    let (info, status) = (&window.info, *window.status.borrow());
    let live = || view.tasks.iter().filter(|task| !task.state.is_terminal());
    let total = |name: &str| snapshot::scalar(&info.resources, name);
    let used = |name: &str| {
        let resources = live().map(|task| &task.assignment.spec.resources);
        resources.map(|held| snapshot::scalar(held, name)).sum()
    };
    snapshot::push_amounts("slave", total, used, &mut found);
    let mut put = |name: &str, value: f64| found.insert(format!("slave/{name}"), value);
    put("registered", f64::from(u8::from(status.connected)));
    put("uptime_secs", snapshot::uptime(api));
    put("recovery_errors", 0.0);
    let running = live().count();
    put("executors_running", running as f64);
    put("executors_terminated", (view.tasks.len() - running) as f64);
    let mut frameworks: Vec<_> = live().map(|t| &t.assignment.key.framework).collect();
    frameworks.dedup();
    put("frameworks_active", frameworks.len() as f64);
    for (state, name) in [
        (TaskState::Staging, "staging"),
        (TaskState::Starting, "starting"),
        (TaskState::Running, "running"),
        (TaskState::Killing, "killing"),
        (TaskState::Finished, "finished"),
        (TaskState::Failed, "failed"),
        (TaskState::Killed, "killed"),
        (TaskState::Lost, "lost"),
        (TaskState::Gone, "gone"),
        (TaskState::Error, "error"),
    ] {
        let count = view.tasks.iter().filter(|task| task.state == state).count();
        put(&format!("tasks_{name}"), count as f64);
    }
    snapshot::system(&mut found);
    found.into_iter().collect()
}
