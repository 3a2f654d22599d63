//! The life of one task, in order: out of the recent events as far as they reach back, out of the
//! ledger's row from before that.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use shoal_api::{AgentId, FrameworkId, OfferId, RunId, Slot, TaskId, TaskKey, Timestamp, UpdateId};
use shoal_master::{EntryEvents, Event, Position, Refused, State, What, runs_framework};
use shoal_offers::{CompletedTask, Report, TaskRow};

use super::events::object;
use super::lists::{self, exit};
use super::{Call, Outcome, listing, refusal};
use crate::api::reply;
use crate::authorize::{Action, Object};

/// One event with its place.
type Told<'a> = (Position, &'a Event);

/// What the ledger has of a task.
enum Found<'a> {
    /// It has a row.
    Live(&'a TaskKey, &'a TaskRow),
    /// It has ended.
    Ended(&'a CompletedTask),
    /// A slot of a run that waits, or ended before it was placed.
    Slot(Slot),
    /// Nothing, or nothing any more.
    Nothing,
}

impl Found<'_> {
    fn key(&self) -> Option<&TaskKey> {
        match self {
            Found::Live(key, _) => Some(key),
            Found::Ended(ended) => Some(&ended.assignment.key),
            Found::Slot(_) | Found::Nothing => None,
        }
    }

    fn agent(&self) -> Option<AgentId> {
        match self {
            Found::Live(_, row) => Some(row.assignment.agent),
            Found::Ended(ended) => Some(ended.assignment.agent),
            Found::Slot(_) | Found::Nothing => None,
        }
    }
}

impl Call<'_> {
    pub(super) async fn timeline(&self, name: &str) -> Outcome {
        let task = TaskId::new(name).map_err(|error| {
            let error = error.to_string();
            Box::new(reply::problem(StatusCode::BAD_REQUEST, error, "", ""))
        })?;
        let view = self.view().await?;
        let ring = self.api.board.events();
        let oldest = ring.oldest();
        let kept = ring.read(oldest, usize::MAX).unwrap_or_default();
        let framework = self.whose(&view.state, &kept, &task)?;
        self.may(Action::Read, &Object::Framework(framework.clone()))?;
        let found = find(&view.state, &framework, &task);
        let story = Story {
            state: &view.state,
            framework,
            task,
            found,
            kept: &kept,
            oldest,
        };
        Ok(listing(&view, &story.document()))
    }

    /// The one framework whose task is meant.
    fn whose(
        &self,
        state: &State,
        kept: &[Arc<EntryEvents>],
        task: &TaskId,
    ) -> Result<FrameworkId, Box<reply::Reply>> {
        if let Some(name) = self.parameter("framework") {
            return super::names::framework_named(state, &name);
        }
        let offers = &state.offers;
        let live = offers.frameworks().map(|(id, _)| id);
        let mut found: Vec<FrameworkId> = live
            .filter(|id| offers.find_task(id, task).is_some())
            .cloned()
            .collect();
        let ended = offers.completed_tasks().map(|ended| &ended.assignment.key);
        found.extend(
            ended
                .filter(|key| key.task == *task)
                .map(|key| key.framework.clone()),
        );
        if super::tasks::slot_named(state, task).is_some() {
            found.push(runs_framework());
        }
        if found.is_empty() {
            let events = kept.iter().flat_map(|entry| &entry.events);
            let about = events.filter(|event| event.what.task() == Some(task.as_str()));
            found.extend(about.filter_map(|event| event.what.framework().cloned()));
        }
        found.sort_unstable();
        found.dedup();
        match found.len() {
            0 => Err(Box::new(refusal(&Refused::NoSuchTask(task.clone())))),
            1 => Ok(found.remove(0)),
            several => {
                let ids: Vec<&str> = found.iter().map(FrameworkId::as_str).collect();
                Err(Box::new(reply::problem(
                    StatusCode::CONFLICT,
                    format!("{several} frameworks have a task {task}"),
                    ids.join(", "),
                    "name the one you mean as FRAMEWORK/TASK",
                )))
            }
        }
    }
}

