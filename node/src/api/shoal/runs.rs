//! Runs: create one, look at it, end it.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use shoal_api::{Command, Resources, RunId, RunRefusal, RunSpec, Slot};
use shoal_master::{Answer, Refused, Request};

use super::{Call, Outcome, done, listing, lists, refusal, unexpected};
use crate::api::reply;
use crate::authorize::{Action, Object};

/// The body of a request for a run.
#[derive(Debug, Deserialize)]
struct NewRun {
    name: String,
    command: Vec<String>,
    #[serde(default)]
    environment: Vec<Variable>,
    resources: String,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    kill_grace: Option<f64>,
    #[serde(default = "one")]
    count: u32,
}

#[derive(Debug, Deserialize)]
struct Variable {
    name: String,
    value: String,
}

fn one() -> u32 {
    1
}

/// Bytes in all words of a command and its environment together. Ours.
const COMMAND_BYTES: usize = 128 * 1024;

fn spec(run: NewRun) -> Result<RunSpec, String> {
    let words = run.command.iter().map(String::len).sum::<usize>();
    let variables = run
        .environment
        .iter()
        .map(|v| v.name.len() + v.value.len())
        .sum::<usize>();
    if words + variables > COMMAND_BYTES {
        return Err(format!(
            "command and environment have more than {COMMAND_BYTES} bytes"
        ));
    }
    let nul = |text: &String| text.contains('\0');
    if run.command.iter().any(nul)
        || run
            .environment
            .iter()
            .any(|v| nul(&v.name) || nul(&v.value))
    {
        return Err("a word has a zero byte".to_owned());
    }
    let program = run.command.first().filter(|program| !program.is_empty());
    let program = program.ok_or("the command is empty")?;
    let kill_grace = match run.kill_grace {
        None => None,
        Some(seconds) => Some(
            std::time::Duration::try_from_secs_f64(seconds)
                .map_err(|_| "kill_grace is no number of seconds")?,
        ),
    };
    Ok(RunSpec {
        name: Arc::from(run.name),
        command: Command::Exec {
            program: Arc::from(&**program),
            arguments: run.command.iter().map(|word| Arc::from(&**word)).collect(),
        },
        environment: run
            .environment
            .into_iter()
            .map(|variable| (Arc::from(variable.name), Arc::from(variable.value)))
            .collect(),
        resources: resources(&run.resources)?,
        user: run.user.map(Arc::from),
        kill_grace,
        count: run.count,
    })
}

/// The run that a body asks for, if it can be created.
#[cfg(feature = "fuzzing")]
pub fn read_run(body: &[u8]) -> Option<RunSpec> {
    let spec = spec(serde_json::from_slice(body).ok()?).ok()?;
    spec.check().is_ok().then_some(spec)
}

fn resources(text: &str) -> Result<Resources, String> {
    let resources = Resources::parse(text).map_err(|error| error.to_string())?;
    match resources.iter().find(|resource| resource.terms.is_some()) {
        None => Ok(resources),
        Some(reserved) => Err(format!(
            "resource '{reserved}' is reserved, and a run takes what is not: leave the (ROLE) out"
        )),
    }
}

impl Call<'_> {
    pub(super) async fn create_run(&self) -> Outcome {
        let bad = |why: String| {
            let error = "the run cannot be created as asked";
            Box::new(reply::problem(StatusCode::BAD_REQUEST, error, why, ""))
        };
        let spec = spec(self.json()?).map_err(bad)?;
        spec.check().map_err(|refused| bad(refused.to_string()))?;
        let (name, count) = (Arc::clone(&spec.name), spec.count);
        match self.master.ask(Request::CreateRun(Box::new(spec))).await {
            Answer::RunCreated(run) => {
                let tasks: Vec<Value> = (0..count)
                    .filter_map(|number| Slot { run, number }.task_id(&name).ok())
                    .map(|task| json!(task.as_str()))
                    .collect();
                let document = json!({ "run": run.0, "tasks": tasks });
                Ok(reply::json(StatusCode::CREATED, &document))
            }
            Answer::Refused(refused) => Err(Box::new(refusal(&refused))),
            Answer::Done | Answer::State(_) | Answer::File(_) => Err(Box::new(unexpected())),
        }
    }

    pub(super) async fn run(&self, run: &str) -> Outcome {
        let run = number(run)?;
        self.may(Action::Read, &Object::Run(run))?;
        let view = self.view().await?;
        let runs = &view.state.runs;
        let Some(row) = runs.run(run) else {
            return Err(Box::new(refusal(&Refused::Run(RunRefusal::NotFound(run)))));
        };
        let tasks: Vec<Value> = runs
            .slots_of(run)
            .map(|(slot, slot_row)| {
                let mut value = lists::slot(&view.state, &slot_row.state);
                let task = slot.task_id(&row.spec.name).ok();
                value["id"] = json!(task.as_ref().map(|task| task.as_str()));
                value
            })
            .collect();
        let document = json!({
            "run": run.0,
            "name": &*row.spec.name,
            "count": row.spec.count,
            "unfinished": row.unfinished,
            "killed": row.killed,
            "tasks": tasks,
        });
        Ok(listing(&view, &document))
    }

    pub(super) async fn kill_run(&self, run: &str) -> Outcome {
        let run = number(run)?;
        self.may(Action::Kill, &Object::Run(run))?;
        done(&self.master.ask(Request::KillRun(run)).await)
    }
}

fn number(text: &str) -> Result<RunId, Box<reply::Reply>> {
    text.parse().map(RunId).map_err(|_| {
        let error = format!("'{text}' is no run");
        Box::new(reply::problem(
            StatusCode::BAD_REQUEST,
            error,
            "",
            "a run has a number",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RunSpec, String> {
        spec(serde_json::from_str(text).map_err(|error| error.to_string())?)
    }

    #[test]
    fn a_run_needs_a_command_and_resources() {
        let good = read(r#"{"name":"a","command":["ls","-l"],"resources":"cpus:1"}"#).unwrap();
        assert_eq!(good.count, 1);
        for bad in [
            r#"{"name":"a","command":[],"resources":"cpus:1"}"#,
            r#"{"name":"a","command":["a\u0000"],"resources":"cpus:1"}"#,
            r#"{"name":"a","command":["a"],"resources":"cpus:x"}"#,
            r#"{"name":"a","command":["a"],"resources":"cpus:1","kill_grace":-1}"#,
            r#"{"name":"a","command":"ls","resources":"cpus:1"}"#,
            r#"{"command":["a"],"resources":"cpus:1"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
