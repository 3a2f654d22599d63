//! `shoal keyring`: the keys that seal the gossip, of all members at once.

use std::io::Read;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::exit::{Exit, Failure};
use super::flags::{KeyringCommand, OutputForm};
use super::output::{Column, print_json, print_list, print_text, text_at};
use crate::keyring::text;
use crate::limits::KEY_FILE_BYTES;

/// `shoal keyring`.
///
/// # Errors
/// What the API says.
pub fn run(
    addresses: &str,
    form: OutputForm,
    command: &KeyringCommand,
) -> Result<ExitCode, Failure> {
    let post = |path: &str, body: &Value| {
        let document = Client::new(addresses)?.post(path, body)?;
        show(form, &document)
    };
    match command {
        KeyringCommand::Generate => generate(form).map(|()| ExitCode::SUCCESS),
        KeyringCommand::List => show(form, &Client::new(addresses)?.get("/shoal/v1/keyring")?),
        KeyringCommand::Install => {
            post("/shoal/v1/keyring/install", &json!({ "key": read_key()? }))
        }
        KeyringCommand::Use { id } => post("/shoal/v1/keyring/use", &json!({ "id": id })),
        KeyringCommand::Remove { id } => post("/shoal/v1/keyring/remove", &json!({ "id": id })),
    }
}

fn generate(form: OutputForm) -> Result<(), Failure> {
    let key = text::generate();
    match form {
        OutputForm::Json => {
            print_json(&json!({ "key": text::secret(&key), "id": key.id().to_string() }))
        }
        OutputForm::Table => print_text(&format!("{}\n", text::secret(&key))),
    }
}

/// A key from standard input, since whoever lists processes sees arguments.
fn read_key() -> Result<String, Failure> {
    let wrong = |why: String| {
        Failure::new(
            Exit::Usage,
            format!("standard input holds no key: {why}"),
            "`shoal keyring install < FILE`, with what `shoal keyring generate` printed",
        )
    };
    let mut content = String::new();
    let read = std::io::stdin()
        .take(KEY_FILE_BYTES)
        .read_to_string(&mut content);
    read.map_err(|error| wrong(error.to_string()))?;
    let key = text::parse(&content).map_err(wrong)?;
    Ok(text::secret(&key))
}

/// Shows what the members say; the code is 1 unless all did what was asked.
fn show(form: OutputForm, document: &Value) -> Result<ExitCode, Failure> {
    let of = |row: &Value, pointer: &str| text_at(row, pointer);
    let columns = [
        Column {
            heading: "ID",
            cell: |row| text_at(row, "/id"),
        },
        Column {
            heading: "MEMBERS",
            cell: |row| text_at(row, "/members"),
        },
        Column {
            heading: "PRIMARY OF",
            cell: |row| text_at(row, "/primary"),
        },
    ];
    print_list(form, document, "keys", &columns)?;
    if document["complete"] == true {
        return Ok(ExitCode::SUCCESS);
    }
    let mut why = Vec::new();
    for row in document["failed"].as_array().into_iter().flatten() {
        why.push(format!("{}: {}", of(row, "/name"), of(row, "/error")));
    }
    for row in document["silent"].as_array().into_iter().flatten() {
        why.push(format!("{}: no answer", of(row, "/name")));
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "{} of {} members did not do it: {}",
            why.len(),
            of(document, "/members"),
            why.join("; ")
        ),
        "ask again: what a member has done already stays done",
    ))
}
