//! What is wrong on this node: one look at everything that a node needs, each with what to do.
//!
//! What lives here only reads. It opens no lock, writes no file that has a name, binds a port only
//! where nobody listens and lets go of it at once. What deliberately does not: any repair.

mod cgroups;
mod cluster;
mod data;
mod disk;
mod kernel;
mod keys;
mod ports;
mod process;

use shoal_api::agent::HostPort;

use crate::config::flags::NodeFlags;
use crate::config::problem::Problems;
use crate::config::{self, NodeConfig, check, layers};

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Worth knowing; nobody has to act.
    Note,
    /// Somebody has to act.
    Wrong,
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Wrong => "wrong",
        }
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: a word, and a second one where there are several of a kind.
    pub check: String,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What to do; empty if there is nothing to do.
    pub remedy: String,
}

fn ok(check: impl Into<String>, found: impl Into<String>) -> Finding {
    Finding {
        check: check.into(),
        status: Status::Ok,
        found: found.into(),
        remedy: String::new(),
    }
}

fn note(check: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        check: check.into(),
        status: Status::Note,
        found: found.into(),
        remedy: remedy.into(),
    }
}

fn wrong(check: impl Into<String>, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        check: check.into(),
        status: Status::Wrong,
        found: found.into(),
        remedy: remedy.into(),
    }
}

/// Looks at everything. `others` are addresses of masters, for a node that does not run.
pub fn examine(flags: &NodeFlags, others: &[HostPort]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let node = configuration(flags, &mut findings);
    let running = match &node {
        Some((_, config)) => data::look(&config.data, &mut findings),
        None => None,
    };
    if let Some((listeners, config)) = &node {
        disk::look(&config.data, &mut findings);
        ports::look(config, listeners, running, &mut findings);
        keys::look(config, &mut findings);
        cluster::look(config, running, others, &mut findings);
    }
    process::look(running, &mut findings);
    cgroups::look(running, &mut findings);
    kernel::look(&mut findings);
    findings
}

/// A key and where it makes the node listen.
type Listener = (&'static str, std::net::SocketAddr);

fn configuration(
    flags: &NodeFlags,
    findings: &mut Vec<Finding>,
) -> Option<(Vec<Listener>, NodeConfig)> {
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for (name, near) in layers::misspelt(variables) {
        findings.push(wrong(
            "configuration",
            format!("the variable {name} means nothing"),
            format!("did you mean {near}?"),
        ));
    }
    match config::load(flags) {
        Ok(loaded) => {
            let listeners = check::listeners(&loaded.settings);
            let file = match &loaded.layers.file {
                Some(file) => file.display().to_string(),
                None => "no file".to_owned(),
            };
            match NodeConfig::of(loaded.settings) {
                Ok(config) => {
                    let what = format!("valid ({file}): {}, {}", config.name, config.roles);
                    findings.push(ok("configuration", what));
                    Some((listeners, config))
                }
                Err(failure) => {
                    findings.push(wrong("configuration", failure.error, failure.hint));
                    None
                }
            }
        }
        Err(Problems(problems)) => {
            for problem in problems {
                let place = format!("{}: {}", problem.origin, problem.error);
                findings.push(wrong("configuration", place, problem.hint));
            }
            findings.push(note(
                "configuration",
                "data, disk, ports and cluster were not looked at",
                "make the configuration valid first",
            ));
            None
        }
    }
}

/// The first so many of a list in one text, and how many more there are.
fn some<T: AsRef<str>>(list: &[T]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = list.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match list.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        Some(_) | None => shown.join(", "),
    }
}
