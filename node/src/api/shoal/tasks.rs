//! One task: look at it, read what it wrote, end it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Value, json};
use shoal_api::limits::FILE_PIECE_BYTES;
use shoal_api::session::{FileError, FilePiece};
use shoal_api::{FrameworkId, RunId, SlotState, TaskId};
use shoal_master::{Answer, Refused, Request, State};

use super::{Call, Outcome, done, listing, lists, names, refusal, unexpected};
use crate::api::reply::{self, Reply};
use crate::authorize::{Action, Object};

/// The body of a request to end a task.
#[derive(Debug, Deserialize)]
struct Kill {
    #[serde(default)]
    grace: Option<f64>,
}

fn bad(error: impl Into<String>, hint: &str) -> Box<Reply> {
    Box::new(reply::problem(StatusCode::BAD_REQUEST, error, "", hint))
}

/// All tasks of that id, as rows; the ones that have not ended first.
fn find(state: &State, framework: Option<&FrameworkId>, task: &TaskId) -> Vec<Value> {
    let offers = &state.offers;
    let wanted = |id: &FrameworkId| framework.is_none_or(|only| only == id);
    let mut found = Vec::new();
    for (id, _) in offers.frameworks().filter(|(id, _)| wanted(id)) {
        if let Some(live) = offers.find_task(id, task) {
            found.push(lists::task(state, live.key, live.row));
        }
    }
    for ended in offers.completed_tasks().rev() {
        let key = &ended.assignment.key;
        let framework = key.framework.as_str();
        let newer = found.iter().any(|row| row["framework"] == framework);
        if key.task == *task && wanted(&key.framework) && !newer {
            found.push(lists::completed(state, ended));
        }
    }
    found
}

impl Call<'_> {
    /// The one task that is meant.
    async fn resolve(&self, task: &str) -> Result<Meant, Box<Reply>> {
        let task = TaskId::new(task).map_err(|error| bad(error.to_string(), ""))?;
        let framework = self.parameter("framework");
        let framework = match framework {
            Some(text) => {
                Some(FrameworkId::new(&text).map_err(|error| bad(error.to_string(), ""))?)
            }
            None => None,
        };
        if let Some(framework) = framework {
            return Ok(Meant::Task(framework, task));
        }
        let view = self.view().await?;
        let found = find(&view.state, None, &task);
        match found.as_slice() {
            [] => match waiting(&view.state, &task) {
                Some(slot) => Ok(Meant::NoTask(slot)),
                None => Err(Box::new(refusal(&Refused::NoSuchTask(task)))),
            },
            [one] => {
                let framework = one["framework"].as_str().unwrap_or_default();
                let framework = FrameworkId::new(framework).expect("a listed id is valid");
                Ok(Meant::Task(framework, task))
            }
            several => {
                let frameworks: Vec<&str> = several
                    .iter()
                    .filter_map(|row| row["framework"].as_str())
                    .collect();
                Err(Box::new(reply::problem(
                    StatusCode::CONFLICT,
                    format!("{} frameworks have a task {task}", several.len()),
                    frameworks.join(", "),
                    "name the one you mean as FRAMEWORK/TASK",
                )))
            }
        }
    }

    pub(super) async fn task(&self, task: &str) -> Outcome {
        let task = TaskId::new(task).map_err(|error| bad(error.to_string(), ""))?;
        let view = self.view().await?;
        let rows = find(&view.state, None, &task);
        match rows.is_empty() {
            true => Err(Box::new(refusal(&Refused::NoSuchTask(task)))),
            false => Ok(listing(&view, &json!({ "tasks": rows }))),
        }
    }

    pub(super) async fn task_kill(&self, task: &str) -> Outcome {
        let kill: Kill = self.json()?;
        let grace = match kill.grace {
            Some(seconds) => Some(
                Duration::try_from_secs_f64(seconds)
                    .map_err(|_| bad("grace is no number of seconds", ""))?,
            ),
            None => None,
        };
        let meant = self.resolve(task).await?;
        self.may(Action::Kill, &meant.object())?;
        let request = match meant {
            Meant::Task(framework, task) => Request::KillTask {
                framework,
                task,
                grace,
            },
            Meant::NoTask(WaitingSlot { run, count: 1, .. }) => Request::KillRun(run),
            Meant::NoTask(WaitingSlot { run, count, .. }) => {
                return Err(Box::new(reply::problem(
                    StatusCode::CONFLICT,
                    format!("task {task} waits for resources with {count} others of run {run}"),
                    "",
                    format!("end the whole run: POST /shoal/v1/runs/{run}/kill"),
                )));
            }
        };
        done(&self.master.ask(request).await)
    }

    pub(super) async fn teardown(&self, framework: &str) -> Outcome {
        let view = self.view().await?;
        let framework = names::framework_named(&view.state, framework)?;
        self.may(Action::Kill, &Object::Framework(framework.clone()))?;
        let tasks = view.state.offers.tasks_of_framework(&framework);
        let tasks = tasks.filter(|task| task.row.holds()).count();
        let request = Request::RemoveFramework(framework.clone());
        match self.master.ask(request).await {
            Answer::Done => {
                let document = json!({ "framework": framework.as_str(), "tasks": tasks });
                Ok(reply::json(StatusCode::OK, &document))
            }
            answer => done(&answer),
        }
    }

    pub(super) async fn task_logs(&self, task: &str) -> Outcome {
        let file = self
            .parameter("file")
            .unwrap_or_else(|| "stdout".to_owned());
        if file != "stdout" && file != "stderr" {
            return Err(bad(format!("'{file}' is not relayed"), "stdout or stderr"));
        }
        let number = |name: &str, default: u64| match self.parameter(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| bad(format!("{name} '{text}' is no number"), "")),
        };
        let offset = number("offset", 0)?;
        let most = FILE_PIECE_BYTES as u64;
        let length = u32::try_from(number("length", most)?.min(most)).unwrap_or(u32::MAX);
        let meant = self.resolve(task).await?;
        self.may(Action::Read, &meant.object())?;
        let (framework, task) = match meant {
            Meant::Task(framework, task) => (framework, task),
            Meant::NoTask(slot) => return Ok(piece_reply(nothing(slot.ended))),
        };
        let request = Request::ReadFile {
            framework,
            task,
            file: Arc::from(file),
            offset,
            length,
        };
        match self.master.ask(request).await {
            Answer::File(Ok(piece)) => Ok(piece_reply(piece)),
            // A task that has just started has written nothing so far.
            Answer::File(Err(FileError::NoSuchFile(_))) => Ok(piece_reply(nothing(false))),
            Answer::File(Err(error)) => Err(Box::new(file_error(&error))),
            Answer::Refused(refused) => Err(Box::new(refusal(&refused))),
            Answer::Done | Answer::State(_) | Answer::RunCreated(_) => Err(Box::new(unexpected())),
        }
    }
}

