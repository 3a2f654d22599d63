//! `shoal quorum`: who votes, and what an operator does about it.

use std::path::Path;

use shoal_disk::DataDirectory;

use super::client::Client;
use super::exit::{Exit, Failure};
use super::flags::{OutputForm, QuorumCommand};
use super::list::confirm;
use super::output::{Column, print_list, text_at};
use super::recover;
use crate::node::mint;

/// A column whose cell is the text at a pointer.
macro_rules! column {
    ($heading:literal, $pointer:literal) => {
        Column {
            heading: $heading,
            cell: |row| text_at(row, $pointer),
        }
    };
}

/// `shoal quorum`.
///
/// # Errors
/// What the API says.
pub fn run(addresses: &str, form: OutputForm, command: &QuorumCommand) -> Result<(), Failure> {
    let client = || Client::new(addresses);
    match command {
        QuorumCommand::List => {
            let columns = [
                column!("RAFT ID", "/raft_id"),
                column!("NAME", "/name"),
                column!("ROLE", "/role"),
                column!("VOTER", "/voter"),
                column!("PEER", "/peer"),
                column!("STATUS", "/status"),
                Column {
                    heading: "MISSING",
                    cell: |row| match text_at(row, "/missing_seconds") {
                        none if none.is_empty() => none,
                        seconds => format!("{seconds} s"),
                    },
                },
                column!("HAS LOG TO", "/matched"),
            ];
            print_list(
                form,
                &client()?.get("/shoal/v1/quorum")?,
                "masters",
                &columns,
            )
        }
        QuorumCommand::Promote { master } => {
            let body = serde_json::json!({ "master": master });
            let document = client()?.post("/shoal/v1/quorum/promote", &body)?;
            confirm(form, &document, &format!("{master} votes\n"))
        }
        QuorumCommand::Recover {
            data,
            yes_i_lose_data,
        } => recover::run(form, data, *yes_i_lose_data),
        QuorumCommand::Reset { data } => reset(form, data),
        QuorumCommand::Remove { master } => {
            let body = serde_json::json!({ "master": master });
            let document = client()?.post("/shoal/v1/quorum/remove", &body)?;
            confirm(form, &document, &format!("removed {master}\n"))
        }
        QuorumCommand::Transfer { master } => {
            let body = serde_json::json!({ "master": master });
            let document = client()?.post("/shoal/v1/quorum/transfer", &body)?;
            let leader = text_at(&document, "/leader");
            confirm(form, &document, &format!("{leader} leads\n"))
        }
    }
}

fn reset(form: OutputForm, data: &Path) -> Result<(), Failure> {
    let reset = DataDirectory::reset_master(data, mint);
    let aside = reset.map_err(|error| Failure::new(Exit::Failed, error.to_string(), ""))?;
    let aside = aside.map(|aside| aside.display().to_string());
    let kept = aside.as_deref().map_or(String::new(), |aside| {
        format!("; its old ledger is in {aside}")
    });
    let document = serde_json::json!({ "data": data.display().to_string(), "aside": aside });
    let line = format!("{} is a new master when it starts{kept}\n", data.display());
    confirm(form, &document, &line)
}