fn find<'a>(state: &'a State, framework: &FrameworkId, task: &TaskId) -> Found<'a> {
    if let Some(live) = state.offers.find_task(framework, task) {
        return Found::Live(live.key, live.row);
    }
    let ended = state.offers.completed_tasks().rev().find(|ended| {
        let key = &ended.assignment.key;
        key.framework == *framework && key.task == *task
    });
    if let Some(ended) = ended {
        return Found::Ended(ended);
    }
    match super::tasks::slot_named(state, task) {
        Some(slot) if *framework == runs_framework() => Found::Slot(slot),
        Some(_) | None => Found::Nothing,
    }
}

/// Everything that a timeline is made of.
struct Story<'a> {
    state: &'a State,
    framework: FrameworkId,
    task: TaskId,
    found: Found<'a>,
    kept: &'a [Arc<EntryEvents>],
    oldest: Position,
}

impl Story<'_> {
    fn document(&self) -> Value {
        let state = self.state;
        let events = self.events();
        let launched =
            (events.iter()).any(|(_, event)| matches!(event.what, What::TaskLaunched { .. }));
        let mut timeline = self.of_the_row(&events, launched);
        timeline.extend(events.iter().map(|(at, event)| {
            let mut entry = object(*at, event);
            entry["known_by"] = json!("event");
            entry
        }));
        let task = match &self.found {
            Found::Live(key, row) => lists::task(state, key, row),
            Found::Ended(ended) => lists::completed(state, ended),
            Found::Slot(slot) => {
                let row = state.runs.slot(*slot);
                row.map_or(Value::Null, |row| lists::slot(state, &row.state))
            }
            Found::Nothing => Value::Null,
        };
        json!({
            "id": self.task.as_str(),
            "framework": self.framework.as_str(),
            "task": task,
            "timeline": timeline,
            "unacknowledged": self.unacknowledged(),
            "waits": self.waits(),
            "unknown": self.unknown(launched),
            "oldest": self.oldest.to_string(),
        })
    }

    /// The events of this use of the task's id, with what led to it, in order.
    fn events(&self) -> Vec<Told<'_>> {
        let about = |what: &What| {
            what.task() == Some(self.task.as_str()) && what.framework() == Some(&self.framework)
        };
        let mut own: Vec<Told<'_>> = self.all().filter(|(_, event)| about(&event.what)).collect();
        let launches = |what: &What| matches!(what, What::TaskLaunched { .. });
        if let Some(key) = self.found.key() {
            let this = |(_, event): &Told<'_>| matches!(&event.what, What::TaskLaunched { task, .. } if task == key);
            if let Some(at) = own.iter().position(this) {
                own.drain(..at);
            }
            if let Some(next) = own
                .iter()
                .skip(1)
                .position(|(_, event)| launches(&event.what))
            {
                own.truncate(next + 1);
            }
        }
        let paid = own.first().and_then(|(_, event)| offers_of(&event.what));
        let offers: Vec<OfferId> = paid.map(<[OfferId]>::to_vec).unwrap_or_default();
        let (first, last) = match (own.first(), own.last()) {
            (Some(first), Some(last)) => (first.0, last.0),
            _ => (self.oldest, self.oldest),
        };
        let ended = matches!(self.found, Found::Ended(_));
        let run = self.run();
        let agent = self.found.agent();
        let around = self.all().filter(|(at, event)| {
            let what = &event.what;
            let offered = matches!(what, What::OfferMade(offer) if offers.contains(&offer.id));
            let accepted = matches!(what, What::OffersAccepted { offers: used, .. }
                if !used.is_empty() && at.index == first.index && used[..] == offers[..]);
            let of_run = matches!(what,
                What::RunCreated { run: one, .. } | What::RunKillOrdered { run: one }
                if run == Some(*one));
            let of_agent = what.name().starts_with("agent_")
                && what.agent() == agent
                && *at > first
                && (!ended || *at < last);
            offered || accepted || of_run || of_agent
        });
        let mut all: Vec<Told<'_>> = around.collect();
        all.append(&mut own);
        all.sort_by_key(|(at, _)| *at);
        all
    }

    fn all(&self) -> impl Iterator<Item = Told<'_>> {
        self.kept.iter().flat_map(|entry| {
            entry.events.iter().zip(0..).map(|(event, number)| {
                let index = entry.index;
                (Position { index, number }, event)
            })
        })
    }

    fn run(&self) -> Option<RunId> {
        let slot = Slot::of_task(&self.task)?;
        (self.framework == runs_framework()).then_some(slot.run)
    }

    /// What only the row tells, because the events do not reach back to it.
    fn of_the_row(&self, events: &[Told<'_>], launched: bool) -> Vec<Value> {
        let entry = |kind: &str, time: Timestamp| {
            json!({ "id": null, "index": null, "time": time.as_seconds(), "type": kind,
                "known_by": "row" })
        };
        let told = |name: &str| events.iter().any(|(_, event)| event.what.name() == name);
        let mut all = Vec::new();
        if let Some(run) = self.run().and_then(|run| self.state.runs.run(run))
            && !told("run_created")
        {
            all.push(entry("run_created", run.created));
        }
        let statuses: &[Report] = match &self.found {
            Found::Live(_, row) => {
                if !launched {
                    all.push(entry("task_launched", row.launched));
                }
                if let Some(kill) = row.kill.filter(|_| !told("task_kill_ordered")) {
                    all.push(entry("task_kill_ordered", kill.since));
                }
                &row.statuses
            }
            Found::Ended(ended) => &ended.statuses,
            Found::Slot(_) | Found::Nothing => &[],
        };
        let seen: Vec<UpdateId> = events
            .iter()
            .filter_map(|(_, event)| reported(&event.what))
            .collect();
        for report in statuses.iter().filter(|report| !seen.contains(&report.id)) {
            all.push(of_report(report));
        }
        let time = |entry: &Value| entry["time"].as_f64().unwrap_or_default();
        all.sort_by(|a, b| time(a).total_cmp(&time(b)));
        all
    }

    /// The states that the framework was told, or will be, and did not acknowledge.
    fn unacknowledged(&self) -> Vec<&'static str> {
        match &self.found {
            Found::Live(_, row) => row
                .pending
                .iter()
                .map(|report| report.state.as_str())
                .collect(),
            Found::Ended(_) | Found::Slot(_) | Found::Nothing => Vec::new(),
        }
    }

    /// For a task that waits for an offer: which agents could hold it.
    fn waits(&self) -> Value {
        let Found::Slot(slot) = self.found else {
            return Value::Null;
        };
        let state = self.state;
        let waiting = state
            .runs
            .slot(slot)
            .is_some_and(|row| matches!(row.state, shoal_api::SlotState::Waiting));
        let Some(run) = state.runs.run(slot.run).filter(|_| waiting) else {
            return Value::Null;
        };
        let wanted = &run.spec.resources;
        let connected = || state.offers.agents().filter(|(_, row)| row.is_connected());
        let large = connected().filter(|(_, row)| row.info.resources.contains(wanted));
        let free = connected().filter(|(_, row)| row.free.contains(wanted));
        json!({
            "resources": wanted.to_string(),
            "agents": connected().count(),
            "large_enough": large.count(),
            "free_enough": free.count(),
        })
    }

    /// What cannot be told any more, for people.
    fn unknown(&self, launched: bool) -> Vec<String> {
        let mut unknown = Vec::new();
        let placed = !matches!(self.found, Found::Slot(_));
        if placed && !launched {
            unknown.push(format!(
                "offers, acknowledgements and ledger positions from before {}: this master keeps no \
                 events from before that",
                self.oldest
            ));
        }
        if !launched && matches!(self.found, Found::Ended(_)) {
            unknown.push("when it was launched, and who ordered its end".to_owned());
        }
        if matches!(self.found, Found::Nothing) {
            unknown.push("its row: it never came into being, or was forgotten".to_owned());
        }
        unknown
    }
}

