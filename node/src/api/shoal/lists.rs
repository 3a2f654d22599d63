//! Lists of agents, frameworks, offers and tasks, from one moment of the ledger.

use http::StatusCode;
use serde_json::{Value, json};
use shoal_api::task::Exit;
use shoal_api::{AgentId, FrameworkId, Resources, Role, SlotState, TaskKey, TaskState};
use shoal_master::{State, View, runs_framework};
use shoal_offers::{AgentRow, CompletedTask, FrameworkRow, Presence, Report, Standing, TaskRow};

use super::names::{agent_named, framework_named};
use super::{Call, Outcome, listing};
use crate::api::reply::{self, Reply};

impl Call<'_> {
    pub(super) async fn agents(&self) -> Outcome {
        let view = self.view().await?;
        let offers = &view.state.offers;
        let rows: Vec<Value> = offers
            .agents()
            .map(|(id, row)| agent(id, row, offers.tasks_of_agent(id).count()))
            .collect();
        Ok(listing(&view, &json!({ "agents": rows })))
    }

    pub(super) async fn frameworks(&self) -> Outcome {
        let view = self.view().await?;
        let offers = &view.state.offers;
        let rows: Vec<Value> = offers
            .frameworks()
            .map(|(id, row)| {
                let mut value = framework(row);
                value["id"] = json!(id.as_str());
                value["tasks"] = json!(offers.tasks_of_framework(id).count());
                value["offers"] = json!(offers.offers_of(id).count());
                value
            })
            .collect();
        Ok(listing(&view, &json!({ "frameworks": rows })))
    }

    pub(super) async fn offers(&self) -> Outcome {
        let view = self.view().await?;
        let wanted = self.wanted(&view.state)?;
        let state = &view.state;
        let time = state.charter.time();
        let rows: Vec<Value> = state
            .offers
            .offers()
            .filter(|row| wanted.has(&row.offer.framework, Some(row.offer.agent)))
            .map(|row| {
                let offer = &row.offer;
                let mut value = named(state, &offer.framework);
                put_place(state, &mut value, offer.agent, &offer.resources);
                value["id"] = json!(offer.id.to_string());
                value["role"] = json!(offer.role.as_str());
                value["age_seconds"] = json!(time.since(row.made).as_secs_f64());
                value
            })
            .collect();
        Ok(listing(&view, &json!({ "offers": rows })))
    }

    pub(super) async fn tasks(&self) -> Outcome {
        let view = self.view().await?;
        let wanted = self.wanted(&view.state)?;
        let all = self.parameter("all").is_some_and(|all| all != "false");
        let all = all || wanted.state.is_some_and(TaskState::is_terminal);
        let mut rows = Vec::new();
        if wanted.agent.is_none() && wanted.state.is_none() && wanted.has(&runs_framework(), None) {
            rows = waiting(&view);
        }
        if wanted.waiting {
            return Ok(listing(&view, &json!({ "tasks": rows })));
        }
        let live = view.state.offers.tasks();
        let live = live.filter(|task| {
            let row = task.row;
            (all || !row.reported.is_terminal())
                && wanted.has(&task.key.framework, Some(row.assignment.agent))
                && wanted.state.is_none_or(|state| state == row.state_seen())
        });
        rows.extend(live.map(|found| task(&view.state, found.key, found.row)));
        if all {
            let ended = view.state.offers.completed_tasks().filter(|ended| {
                let assignment = &ended.assignment;
                wanted.has(&assignment.key.framework, Some(assignment.agent))
                    && wanted.state.is_none_or(|state| state == ended.state)
            });
            rows.extend(ended.map(|ended| completed(&view.state, ended)));
        }
        Ok(listing(&view, &json!({ "tasks": rows })))
    }

    /// The filters of a listing.
    fn wanted(&self, state: &State) -> Result<Wanted, Box<Reply>> {
        let agent = self.parameter("agent");
        let framework = self.parameter("framework");
        let mut wanted = Wanted {
            agent: agent.map(|name| agent_named(state, &name)).transpose()?,
            framework: framework
                .map(|name| framework_named(state, &name))
                .transpose()?,
            state: None,
            waiting: false,
        };
        if let Some(text) = self.parameter("state") {
            let word = text.to_ascii_uppercase();
            let word = word.strip_prefix("TASK_").unwrap_or(&word);
            wanted.waiting = word == "WAITING";
            wanted.state = TaskState::ALL
                .into_iter()
                .find(|state| state.as_str().strip_prefix("TASK_") == Some(word));
            if wanted.state.is_none() && !wanted.waiting {
                let names = TaskState::ALL.map(TaskState::as_str).join(", ");
                return Err(Box::new(reply::problem(
                    StatusCode::BAD_REQUEST,
                    format!("'{text}' is no state of a task"),
                    "",
                    format!("WAITING, {names}"),
                )));
            }
        }
        Ok(wanted)
    }
}

/// What a listing is narrowed to.
struct Wanted {
    agent: Option<AgentId>,
    framework: Option<FrameworkId>,
    state: Option<TaskState>,
    /// Only what waits for an offer.
    waiting: bool,
}

impl Wanted {
    fn has(&self, framework: &FrameworkId, agent: Option<AgentId>) -> bool {
        self.framework.as_ref().is_none_or(|only| only == framework)
            && (self.agent.is_none() || self.agent == agent)
    }
}