/// What a name means.
enum Meant {
    /// A task.
    Task(FrameworkId, TaskId),
    /// A slot of a run that has no task, or never had one.
    NoTask(WaitingSlot),
}

impl Meant {
    /// Whose it is.
    fn object(&self) -> Object {
        match self {
            Meant::Task(framework, _) => Object::Framework(framework.clone()),
            Meant::NoTask(slot) => Object::Run(slot.run),
        }
    }
}

/// A slot of a run without a task.
struct WaitingSlot {
    run: RunId,
    /// How many slots the run has.
    count: u32,
    /// It will never have a task.
    ended: bool,
}

/// The slot of that id, if a run has one.
pub(super) fn slot_named(state: &State, task: &TaskId) -> Option<shoal_api::Slot> {
    waiting(state, task)?;
    shoal_api::Slot::of_task(task)
}

/// The slot of that id.
fn waiting(state: &State, task: &TaskId) -> Option<WaitingSlot> {
    let slot = shoal_api::Slot::of_task(task)?;
    let run = state.runs.run(slot.run)?;
    let row = state.runs.slot(slot)?;
    let named = slot.task_id(&run.spec.name).ok()?;
    (named == *task).then_some(WaitingSlot {
        run: slot.run,
        count: run.spec.count,
        ended: matches!(row.state, SlotState::Ended { .. }),
    })
}

/// Of a task that has written nothing so far.
fn nothing(complete: bool) -> FilePiece {
    FilePiece {
        bytes: bytes::Bytes::new(),
        size: 0,
        complete,
    }
}

fn piece_reply(piece: FilePiece) -> Reply {
    let complete = piece.complete && piece.bytes.is_empty();
    let mut reply = reply::whole(StatusCode::OK, "application/octet-stream", piece.bytes);
    let headers = reply.headers_mut();
    headers.insert("shoal-file-size", HeaderValue::from(piece.size));
    let complete = if complete { "true" } else { "false" };
    headers.insert("shoal-file-complete", HeaderValue::from_static(complete));
    reply
}

fn file_error(error: &FileError) -> Reply {
    let (status, hint) = match error {
        FileError::NoSuchTask(_) => (
            StatusCode::NOT_FOUND,
            "agents remove the files of tasks that ended long ago",
        ),
        FileError::NoSuchFile(_) => (StatusCode::NOT_FOUND, ""),
        FileError::Unreadable(_) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        FileError::NotConnected => (
            StatusCode::BAD_GATEWAY,
            "ask again once the agent is back, `shoal agents` shows it",
        ),
    };
    reply::problem(status, error.to_string(), "", hint)
}
