//! Measurements that anybody can repeat: against a cluster of real processes that each starts itself,
//! and ends before it prints.
//!
//! What deliberately does not live here: verdicts. Figures are printed with their conditions.

mod allocator;
mod cluster;
mod conditions;
mod elections;
mod failover;
mod figure;
pub mod flags;
mod floor;
mod framework;
mod guest;
mod idle;
mod launch;
mod ledger;
mod processes;
mod tasks;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::flags::{Flags, OutputForm};
use crate::cli::{Exit, Failure, print_json, print_text};
use conditions::Conditions;
use figure::{Figure, Report};
use flags::{BenchCommand, BenchFlags};

/// What a measurement found, and on what.
struct Measured {
    figures: Vec<Figure>,
    setup: Vec<String>,
}

/// Runs one measurement, or lists them.
///
/// # Errors
/// What kept it from being made.
pub fn run(flags: &BenchFlags, form: OutputForm) -> Result<ExitCode, Failure> {
    match &flags.command {
        _ if flags.list => list(form)?,
        Some(command) => measure(command, form)?,
        None => {
            return Err(Failure::new(
                Exit::Usage,
                "nothing to measure is named",
                "name one of `shoal bench --list`",
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(command: &BenchCommand, form: OutputForm) -> Result<(), Failure> {
    let conditions = Conditions::before();
    let runtime = crate::node::runtime()?;
    let (name, measured) = match command {
        BenchCommand::Ledger(flags) => ("ledger", runtime.block_on(ledger::run(flags))),
        BenchCommand::Launch(flags) => ("launch", runtime.block_on(launch::run(flags))),
        BenchCommand::Tasks(flags) => ("tasks", runtime.block_on(tasks::run(flags))),
        BenchCommand::Failover(flags) => ("failover", runtime.block_on(failover::run(flags))),
        BenchCommand::Elections(flags) => ("elections", runtime.block_on(elections::run(flags))),
        BenchCommand::Idle(flags) => ("idle", runtime.block_on(idle::run(flags))),
        BenchCommand::Allocator(flags) => ("allocator", allocator::run(flags)),
    };
    let measured = measured?;
    let report = Report {
        name,
        figures: measured.figures,
        conditions: conditions.after(&measured.setup),
    };
    report.print(form)
}

/// The measurements with their own one-line help.
fn list(form: OutputForm) -> Result<(), Failure> {
    let flags = Flags::command();
    let bench = flags
        .find_subcommand("bench")
        .expect("this is a command of the program");
    let all: Vec<(String, String)> = bench
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .map(|command| {
            let about = command.get_about().map(ToString::to_string);
            (command.get_name().to_owned(), about.unwrap_or_default())
        })
        .collect();
    match form {
        OutputForm::Json => {
            let rows = all
                .iter()
                .map(|(name, about)| serde_json::json!({"name": name, "about": about}));
            print_json(&serde_json::json!({ "benches": rows.collect::<Vec<_>>() }))
        }
        OutputForm::Table => {
            let lines = all
                .iter()
                .map(|(name, about)| format!("{name:<10} {about}\n"));
            print_text(&lines.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn what_is_measured_has_a_name_and_bounds() {
        let parsed = Flags::try_parse_from(["shoal", "bench", "ledger", "--in-flight", "1"]);
        assert!(parsed.is_ok());
        for bad in [
            ["bench", "ledger", "--in-flight", "0"],
            ["bench", "tasks", "--tasks", "0"],
            ["bench", "elections", "--masters", "2"],
            ["bench", "idle", "--duration", "-1"],
        ] {
            let words = ["shoal"].into_iter().chain(bad);
            assert!(Flags::try_parse_from(words).is_err(), "{bad:?}");
        }
    }
}
