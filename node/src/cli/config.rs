//! `shoal config`: checks a file, shows what holds and why, prints the reference.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::flags::{ConfigCommand, OutputForm};
use super::output::{Column, print_json, print_list, print_text, text_at};
use crate::config::key::{Key, Reload, Standard};
use crate::config::layers::DEFAULT_FILE;
use crate::config::problem::{Origin, Problem, Problems};
use crate::config::settings::KEYS;
use crate::config::{self, Loaded, reference};

/// Runs it.
///
/// # Errors
/// What is wrong with the configuration.
pub fn run(form: OutputForm, command: &ConfigCommand) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Check { file } => return check(form, file.as_deref()),
        ConfigCommand::Show(flags) => show(form, &config::load(flags)?)?,
        ConfigCommand::Reference => print_text(&reference::page())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check(form: OutputForm, file: Option<&Path>) -> Result<ExitCode, Failure> {
    let file = match file {
        Some(file) => file.to_owned(),
        None => standard_file()?,
    };
    let problems = match config::load_file(&file) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems,
    };
    let code = match problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(Exit::Usage.code()),
    };
    match form {
        OutputForm::Json => {
            let rows: Vec<Value> = problems.iter().map(problem_row).collect();
            let valid = problems.is_empty();
            print_json(&json!({ "file": file, "valid": valid, "problems": rows }))?;
        }
        OutputForm::Table if problems.is_empty() => {
            print_text(&format!("{} is valid\n", file.display()))?;
        }
        OutputForm::Table => return Err(Problems(problems).into()),
    }
    Ok(code)
}

/// The file that a node would read, if nobody names one.
fn standard_file() -> Result<PathBuf, Failure> {
    let named = std::env::var_os(config::layers::FILE_VARIABLE).filter(|name| !name.is_empty());
    let file = named.map_or_else(|| PathBuf::from(DEFAULT_FILE), PathBuf::from);
    match file.exists() {
        true => Ok(file),
        false => Err(Failure::new(
            Exit::Usage,
            format!("{} is not there", file.display()),
            "name the file to check",
        )),
    }
}

fn problem_row(problem: &Problem) -> Value {
    json!({
        "key": problem.key,
        "origin": problem.origin.kind(),
        "from": from(&problem.origin),
        "error": problem.error,
        "hint": problem.hint,
    })
}

/// Which flag, variable or place; nothing for a default.
fn from(origin: &Origin) -> Value {
    match origin {
        Origin::Default => Value::Null,
        Origin::Flag(_) | Origin::Variable(_) | Origin::File(_) => Value::from(origin.to_string()),
    }
}

fn show(form: OutputForm, loaded: &Loaded) -> Result<(), Failure> {
    let keys = KEYS.iter().zip(loaded.settings.texts());
    let rows: Vec<Value> = keys.map(|(key, texts)| row(loaded, key, &texts)).collect();
    let document = json!({ "file": loaded.layers.file, "keys": rows });
    let columns = [
        Column {
            heading: "KEY",
            cell: |row| text_at(row, "/key"),
        },
        Column {
            heading: "VALUE",
            cell: |row| match row["value"].as_array() {
                _ if row["unset"].is_string() => format!("({})", text_at(row, "/unset")),
                Some(items) => {
                    let texts = items.iter().filter_map(Value::as_str);
                    texts.collect::<Vec<_>>().join(",")
                }
                None => text_at(row, "/value"),
            },
        },
        Column {
            heading: "FROM",
            cell: |row| match text_at(row, "/from") {
                from if from.is_empty() => text_at(row, "/origin"),
                from => from,
            },
        },
    ];
    print_list(form, &document, "keys", &columns)
}

fn row(loaded: &Loaded, key: &Key, texts: &[String]) -> Value {
    let origin = loaded.layers.origin(key.name);
    let mut row = json!({
        "key": key.name,
        "value": config::key::json(key.shape, texts),
        "origin": origin.kind(),
        "from": from(&origin),
        "flag": format!("--{}", key.flag()),
        "variable": key.variable(),
        "reload": key.reload == Reload::Live,
    });
    if let (true, Standard::Unset(meaning)) = (texts.is_empty(), key.default) {
        row["unset"] = Value::from(meaning.replace('`', ""));
    }
    row
}
