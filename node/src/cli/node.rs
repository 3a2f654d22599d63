//! `shoal node`: one node until a signal, or until the line that its life hangs on is cut.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use super::flags::NodeFlags;
use crate::config::NodeConfig;
use crate::{node, stop};

/// Runs the node.
///
/// # Errors
/// What keeps it from running.
pub fn run(flags: NodeFlags) -> Result<ExitCode, Failure> {
    let config = NodeConfig::from_flags(flags)?;
    let lifeline = if config.lifeline {
        Some(hold_lifeline()?)
    } else {
        None
    };
    let runtime = node::runtime()?;
    let outcome = runtime.block_on(async {
        let (stop, stopped) = stop::pair();
        let failed = |error| {
            Failure::new(
                Exit::Failed,
                format!("cannot listen for signals: {error}"),
                "",
            )
        };
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let life = node::run(config, lifeline, stopped);
        tokio::pin!(life);
        loop {
            tokio::select! {
                result = &mut life => return result,
                _ = interrupt.recv() => stop.stop(),
                _ = terminate.recv() => stop.stop(),
            }
        }
    });
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Ends this process at once when standard input does, and gives a copy of it for the keeper.
fn hold_lifeline() -> Result<OwnedFd, Failure> {
    let failed = |error| {
        Failure::new(
            Exit::Failed,
            format!("cannot hold the lifeline: {error}"),
            "",
        )
    };
    let copy = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(failed)?;
    std::thread::Builder::new()
        .name("shoal-lifeline".to_owned())
        .spawn(|| {
            let mut input = std::io::stdin().lock();
            let mut ignored = [0_u8; 64];
            while !matches!(input.read(&mut ignored), Ok(0) | Err(_)) {}
            // Whoever held the other end is gone: nobody waits for a good order any more.
            std::process::exit(1);
        })
        .map_err(failed)?;
    Ok(copy)
}