fn offers_of(what: &What) -> Option<&[OfferId]> {
    let What::TaskLaunched { offers, .. } = what else {
        return None;
    };
    Some(offers)
}

fn reported(what: &What) -> Option<UpdateId> {
    let What::TaskStatus { report, .. } = what else {
        return None;
    };
    report.as_ref().map(|report| report.update)
}

fn of_report(report: &Report) -> Value {
    json!({
        "id": null,
        "index": null,
        "time": report.timestamp.as_seconds(),
        "type": "task_status",
        "state": report.state.as_str(),
        "source": report.source.as_str(),
        "reason": report.reason.map(|reason| reason.as_str()),
        "message": &*report.message,
        "reported": report.timestamp.as_seconds(),
        "update": report.id.to_string(),
        "exit": report.exit.map_or(Value::Null, exit),
        "known_by": "row",
    })
}

#[cfg(test)]
mod tests {
    use shoal_api::task::Assignment;
    use shoal_api::{Index, LaunchIndex, Origin, Resources, Role, Source, TaskSpec, TaskState};
    use shoal_ledger::Sealed;
    use shoal_master::KilledBy;
    use shoal_offers::{KillOrder, Standing};

    use super::*;

    const AGENT: AgentId = AgentId {
        origin: Origin(1),
        number: 0,
    };

