//! Measurements that anybody can repeat: against a cluster of real processes that each starts itself.
//!
//! What deliberately does not live here: verdicts. Figures are printed with their conditions.

mod cluster;
mod failover;
mod guest;
mod ledger;

use std::process::ExitCode;

use crate::cli::Failure;
use crate::cli::flags::BenchCommand;

/// Runs one measurement.
///
/// # Errors
/// What kept it from being made.
pub fn run(command: &BenchCommand) -> Result<ExitCode, Failure> {
    let runtime = crate::node::runtime()?;
    match command {
        BenchCommand::Ledger(flags) => runtime.block_on(ledger::run(flags))?,
        BenchCommand::Failover(flags) => runtime.block_on(failover::run(flags))?,
    }
    Ok(ExitCode::SUCCESS)
}