fn agent(id: AgentId, row: &AgentRow, tasks: usize) -> Value {
    let status = match row.presence {
        Presence::Connected { .. } => "connected",
        Presence::Disconnected { .. } => "disconnected",
        Presence::Unreachable { .. } => "unreachable",
    };
    let master = match row.presence {
        Presence::Connected { master, .. } => Some(master.to_string()),
        Presence::Disconnected { .. } | Presence::Unreachable { .. } => None,
    };
    json!({
        "id": id.to_string(),
        "name": row.info.name.as_str(),
        "node": row.info.node.to_string(),
        "http": row.info.http.to_string(),
        "status": status,
        "master": master,
        "epoch": row.epoch.0,
        "resources": row.info.resources.to_string(),
        "free": row.free.to_string(),
        "tasks": tasks,
    })
}

fn framework(row: &FrameworkRow) -> Value {
    let status = match row.stream() {
        Some(_) => "connected",
        None => "disconnected",
    };
    let roles: Vec<&str> = row.info.roles.iter().map(Role::as_str).collect();
    json!({
        "name": &*row.info.name,
        "status": status,
        "roles": roles,
        "failover_timeout": row.info.failover_timeout.as_secs_f64(),
    })
}

/// Slots of runs that no offer was accepted for.
fn waiting(view: &View) -> Vec<Value> {
    let runs = &view.state.runs;
    let rows = runs.waiting().filter_map(|slot| {
        let spec = &runs.run(slot.run)?.spec;
        let mut row = named(&view.state, &shoal_master::runs_framework());
        row["id"] = json!(slot.task_id(&spec.name).ok()?.as_str());
        row["name"] = json!(&*spec.name);
        row["state"] = json!("WAITING");
        row["resources"] = json!(spec.resources.to_string());
        row["terminal"] = json!(false);
        Some(row)
    });
    rows.collect()
}

fn named(state: &State, framework: &shoal_api::FrameworkId) -> Value {
    let name = match state.offers.framework(framework) {
        Some(row) => row.info.name.to_string(),
        None => framework.to_string(),
    };
    json!({ "framework": framework.as_str(), "framework_name": name })
}

/// One task that has a row.
pub(super) fn task(state: &State, key: &TaskKey, row: &TaskRow) -> Value {
    let mut value = named(state, &key.framework);
    let assignment = &row.assignment;
    put_place(
        state,
        &mut value,
        assignment.agent,
        &assignment.spec.resources,
    );
    value["id"] = json!(key.task.as_str());
    value["name"] = json!(&*assignment.spec.name);
    value["launch"] = json!(key.launch.to_string());
    value["state"] = json!(row.state_seen().as_str());
    value["terminal"] = json!(row.reported.is_terminal());
    value["killed"] = json!(row.kill.is_some());
    value["orphan"] = json!(row.standing == Standing::Orphan);
    put_report(&mut value, row.statuses.last());
    value
}

/// One task that has ended and whose end was acknowledged.
pub(super) fn completed(state: &State, ended: &CompletedTask) -> Value {
    let assignment = &ended.assignment;
    let mut value = named(state, &assignment.key.framework);
    put_place(
        state,
        &mut value,
        assignment.agent,
        &assignment.spec.resources,
    );
    value["id"] = json!(assignment.key.task.as_str());
    value["name"] = json!(&*assignment.spec.name);
    value["launch"] = json!(assignment.key.launch.to_string());
    value["state"] = json!(ended.state.as_str());
    value["terminal"] = json!(true);
    put_report(&mut value, ended.statuses.last());
    value
}

fn put_place(state: &State, value: &mut Value, agent: AgentId, resources: &Resources) {
    value["agent"] = json!(agent.to_string());
    let row = state.offers.agent(agent);
    value["agent_name"] = json!(row.map(|row| row.info.name.as_str()));
    value["resources"] = json!(resources.to_string());
}

fn put_report(value: &mut Value, report: Option<&Report>) {
    value["exit"] = report
        .and_then(|report| report.exit)
        .map_or(Value::Null, exit);
    value["message"] = json!(report.map(|report| &*report.message));
}

/// How a process ended.
pub(super) fn exit(exit: Exit) -> Value {
    match exit {
        Exit::Code(code) => json!({ "code": code }),
        Exit::Signal(signal) => json!({ "signal": signal }),
    }
}

/// Where a slot of a run stands.
pub(super) fn slot(state: &State, slot: &SlotState) -> Value {
    let agent_name = |agent: AgentId| {
        let row = state.offers.agent(agent);
        row.map(|row| row.info.name.to_string())
    };
    match slot {
        SlotState::Waiting => json!({ "state": "WAITING", "terminal": false, "started": false }),
        SlotState::Placed { agent, state: task } => json!({
            "state": task.as_str(),
            "terminal": false,
            "started": true,
            "agent": agent.to_string(),
            "agent_name": agent_name(*agent),
        }),
        SlotState::Ended {
            agent,
            state: task,
            exit: how,
            message,
            at,
        } => json!({
            "state": task.as_str(),
            "terminal": true,
            "started": how.is_some(),
            "agent": agent.map(|agent| agent.to_string()),
            "agent_name": agent.and_then(agent_name),
            "exit": how.map_or(Value::Null, exit),
            "message": &**message,
            "ended": at.as_seconds(),
        }),
    }
}
