//! The commands about tasks: run, logs, kill.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::client::{Client, encode};
use super::exit::{Exit, Failure};
use super::flags::{KillFlags, LogsFlags, OutputForm, RunFlags};
use super::list::confirm;
use super::output::{print_json, print_text, text_at};
use crate::limits;

/// Where a task lives in the API: `TASK`, or `FRAMEWORK/TASK` where one id is not enough.
pub(super) fn task_path(task: &str) -> String {
    match task.split_once('/') {
        Some((framework, task)) => {
            format!(
                "/shoal/v1/tasks/{}?framework={}&",
                encode(task),
                encode(framework)
            )
        }
        None => format!("/shoal/v1/tasks/{}?", encode(task)),
    }
}

fn logs_path(task: &str, file: &str, offset: u64) -> String {
    let (path, query) = task_path(task)
        .split_once('?')
        .map(|(path, query)| (path.to_owned(), query.to_owned()))
        .unwrap_or_default();
    format!("{path}/logs?{query}file={file}&offset={offset}")
}

/// `shoal kill`.
///
/// # Errors
/// What the API says.
pub fn kill(client: &Client, form: OutputForm, flags: &KillFlags) -> Result<(), Failure> {
    let path = task_path(&flags.task).replacen('?', "/kill?", 1);
    let body = match flags.grace {
        Some(grace) => json!({ "grace": grace.as_secs_f64() }),
        None => json!({}),
    };
    let document = client.post(&path, &body)?;
    confirm(form, &document, &format!("ending {}\n", flags.task))
}

/// `shoal logs`.
///
/// # Errors
/// What the API says.
pub fn logs(client: &Client, flags: &LogsFlags) -> Result<(), Failure> {
    let file = if flags.stderr { "stderr" } else { "stdout" };
    let mut log = Log {
        sink: Sink::Output,
        ..Log::new(file)
    };
    loop {
        let piece = log.copy(client, &flags.task)?;
        match piece {
            Piece::More => {}
            Piece::End => return Ok(()),
            Piece::Waiting if !flags.follow => return Ok(()),
            Piece::Waiting => std::thread::sleep(limits::CLIENT_POLL_MAX),
        }
    }
}

/// What a read of a log gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    /// Bytes; there may be more at once.
    More,
    /// Nothing at the moment; the task goes on.
    Waiting,
    /// Nothing, and nothing will follow.
    End,
}

/// How far one file of one task was copied.
#[derive(Clone, Debug)]
struct Log {
    file: &'static str,
    offset: u64,
    sink: Sink,
}

/// Where a copy goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// To this process' standard output.
    Output,
    /// To its standard error.
    Error,
}

impl Log {
    /// To this process' file of the same kind.
    fn new(file: &'static str) -> Log {
        let sink = match file {
            "stderr" => Sink::Error,
            _ => Sink::Output,
        };
        Log {
            file,
            offset: 0,
            sink,
        }
    }

    /// Copies the next piece.
    fn copy(&mut self, client: &Client, task: &str) -> Result<Piece, Failure> {
        let answer = client.get_raw(&logs_path(task, self.file, self.offset))?;
        let complete = answer.header("shoal-file-complete") == Some("true");
        if answer.body.is_empty() {
            return Ok(if complete { Piece::End } else { Piece::Waiting });
        }
        let written = match self.sink {
            Sink::Error => io::stderr().lock().write_all(&answer.body),
            Sink::Output => {
                let mut out = io::stdout().lock();
                out.write_all(&answer.body).and_then(|()| out.flush())
            }
        };
        match written {
            Ok(()) => {}
            // A reader that has gone away, such as `head`, has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Piece::End),
            Err(error) => {
                let error = format!("cannot write the output: {error}");
                return Err(Failure::new(Exit::Failed, error, ""));
            }
        }
        self.offset += answer.body.len() as u64;
        Ok(Piece::More)
    }
}

/// One task of a run, as this command follows it.
#[derive(Debug)]
struct Follow {
    task: String,
    out: Log,
    err: Log,
    started: bool,
    /// Terminal state seen; what is left is output.
    ended: Option<Value>,
    copied: bool,
}

