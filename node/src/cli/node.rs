//! `shoal node`: one node until a signal, or until the line that its life hangs on is cut.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use crate::config::flags::NodeFlags;
use crate::config::reload::Reloader;
use crate::config::{self, Loaded, NodeConfig, layers};
use crate::log::{self, Log, LogFormat};
use crate::{node, stop};

/// Runs the node.
///
/// # Errors
/// What keeps it from running.
pub fn run(flags: &NodeFlags) -> Result<ExitCode, Failure> {
    let loaded = config::load(flags)?;
    let format = loaded.settings.log_format;
    let log = log::start(&loaded.settings.log_level, format);
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (name, near) in layers::misspelt(variables) {
        tracing::warn!(name, near, "this variable means nothing, a near one does");
    }
    match (live(flags, loaded, log), format) {
        (Err(failure), LogFormat::Json) => {
            // Standard error holds lines of the log only.
            tracing::error!(hint = failure.hint, "{}", failure.error);
            Ok(ExitCode::from(failure.exit.code()))
        }
        (outcome, LogFormat::Json | LogFormat::Text) => outcome,
    }
}

fn live(flags: &NodeFlags, loaded: Loaded, log: Log) -> Result<ExitCode, Failure> {
    let reloader = Reloader::new(flags.clone(), loaded.settings.clone(), log);
    let config = NodeConfig::of(loaded.settings)?;
    let lifeline = if flags.lifeline {
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
        let hang_up = signal(SignalKind::hangup()).map_err(failed)?;
        let life = node::run(config, lifeline, stopped, |gossip, handlers, keys| {
            tokio::spawn(reloader.serve(hang_up, gossip, handlers, keys));
        });
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
