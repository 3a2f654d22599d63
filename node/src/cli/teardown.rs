//! `shoal teardown`: the end of a framework, which is asked about first.

use std::io::{self, BufRead, IsTerminal};

use serde_json::{Value, json};

use super::client::{Client, encode};
use super::exit::{Exit, Failure};
use super::flags::{OutputForm, TeardownFlags};
use super::list::confirm;
use super::output::{printable, text_at};

/// `shoal teardown`.
///
/// # Errors
/// What the API says; [`Exit::Usage`] if there is nobody to ask; [`Exit::Failed`] if the answer is no.
pub fn teardown(client: &Client, form: OutputForm, flags: &TeardownFlags) -> Result<(), Failure> {
    if !flags.yes {
        ask(client, &flags.framework)?;
    }
    let path = format!("/shoal/v1/frameworks/{}/teardown", encode(&flags.framework));
    let document = client.post(&path, &json!({}))?;
    let (framework, tasks) = (
        text_at(&document, "/framework"),
        text_at(&document, "/tasks"),
    );
    confirm(
        form,
        &document,
        &format!("removed {framework}, ending {tasks} tasks\n"),
    )
}

/// Asks whoever sits at the terminal.
fn ask(client: &Client, framework: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "removing framework '{framework}' is not confirmed, and standard input is no terminal"
            ),
            "say --yes if you mean it: its tasks end and its id is never accepted again",
        ));
    }
    let document = client.get("/shoal/v1/frameworks")?;
    let rows = document["frameworks"].as_array();
    let meant: Vec<&Value> = rows
        .into_iter()
        .flatten()
        .filter(|row| row["id"] == framework || row["name"] == framework)
        .collect();
    let what = match meant.as_slice() {
        [one] => format!(
            "{} ({}) with {} tasks",
            printable(&text_at(one, "/name")),
            text_at(one, "/id"),
            text_at(one, "/tasks")
        ),
        _ => printable(framework),
    };
    eprint!("Remove framework {what}? Its tasks end, its id is never accepted again. Type yes: ");
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == "yes" {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "nothing was removed", ""))
}