/// `shoal run`: creates the run, copies its output, gives its exit code.
///
/// # Errors
/// [`Exit::RunFailed`] if Shoal failed; a bad request keeps [`Exit::Usage`].
pub fn run(client: &Client, form: OutputForm, flags: &RunFlags) -> Result<u8, Failure> {
    let created = client
        .post("/shoal/v1/runs", &request(flags))
        .map_err(as_run)?;
    let run = text_at(&created, "/run");
    let tasks: Vec<String> = created["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|task| task.as_str().map(str::to_owned))
        .collect();
    if flags.detach {
        match form {
            OutputForm::Json => print_json(&created)?,
            OutputForm::Table => print_text(&(tasks.join("\n") + "\n"))?,
        }
        return Ok(0);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::RunFailed, format!("cannot start: {error}"), ""))?;
    let follow = tasks.into_iter().map(|task| Follow {
        task,
        out: Log::new("stdout"),
        err: Log::new("stderr"),
        started: false,
        ended: None,
        copied: false,
    });
    runtime
        .block_on(follow_run(client, &run, follow.collect()))
        .map_err(as_run)
}

fn request(flags: &RunFlags) -> Value {
    let name = flags.name.clone().unwrap_or_else(|| {
        let program = flags.command[0].rsplit('/').next().unwrap_or_default();
        let safe = program
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c));
        let safe: String = safe.take(32).collect();
        if safe.is_empty() {
            "run".to_owned()
        } else {
            safe
        }
    });
    let environment: Vec<Value> = flags
        .env
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    json!({
        "name": name,
        "command": flags.command,
        "environment": environment,
        "resources": format!("cpus:{};mem:{}", flags.cpus, flags.mem),
        "count": flags.count,
    })
}

/// The task's code is what `run` returns, so its own failures have one code apart.
fn as_run(failure: Failure) -> Failure {
    let exit = match failure.exit {
        Exit::Usage => Exit::Usage,
        Exit::Failed | Exit::NoMaster | Exit::NotFound | Exit::RunFailed => Exit::RunFailed,
    };
    Failure { exit, ..failure }
}

async fn follow_run(client: &Client, run: &str, mut tasks: Vec<Follow>) -> Result<u8, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(
                Exit::RunFailed,
                format!("cannot listen for signals: {error}"),
                "",
            )
        })
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let path = format!("/shoal/v1/runs/{}", encode(run));
    let mut pause = limits::CLIENT_POLL_MIN;
    let mut patience = Patience::default();
    let mut killed = false;
    let mut word = Word::new();
    loop {
        let progress = patience.judge(advance(client, &path, &mut tasks))?;
        word.say(&tasks);
        if tasks.iter().all(|task| task.copied) {
            return Ok(exit_code(&tasks));
        }
        pause = match progress {
            true => limits::CLIENT_POLL_MIN,
            false => (pause * 2).min(limits::CLIENT_POLL_MAX),
        };
        if wait(&mut interrupt, &mut terminate, pause).await {
            if killed {
                return Err(Failure::new(
                    Exit::RunFailed,
                    format!("gave up on run {run}, whose tasks are being ended"),
                    "`shoal ps` shows what is left of it",
                ));
            }
            killed = true;
            client.post(&format!("{path}/kill"), &json!({}))?;
        }
    }
}

/// What is said on a terminal when a run does not begin, once.
#[derive(Debug)]
struct Word {
    due: Option<Instant>,
}

impl Word {
    fn new() -> Word {
        let shown = io::stderr().is_terminal();
        Word {
            due: shown.then(|| Instant::now() + limits::CLIENT_WORD),
        }
    }

    fn say(&mut self, tasks: &[Follow]) {
        if self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        self.due = None;
        let waits = |task: &&Follow| !task.started && task.ended.is_none();
        let waiting = tasks.iter().filter(waits).count();
        if let Some(first) = tasks.iter().find(waits) {
            let (all, task) = (tasks.len(), &first.task);
            eprintln!("shoal: {waiting} of {all} tasks wait; `shoal explain {task}` says for what");
        }
    }
}

/// How long answers have failed; a cluster that changes its leader is not given up on.
#[derive(Debug, Default)]
struct Patience {
    since: Option<Instant>,
}

