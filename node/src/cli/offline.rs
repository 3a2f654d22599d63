//! The ledger of a node that does not run, and whether the masters that it names still live.

use std::path::Path;

use serde_json::Value;
use shoal_api::{ClusterId, Timestamp};
use shoal_disk::{DataDirectory, recover};
use shoal_master::State;
use shoal_master::life::{self, Replayed};
use shoal_quorum::Recovered;

use super::client::Client;
use super::exit::{Exit, Failure};

/// A stopped master's data directory, held so that the node cannot start meanwhile.
#[derive(Debug)]
pub struct AtRest {
    /// The directory.
    pub directory: DataDirectory,
    /// Its log.
    pub recovered: Recovered,
    /// What the log amounts to.
    pub replayed: Replayed,
}

impl AtRest {
    /// Reads it.
    ///
    /// # Errors
    /// The node runs, the directory is no master's, or it is damaged or newer.
    pub fn read(folder: &Path) -> Result<AtRest, Failure> {
        let directory = DataDirectory::hold(folder).map_err(|error| failed(&error))?;
        let recovered = recover(&directory.master()).map_err(|error| failed(&error))?;
        let nothing = || {
            let error = format!(
                "{} holds no ledger: this node was never a master that had one",
                folder.display()
            );
            Failure::new(
                Exit::Failed,
                error,
                "choose the data directory of another master",
            )
        };
        let recovered = recovered.ok_or_else(nothing)?;
        let id = directory.identity().raft;
        let replayed = life::replay(&recovered, id).map_err(|error| failed(&error))?;
        if replayed.state.charter.identity().is_none() {
            return Err(nothing());
        }
        Ok(AtRest {
            directory,
            recovered,
            replayed,
        })
    }
}

/// How many agents, frameworks and tasks a ledger holds, for people.
pub fn contents(state: &State) -> String {
    let agents = state.offers.agents().count();
    let frameworks = state.offers.frameworks().count();
    let tasks = state.offers.tasks().filter(|task| task.row.holds()).count();
    format!("{agents} agents, {frameworks} frameworks, {tasks} tasks that have not ended")
}

/// How a master of the ledger answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It knows a leader: the cluster lives.
    Led,
    /// It runs, and knows no leader.
    Leaderless,
    /// Nothing of this cluster answers there.
    Silent,
}

/// Asks a master whether the cluster lives.
fn life_of(cluster: ClusterId, http: &str) -> Life {
    let answer = Client::new(http).and_then(|client| client.get("/shoal/v1/quorum?stale=ok"));
    let Ok(document) = answer else {
        return Life::Silent;
    };
    let theirs = document.get("cluster").and_then(Value::as_str);
    if theirs != Some(&cluster.to_string()) {
        return Life::Silent;
    }
    match document.get("leader") {
        Some(Value::String(_)) => Life::Led,
        Some(_) | None => Life::Leaderless,
    }
}

/// A master by name, where its API is, and how it answered.
pub type Asked = (String, String, Life);

/// Asks masters, given by name and address, and refuses if the cluster lives.
///
/// # Errors
/// One of them knows a leader.
pub fn refuse_living(
    cluster: ClusterId,
    masters: Vec<(String, String)>,
) -> Result<Vec<Asked>, Failure> {
    let mut asked = Vec::new();
    for (name, http) in masters {
        match life_of(cluster, &http) {
            Life::Led => {
                return Err(Failure::new(
                    Exit::Failed,
                    format!("cluster {cluster} lives: master {name} at {http} has a leader"),
                    "nothing was changed; stop those masters first if they must not go on",
                ));
            }
            life @ (Life::Leaderless | Life::Silent) => asked.push((name, http, life)),
        }
    }
    Ok(asked)
}

/// How long ago a time was, for people.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_nanos().saturating_sub(then.as_nanos()) / 1_000_000_000;
    match seconds {
        i64::MIN..0 => "in the future, by this machine's calendar".to_owned(),
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        172_800.. => format!("{} days ago", seconds / 86_400),
    }
}

/// A failure that says itself what to do.
pub fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error.to_string(), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_by_people() {
        let at = |seconds: i64| Timestamp::from_nanos(seconds * 1_000_000_000);
        assert_eq!(ago(at(10), at(69)), "59 s ago");
        assert_eq!(ago(at(0), at(600)), "10 min ago");
        assert_eq!(ago(at(0), at(86_400)), "24 h ago");
        assert_eq!(ago(at(0), at(864_000)), "10 days ago");
        assert!(ago(at(10), at(0)).contains("future"));
    }
}
