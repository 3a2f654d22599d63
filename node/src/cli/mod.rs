//! The `shoal` command line: reads flags, hands each command to its own file, maps the outcome to
//! an exit code.

mod backup;
pub(crate) mod client;
mod config;
mod dashboards;
mod doctor;
mod events;
mod examples;
mod exit;
mod explain;
pub mod flags;
mod inspect;
mod keyring;
mod list;
mod members;
mod members_flags;
mod node;
mod offline;
mod output;
mod pages;
mod progress;
mod quorum;
mod recover;
mod restore;
mod stream;
mod tasks;
mod teardown;

use std::process::ExitCode;

use clap::FromArgMatches;

pub use client::Client;
pub use exit::{Exit, Failure};
use flags::{Command, Flags, KeeperFlags};
pub use output::{print_json, print_text};

use crate::log::{self, LogFilter, LogFormat};

/// The program. Flags come from the process; the result is its exit code.
pub fn main() -> ExitCode {
    let matches = examples::command().get_matches();
    let flags = Flags::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match execute(flags) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn execute(flags: Flags) -> Result<ExitCode, Failure> {
    let form = flags.output;
    let client = || Client::new(&flags.addr);
    match &flags.command {
        Command::Node(flags) => {
            return node::run(flags);
        }
        Command::Dev(flags) => {
            log_of_environment()?;
            return crate::dev::run(flags);
        }
        Command::Bench(flags) => {
            log_of_environment()?;
            return crate::bench::run(flags, form);
        }
        Command::Keeper(flags) => return keeper(flags),
        Command::Doctor(flags) => return doctor::run(&client()?, form, flags),
        Command::Config { command } => return config::run(form, command),
        Command::Dashboards(flags) => dashboards::write(flags),
        Command::Members(flags) => members::members(&client()?, form, flags),
        Command::Join(flags) => members::join(&client()?, form, flags),
        Command::Leave => members::leave(&client()?, form),
        Command::ForceLeave(flags) => members::force_leave(&client()?, form, flags),
        Command::Tags(flags) => members::tags(&client()?, form, flags),
        Command::Event(flags) => members::event(&client()?, form, flags),
        Command::Query(flags) => members::query(&client()?, form, flags),
        Command::Reachability(flags) => members::reachability(&client()?, form, flags),
        Command::Rtt(flags) => members::rtt(&client()?, form, flags),
        Command::Monitor => members::monitor(&client()?, form),
        Command::Info => members::info(&client()?, form),
        Command::Leader => list::leader(&client()?, form),
        Command::Tasks(flags) => list::tasks(&client()?, form, flags),
        Command::Offers(flags) => list::offers(&client()?, form, flags),
        Command::Agents => list::agents(&client()?, form),
        Command::Frameworks => list::frameworks(&client()?, form),
        Command::Run(flags) => return tasks::run(&client()?, form, flags).map(ExitCode::from),
        Command::Logs(flags) => tasks::logs(&client()?, flags),
        Command::Kill(flags) => tasks::kill(&client()?, form, flags),
        Command::Backup(flags) => backup::run(&client()?, form, flags),
        Command::Restore(flags) => restore::run(form, flags),
        Command::Inspect(flags) => inspect::run(form, flags),
        Command::Quorum { command } => quorum::run(&flags.addr, form, command),
        Command::Keyring { command } => return keyring::run(&flags.addr, form, command),
        Command::Explain(flags) => explain::explain(&client()?, form, flags),
        Command::Teardown(flags) => teardown::teardown(&client()?, form, flags),
        Command::Completions(flags) => pages::completions(flags),
        Command::Man(flags) => pages::man(flags),
        Command::Events(flags) => events::events(&client()?, form, flags),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Logs what is unexpected, unless the variables of a node say otherwise.
fn log_of_environment() -> Result<(), Failure> {
    let said = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let wrong = |name: &str, why| Failure::new(Exit::Usage, format!("{name}: {why}"), "");
    let filter = said("SHOAL_LOG_LEVEL").unwrap_or_else(|| "warn".to_owned());
    let filter = LogFilter::parse(&filter).map_err(|why| wrong("SHOAL_LOG_LEVEL", why))?;
    let format = match said("SHOAL_LOG_FORMAT") {
        Some(text) => LogFormat::parse(&text).map_err(|why| wrong("SHOAL_LOG_FORMAT", why))?,
        None => LogFormat::default(),
    };
    log::start(&filter, format);
    Ok(())
}

fn keeper(flags: &KeeperFlags) -> Result<ExitCode, Failure> {
    let options = shoal_keeper::Options {
        dir: flags.dir.clone(),
        lifeline: flags.lifeline,
    };
    match shoal_keeper::run(&options) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(Exit::Failed, error.to_string(), "")),
    }
}