impl Patience {
    fn judge(&mut self, result: Result<bool, Failure>) -> Result<bool, Failure> {
        match result {
            Ok(progress) => {
                self.since = None;
                Ok(progress)
            }
            Err(failure) => match failure.exit {
                Exit::NoMaster | Exit::Failed | Exit::NotFound => {
                    let since = *self.since.get_or_insert_with(Instant::now);
                    if since.elapsed() > limits::CLIENT_PATIENCE {
                        return Err(failure);
                    }
                    Ok(false)
                }
                Exit::Usage | Exit::RunFailed => Err(failure),
            },
        }
    }
}

/// Waits; true if the user wants to end it.
async fn wait(interrupt: &mut Signal, terminate: &mut Signal, pause: Duration) -> bool {
    tokio::select! {
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// Looks at the run once and copies what its tasks wrote; true if anything changed.
fn advance(client: &Client, path: &str, tasks: &mut [Follow]) -> Result<bool, Failure> {
    let document = client.get(path)?;
    let none = Vec::new();
    let rows = document["tasks"].as_array().unwrap_or(&none);
    let mut progress = false;
    for task in tasks.iter_mut().filter(|task| !task.copied) {
        let Some(row) = rows.iter().find(|row| row["id"] == *task.task) else {
            continue;
        };
        if !task.started && row["started"] == true {
            task.started = true;
            progress = true;
        }
        if task.ended.is_none() && row["terminal"] == true {
            task.ended = Some(row.clone());
            progress = true;
        }
        progress |= copy_output(client, task)?;
    }
    Ok(progress)
}

fn copy_output(client: &Client, task: &mut Follow) -> Result<bool, Failure> {
    if !task.started {
        task.copied = task.ended.is_some();
        return Ok(task.copied);
    }
    let mut progress = false;
    let mut complete = true;
    for log in [&mut task.out, &mut task.err] {
        loop {
            let piece = match log.copy(client, &task.task) {
                // Killed before it was started: there is nothing to copy.
                Err(failure) if task.ended.is_some() && failure.exit == Exit::NotFound => {
                    Piece::End
                }
                other => other?,
            };
            match piece {
                Piece::More => progress = true,
                Piece::Waiting => {
                    complete = false;
                    break;
                }
                Piece::End => break,
            }
        }
    }
    if complete && task.ended.is_some() {
        task.copied = true;
    }
    Ok(progress)
}

/// The first code that is not zero; 125 and a word about it where a task has none.
fn exit_code(tasks: &[Follow]) -> u8 {
    let mut code = 0;
    for task in tasks {
        let end = task.ended.as_ref().expect("a copied task has ended");
        let one = match (end.pointer("/exit/code"), end.pointer("/exit/signal")) {
            (Some(Value::Number(n)), _) => n.as_u64().and_then(|n| u8::try_from(n).ok()),
            (_, Some(Value::Number(n))) => n
                .as_u64()
                .and_then(|n| u8::try_from(n.saturating_add(128)).ok()),
            _ => None,
        };
        let one = one.unwrap_or_else(|| {
            let (state, message) = (text_at(end, "/state"), text_at(end, "/message"));
            eprintln!("shoal: task {} ended as {state}: {message}", task.task);
            Exit::RunFailed.code()
        });
        if code == 0 {
            code = one;
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(end: Value) -> Follow {
        Follow {
            task: "t".to_owned(),
            out: Log::new("stdout"),
            err: Log::new("stderr"),
            started: true,
            ended: Some(end),
            copied: true,
        }
    }

    #[test]
    fn codes_and_signals_come_through() {
        assert_eq!(exit_code(&[ended(json!({"exit": {"code": 3}}))]), 3);
        assert_eq!(exit_code(&[ended(json!({"exit": {"signal": 9}}))]), 137);
        assert_eq!(exit_code(&[ended(json!({"state": "TASK_LOST"}))]), 125);
        let both = [
            ended(json!({"exit": {"code": 0}})),
            ended(json!({"exit": {"code": 7}})),
        ];
        assert_eq!(exit_code(&both), 7);
    }

    #[test]
    fn a_task_of_a_framework_has_a_path_of_its_own() {
        assert_eq!(
            logs_path("f 1/t", "stdout", 5),
            "/shoal/v1/tasks/t/logs?framework=f%201&file=stdout&offset=5"
        );
    }
}
