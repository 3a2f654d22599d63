//! The configuration is read again while the node runs, on HUP.
//!
//! What lives here decides what may change and says what happened. All or nothing: one wrong value
//! anywhere, and the node goes on as it was.

use std::sync::Arc;

use metrics::{Counter, Gauge};
use shoal_api::agent::HostPort;
use tokio::signal::unix::Signal;

use super::flags::NodeFlags;
use super::key::Reload;
use super::load;
use super::problem::Problems;
use super::settings::{KEYS, Settings};
use crate::cli::Failure;
use crate::gossip::Gossip;
use crate::handlers::{HandlerSpec, Handlers};
use crate::keyring::{Given, Keys};
use crate::log::Log;
use crate::metrics::{catalogue, counter, gauge};

/// What a running node was told, and by whom it may be told again.
#[derive(Debug)]
pub struct Reloader {
    flags: NodeFlags,
    /// What holds: as at the start, but for the keys that a running node takes.
    current: Settings,
    log: Log,
    applied: Counter,
    refused: Counter,
    waiting: Gauge,
}

/// What another reading would change.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    /// Addresses to join through that were not there before.
    join: Vec<HostPort>,
    /// The event handlers, if they are others.
    handlers: Option<Vec<HandlerSpec>>,
    /// Whether the log's filter is another one.
    log: bool,
    /// What is said about keys, if that is something else.
    keys: Option<Given>,
    /// Keys that have another value, which waits for a restart.
    waiting: Vec<&'static str>,
}

impl Reloader {
    /// For a node that was started with these flags and got these settings.
    pub fn new(flags: NodeFlags, current: Settings, log: Log) -> Reloader {
        Reloader {
            flags,
            current,
            log,
            applied: counter(&catalogue::CONFIG_RELOADS, &["applied"]),
            refused: counter(&catalogue::CONFIG_RELOADS, &["refused"]),
            waiting: gauge(&catalogue::CONFIG_WAITING, &[]),
        }
    }

    /// Reads again at every signal; ends with the gossip.
    pub async fn serve(
        mut self,
        mut hang_up: Signal,
        gossip: Gossip,
        handlers: Handlers,
        keys: Arc<Keys>,
    ) {
        while hang_up.recv().await.is_some() {
            // The file may be on a slow disk, or worse a pipe: nobody else waits for it.
            let flags = self.flags.clone();
            let loading = tokio::task::spawn_blocking(move || load(&flags));
            match loading.await.expect("reading a file does not panic") {
                Ok(loaded) => {
                    // Keys come from files, and are the one thing that can still be refused.
                    let given = difference(&self.current, &loaded.settings).keys;
                    if let Some(given) = given
                        && let Err(failure) = reload_keys(&keys, given).await
                    {
                        self.refuse_keys(&failure);
                        continue;
                    }
                    let change = self.take(loaded.settings);
                    let joined = change.join.len();
                    if joined > 0 && gossip.join(change.join).await.is_err() {
                        return;
                    }
                    if let Some(specs) = change.handlers {
                        handlers.set(specs);
                    }
                    self.applied.increment(1);
                    self.waiting.set(change.waiting.len() as f64);
                    tracing::info!(
                        joined,
                        log_level = %self.current.log_level,
                        "configuration read again"
                    );
                    if !change.waiting.is_empty() {
                        let keys = change.waiting.join(", ");
                        tracing::warn!(keys, "these keys keep their old values until a restart");
                    }
                }
                Err(problems) => self.refuse(&problems),
            }
        }
    }

    fn refuse(&self, Problems(problems): &Problems) {
        self.refused.increment(1);
        for problem in problems {
            tracing::error!(
                place = %problem.origin,
                hint = problem.hint,
                "the configuration stays as it was: {}",
                problem.error
            );
        }
    }

    fn refuse_keys(&self, failure: &Failure) {
        self.refused.increment(1);
        tracing::error!(
            hint = failure.hint,
            "the configuration stays as it was: {}",
            failure.error
        );
    }

    /// Takes what a running node takes, and says what changed.
    fn take(&mut self, new: Settings) -> Change {
        let change = difference(&self.current, &new);
        if change.log {
            self.log.set_filter(&new.log_level);
        }
        self.current.log_level = new.log_level;
        self.current.join = new.join;
        self.current.event_handlers = new.event_handlers;
        self.current.gossip_encryption = new.gossip_encryption;
        self.current.gossip_key = new.gossip_key;
        self.current.gossip_key_file = new.gossip_key_file;
        change
    }
}

async fn reload_keys(keys: &Arc<Keys>, given: Given) -> Result<(), Failure> {
    let keys = Arc::clone(keys);
    let reloading = tokio::task::spawn_blocking(move || keys.reload(&given));
    reloading.await.expect("reading a file does not panic")
}

fn difference(old: &Settings, new: &Settings) -> Change {
    let texts = old.texts().into_iter().zip(new.texts());
    let changed = KEYS.iter().zip(texts).filter(|(_, (old, new))| old != new);
    let waiting = changed.filter(|(key, _)| key.reload == Reload::Restart);
    let fresh = new.join.iter().filter(|seed| !old.join.contains(seed));
    Change {
        join: fresh.cloned().collect(),
        handlers: (old.event_handlers != new.event_handlers).then(|| new.event_handlers.clone()),
        log: old.log_level != new.log_level,
        keys: (old.keys() != new.keys()).then(|| new.keys()),
        waiting: waiting.map(|(key, _)| key.name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogFilter;

    #[test]
    fn only_what_may_change_changes() {
        let old = Settings {
            join: vec![HostPort::new("a", 1), HostPort::new("b", 2)],
            ..Settings::default()
        };
        assert_eq!(difference(&old, &old.clone()), Change::default());
        let new = Settings {
            join: vec![HostPort::new("b", 2), HostPort::new("c", 3)],
            log_level: LogFilter::parse("debug").unwrap(),
            http: "127.0.0.1:6050".parse().unwrap(),
            insecure: true,
            event_handlers: vec![HandlerSpec::parse("a.sh").unwrap()],
            ..Settings::default()
        };
        let expected = Change {
            join: vec![HostPort::new("c", 3)],
            handlers: Some(vec![HandlerSpec::parse("a.sh").unwrap()]),
            log: true,
            keys: None,
            waiting: vec!["http", "insecure"],
        };
        assert_eq!(difference(&old, &new), expected);
    }

    #[test]
    fn every_live_key_is_taken() {
        let live = KEYS.iter().filter(|key| key.reload == Reload::Live);
        let names: Vec<&str> = live.map(|key| key.name).collect();
        assert_eq!(
            names,
            [
                "join",
                "gossip_encryption",
                "gossip_key",
                "gossip_key_file",
                "event_handlers",
                "log_level"
            ],
            "`take` must know each of them"
        );
    }
}
