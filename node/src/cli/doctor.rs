//! `shoal doctor`: what is wrong on this node, and what to do.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::client::Client;
use super::exit::{Exit, Failure};
use super::flags::OutputForm;
use super::output::{Column, print_json, print_list, print_text, text_at};
use crate::config::flags::NodeFlags;
use crate::doctor::{self, Finding, Status};

/// Runs it. The exit code is 1 if something is wrong.
///
/// # Errors
/// Standard output is gone.
pub fn run(client: &Client, form: OutputForm, flags: &NodeFlags) -> Result<ExitCode, Failure> {
    let findings = doctor::examine(flags, client.addresses());
    let count = |status| findings.iter().filter(|f| f.status == status).count();
    let wrong = count(Status::Wrong);
    let rows: Vec<Value> = findings.iter().map(row).collect();
    let document = json!({ "well": wrong == 0, "findings": rows });
    match form {
        OutputForm::Json => print_json(&document)?,
        OutputForm::Table => {
            let columns = [
                Column {
                    heading: "STATUS",
                    cell: |row| text_at(row, "/status"),
                },
                Column {
                    heading: "CHECK",
                    cell: |row| text_at(row, "/check"),
                },
                Column {
                    heading: "FOUND",
                    cell: |row| text_at(row, "/found"),
                },
            ];
            print_list(form, &document, "findings", &columns)?;
            print_text(&advice(&findings))?;
        }
    }
    Ok(match wrong {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::Failed.code()),
    })
}

/// What to do, after the table.
fn advice(findings: &[Finding]) -> String {
    let mut text = String::new();
    for status in [Status::Wrong, Status::Note] {
        let of = findings.iter().filter(|finding| finding.status == status);
        for finding in of.filter(|finding| !finding.remedy.is_empty()) {
            let word = status.as_str();
            text.push_str(&format!("\n{word}: {}: {}\n", finding.check, finding.found));
            text.push_str(&format!("  do: {}\n", finding.remedy));
        }
    }
    let wrong = findings
        .iter()
        .filter(|f| f.status == Status::Wrong)
        .count();
    text.push_str(&match wrong {
        0 => "\nnothing is wrong\n".to_owned(),
        1 => "\n1 thing is wrong\n".to_owned(),
        many => format!("\n{many} things are wrong\n"),
    });
    text
}

fn row(finding: &Finding) -> Value {
    json!({
        "check": finding.check,
        "status": finding.status.as_str(),
        "found": finding.found,
        "remedy": finding.remedy,
    })
}