    fn key() -> TaskKey {
        TaskKey {
            framework: FrameworkId::new("f").unwrap(),
            task: TaskId::new("t").unwrap(),
            launch: LaunchIndex(2),
        }
    }

    fn row() -> TaskRow {
        let spec = TaskSpec {
            id: key().task,
            name: Arc::from("t"),
            resources: Resources::parse("cpus:1").unwrap(),
            command: None,
            environment: Vec::new(),
            user: None,
            kill_grace: None,
            unsupported: None,
            raw: bytes::Bytes::new(),
            digest: None,
        };
        let assignment = Assignment {
            key: key(),
            agent: AGENT,
            role: Role::any(),
            spec: Arc::new(spec),
            framework_user: Arc::from(""),
            framework_name: Arc::from("f"),
        };
        let second = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        let running = Report {
            sequence: 1,
            id: UpdateId(7),
            state: TaskState::Running,
            source: Source::Executor,
            reason: None,
            message: Arc::from(""),
            timestamp: second(20),
            exit: None,
        };
        TaskRow {
            assignment: Sealed::new(Arc::new(assignment)),
            reported: TaskState::Running,
            sequence: 1,
            statuses: vec![running.clone()],
            pending: vec![running],
            kill: Some(KillOrder {
                grace: None,
                since: second(30),
            }),
            unreachable_since: None,
            standing: Standing::Launched,
            launched: second(10),
        }
    }

    fn told(kept: &[Arc<EntryEvents>]) -> Value {
        let (state, key, row) = (State::default(), key(), row());
        let story = Story {
            state: &state,
            framework: key.framework.clone(),
            task: key.task.clone(),
            found: Found::Live(&key, &row),
            kept,
            oldest: Position {
                index: Index(50),
                number: 0,
            },
        };
        story.document()
    }

    fn kinds(document: &Value) -> Vec<(&str, &str)> {
        let entries = document["timeline"].as_array().unwrap().iter();
        entries
            .map(|entry| {
                let known = entry["known_by"].as_str().unwrap();
                (entry["type"].as_str().unwrap(), known)
            })
            .collect()
    }

    #[test]
    fn what_events_do_not_reach_back_to_is_told_from_the_row() {
        let document = told(&[]);
        let wanted = [
            ("task_launched", "row"),
            ("task_status", "row"),
            ("task_kill_ordered", "row"),
        ];
        assert_eq!(kinds(&document), wanted);
        assert_eq!(document["unacknowledged"], json!(["TASK_RUNNING"]));
        let unknown = document["unknown"][0].as_str().unwrap();
        assert!(unknown.contains("from before 50.0"), "{unknown}");
    }

    #[test]
    fn events_and_row_are_told_once_and_another_use_of_the_id_is_left_out() {
        let event = |what| Event { wall: None, what };
        let launched = |launch| {
            let task = TaskKey {
                launch: LaunchIndex(launch),
                ..key()
            };
            event(What::TaskLaunched {
                task,
                agent: AGENT,
                offers: Arc::from([]),
            })
        };
        let killed = event(What::TaskKillOrdered {
            task: key(),
            agent: AGENT,
            by: KilledBy::Operator,
            grace: None,
        });
        let kept = EntryEvents {
            index: Index(60),
            events: vec![launched(1), launched(2), killed, launched(3)],
        };
        let document = told(&[Arc::new(kept)]);
        let wanted = [
            ("task_status", "row"),
            ("task_launched", "event"),
            ("task_kill_ordered", "event"),
        ];
        assert_eq!(kinds(&document), wanted);
        assert_eq!(document["timeline"][1]["id"], "60.1");
        assert_eq!(document["unknown"], json!([]));
    }
}
