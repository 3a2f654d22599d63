//! Outputs as one line each, without what chance decides.

use shoal_agent::{Output, Record, SessionChange, Signal};
use shoal_api::session::{AgentMessage, TaskReport};
use shoal_api::{Fence, StatusUpdate, TaskKey};

pub fn output(output: &Output) -> String {
    match output {
        Output::Dial { connection, to } => format!("dial {} {to}", connection.0),
        Output::Close { connection } => format!("close {}", connection.0),
        Output::Send {
            connection,
            message: said,
        } => format!("send {} {}", connection.0, message(said)),
        Output::Checkpoint { record: what, .. } => format!("write {}", record(what)),
        Output::Spawn(spawn) => format!("spawn {}", key(&spawn.task)),
        Output::Signal { task, signal } => {
            let signal = match signal {
                Signal::Term => "TERM",
                Signal::Kill => "KILL",
            };
            format!("signal {} {signal}", key(task))
        }
        Output::RemoveVolume { terms } => format!("remove volume {terms}"),
        Output::Forget { task } => format!("keeper forget {}", key(task)),
        Output::ReadFile {
            connection,
            read,
            complete,
        } => format!(
            "read file for {}: {} {} at {} up to {} complete {complete}",
            connection.0,
            key(&read.task),
            read.file,
            read.offset,
            read.length
        ),
        Output::Session(change) => match change {
            SessionChange::Opened {
                connection, master, ..
            } => format!("session {} open with {master}", connection.0),
            SessionChange::Closed { why } => format!("session closed: {why}"),
            SessionChange::Refused(why) => format!("session refused: {why}"),
        },
        Output::Fatal(why) => format!("fatal: {why}"),
        Output::Stopped => "stopped".to_owned(),
    }
}

fn message(message: &AgentMessage) -> String {
    match message {
        AgentMessage::Hello(hello) => {
            let tasks: Vec<String> = hello.tasks.iter().map(report).collect();
            let agent = hello.agent.map_or("none", |_| "known");
            let fence = fence(hello.fence);
            format!(
                "hello agent {agent} fence {fence} tasks [{}]",
                tasks.join(", ")
            )
        }
        AgentMessage::Update(what) => format!("update {}", update(what)),
        AgentMessage::Pong => "pong".to_owned(),
        AgentMessage::Stale { fence: ours } => format!("stale, at {}", fence(*ours)),
        AgentMessage::Restarting { back_within } => format!("restarting {back_within:?}"),
        AgentMessage::FilePiece { request, piece } => match piece {
            Ok(piece) => format!("piece {request} of {} bytes", piece.bytes.len()),
            Err(error) => format!("piece {request}: {error}"),
        },
    }
}

fn report(report: &TaskReport) -> String {
    let updates: Vec<String> = report
        .updates
        .iter()
        .map(|update| format!(" #{}", update.sequence))
        .collect();
    let state = report.state.as_str();
    format!(
        "{} {state}{}",
        key(&report.assignment.key),
        updates.concat()
    )
}

fn update(update: &StatusUpdate) -> String {
    let mut text = format!(
        "{} #{} {} by {:?} at {}",
        key(&update.task),
        update.sequence,
        update.state,
        update.source,
        update.timestamp.as_seconds()
    );
    if let Some(reason) = update.reason {
        text.push_str(&format!(" {reason:?}"));
    }
    if !update.message.is_empty() {
        text.push_str(&format!(" '{}'", update.message));
    }
    text
}

fn record(record: &Record) -> String {
    match record {
        Record::Booted(boot) => format!("booted {}", boot.0),
        Record::Bound { .. } => "bound".to_owned(),
        Record::Fenced(to) => format!("fence {}", fence(*to)),
        Record::Launched {
            fence: of,
            assignment,
            ..
        } => format!("launched {} by {}", key(&assignment.key), fence(*of)),
        Record::Killed {
            fence: of,
            task,
            grace,
        } => format!("killed {} by {} grace {grace:?}", key(task), fence(*of)),
        Record::Updated(what) => format!("update {}", update(what)),
        Record::Durable { task, sequence } => format!("durable {} #{sequence}", key(task)),
        Record::Forgotten { fence: of, task } => {
            format!("forgotten {} by {}", key(task), fence(*of))
        }
        Record::Standing { assignment, .. } => format!("standing {}", key(&assignment.key)),
    }
}

fn key(key: &TaskKey) -> String {
    format!("{}@{}", key.task, key.launch)
}

fn fence(fence: Fence) -> String {
    format!("{}.{}.{}", fence.incarnation, fence.epoch, fence.index)
}
