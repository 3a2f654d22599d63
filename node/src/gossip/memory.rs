//! What a node remembers of the gossip between its lives: whom it knew, how far it had heard, and
//! whether it left for good.
//!
//! A file in the data directory, replaced as a whole. Losing it costs nothing but the way back: a
//! node then needs an address to join through again.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shoal_api::HostPort;
use shoal_api::member::MemberStatus;
use shoal_membership::{Clocks, LamportTime};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};

use super::{Gossip, limits};
use crate::tags;

/// The file's name in the data directory.
const FILE: &str = "gossip.json";

/// What stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The node left for good, by an operator's word.
    #[serde(default)]
    pub left: bool,
    #[serde(default)]
    event_time: u64,
    #[serde(default)]
    query_time: u64,
    /// Gossip addresses of members that lived, masters first; at most [`limits::REMEMBERED`].
    #[serde(default)]
    members: Vec<String>,
}

impl Memory {
    /// What a data directory remembers; nothing if it has no such file, or one that is damaged.
    pub fn load(folder: &Path) -> Memory {
        let file = folder.join(FILE);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Memory::default(),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "cannot read what was known of the gossip");
                return Memory::default();
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), %error, "what was known of the gossip is damaged, and forgotten");
            Memory::default()
        })
    }

    /// How far it had heard.
    pub fn clocks(&self) -> Clocks {
        Clocks {
            event: LamportTime(self.event_time),
            query: LamportTime(self.query_time),
        }
    }

    /// Whom to join through.
    pub fn addresses(&self) -> Vec<HostPort> {
        let all = self.members.iter().take(limits::REMEMBERED);
        all.filter_map(|text| text.parse::<std::net::SocketAddr>().ok())
            .map(|address| HostPort::new(&address.ip().to_string(), address.port()))
            .collect()
    }

    /// What a running gossip knows.
    async fn of(gossip: &Gossip) -> Option<Memory> {
        let picture = gossip.picture().await.ok()?;
        let members = gossip.members();
        let mut alive: Vec<_> = members
            .iter()
            .filter(|member| member.id != picture.me.id && member.status == MemberStatus::Alive)
            .collect();
        alive.sort_by_key(|member| !tags::roles(member).master);
        Some(Memory {
            left: false,
            event_time: picture.clocks.event.0,
            query_time: picture.clocks.query.0,
            members: (alive.iter().take(limits::REMEMBERED))
                .map(|member| member.gossip.to_string())
                .collect(),
        })
    }

    /// Replaces the file.
    fn store(&self, folder: &Path) -> io::Result<()> {
        let new = folder.join(format!("{FILE}.new"));
        let text = serde_json::to_string_pretty(self).expect("it is plain data");
        std::fs::write(&new, text + "\n")?;
        std::fs::rename(new, folder.join(FILE))
    }
}

/// Keeps the file as new as what happens, but for a moment. Who is alone forgets nobody.
pub async fn keep(gossip: Gossip, folder: PathBuf, first: Memory) {
    let mut happenings = gossip.happenings();
    let mut stored = Memory {
        left: false,
        ..first
    };
    loop {
        let Some(mut memory) = Memory::of(&gossip).await else {
            return;
        };
        if memory.members.is_empty() {
            memory.members = stored.members.clone();
        }
        if memory != stored {
            write(memory.clone(), folder.clone()).await;
            stored = memory;
        }
        sleep(limits::REMEMBER).await;
        // The clocks also rise by what is not told to anybody here.
        let next = timeout(limits::REMEMBER_AGAIN, happenings.recv()).await;
        if matches!(next, Ok(Err(RecvError::Closed))) {
            return;
        }
    }
}

/// Notes that the node left for good, so that it does not come back by itself.
pub async fn leave(folder: PathBuf) {
    let mut memory = Memory::load(&folder);
    memory.left = true;
    write(memory, folder).await;
}

async fn write(memory: Memory, folder: PathBuf) {
    let written = tokio::task::spawn_blocking(move || memory.store(&folder)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "cannot keep what is known of the gossip");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_remembered_and_damage_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Memory::load(folder.path()), Memory::default());
        let memory = Memory {
            left: true,
            event_time: 7,
            query_time: 9,
            members: vec![
                "10.0.0.1:7946".to_owned(),
                "[::1]:5".to_owned(),
                "x".to_owned(),
            ],
        };
        memory.store(folder.path()).expect("it is stored");
        let loaded = Memory::load(folder.path());
        assert_eq!(loaded, memory);
        assert_eq!(loaded.clocks().event, LamportTime(7));
        assert_eq!(loaded.addresses().len(), 2);
        std::fs::write(folder.path().join(FILE), "{\"left\": tr").expect("it is written");
        assert_eq!(Memory::load(folder.path()), Memory::default());
    }
}
