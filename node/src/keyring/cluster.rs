//! The keyrings of all members: asked and changed by queries that nodes put to each other.
//!
//! A key travels in the gossip itself, sealed with the keys that are there. So a node asks and answers
//! only while it seals what it sends and takes nothing plain; else a stranger could listen, or ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shoal_api::NodeId;
use shoal_api::member::{Member, MemberStatus};
use shoal_membership::limits::INTERNAL_PREFIX;
use shoal_membership::{AnswerBody, EventName, Policy, Query, QueryOptions, QueryRequest};
use tokio::sync::mpsc;

use super::{Change, Keys, text};
use crate::gossip::{Gossip, Returned};
use crate::limits::KEYRING_ANSWERS;

/// What a node asks others to do; none to list only. Without `Debug`, as it may hold a key.
#[derive(Serialize, Deserialize)]
struct Asked {
    install: Option<String>,
    #[serde(rename = "use")]
    use_id: Option<String>,
    remove: Option<String>,
}

impl Asked {
    fn of(change: Option<&Change>) -> Asked {
        let mut asked = Asked {
            install: None,
            use_id: None,
            remove: None,
        };
        match change {
            Some(Change::Install(key)) => asked.install = Some(text::secret(key)),
            Some(Change::Use(id)) => asked.use_id = Some(id.to_string()),
            Some(Change::Remove(id)) => asked.remove = Some(id.to_string()),
            None => {}
        }
        asked
    }

    fn change(&self) -> Result<Option<Change>, String> {
        let id = text::parse_id;
        let install = self.install.as_deref().map(text::parse).transpose()?;
        Ok(match (install, &self.use_id, &self.remove) {
            (Some(key), None, None) => Some(Change::Install(key)),
            (None, Some(use_id), None) => Some(Change::Use(id(use_id)?)),
            (None, None, Some(remove)) => Some(Change::Remove(id(remove)?)),
            (None, None, None) => None,
            (_, _, _) => return Err("more than one change at once is asked for".to_owned()),
        })
    }
}

/// What a node says of its own keyring.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// Why the change was not made; empty if it was.
    pub error: String,
    /// The ids of its keys, the one that it seals with first.
    pub keys: Vec<String>,
}

/// What all members say.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Living members, this node too.
    pub members: Vec<Member>,
    /// What those that answered said.
    pub told: BTreeMap<NodeId, Told>,
}

/// Why nobody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The gossip is over.
    #[error("this node leaves")]
    Ended,
    /// A stranger could listen or answer.
    #[error("gossip_encryption is {mode} here, so that keys cannot be sent through the gossip", mode = text::policy(*.0))]
    NotSealed(Policy),
}

impl Answers {
    /// Members that did not answer.
    pub fn silent(&self) -> impl Iterator<Item = &Member> {
        let told = &self.told;
        self.members
            .iter()
            .filter(|member| !told.contains_key(&member.id))
    }

    /// Members that did not do what was asked, each with its reason.
    pub fn failed(&self) -> impl Iterator<Item = (&Member, &str)> {
        self.members.iter().filter_map(|member| {
            let told = self.told.get(&member.id)?;
            (!told.error.is_empty()).then_some((member, told.error.as_str()))
        })
    }

    /// Whether every member answered and did what was asked.
    pub fn is_complete(&self) -> bool {
        self.silent().next().is_none() && self.failed().next().is_none()
    }

    /// For each key, how many members have it, and how many seal with it.
    pub fn keys(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut keys = BTreeMap::<&str, (usize, usize)>::new();
        for told in self.told.values() {
            for (at, key) in told.keys.iter().enumerate() {
                let count = keys.entry(key).or_default();
                count.0 += 1;
                count.1 += usize::from(at == 0);
            }
        }
        keys
    }
}

/// Answers what other members ask, until the gossip ends.
pub async fn serve(mut asked: mpsc::Receiver<Query>, keys: Arc<Keys>, gossip: Gossip) {
    while let Some(query) = asked.recv().await {
        if query.name != name() {
            continue;
        }
        let (keys, payload) = (Arc::clone(&keys), query.payload.clone());
        let told = tokio::task::spawn_blocking(move || answer(&keys, &payload));
        let told = told.await.expect("changing a keyring does not panic");
        let body = serde_json::to_vec(&told).expect("it can be written");
        let body = AnswerBody::new(Bytes::from(body)).expect("a keyring is short");
        if gossip.answer(query.key, body).await.is_err() {
            return;
        }
    }
}

fn answer(keys: &Keys, payload: &[u8]) -> Told {
    let result = sealed(keys).map_err(|error| error.to_string());
    let result = result.and_then(|()| {
        // What serde_json says may repeat what it read.
        let asked: Asked = serde_json::from_slice(payload)
            .map_err(|_| "this node does not understand what is asked".to_owned())?;
        match asked.change()? {
            Some(change) => keys
                .change(&change)
                .map(drop)
                .map_err(|why| why.to_string()),
            None => Ok(()),
        }
    });
    Told {
        // Far less than an answer may have, however many keys there are.
        error: result.err().unwrap_or_default().chars().take(300).collect(),
        keys: keys.ids(),
    }
}

fn sealed(keys: &Keys) -> Result<(), AskError> {
    match keys.secrecy().policy() {
        Policy::Required => Ok(()),
        policy @ (Policy::Off | Policy::Incoming | Policy::Outgoing) => {
            Err(AskError::NotSealed(policy))
        }
    }
}

/// Asks all living members to make a change, or none, and waits until all have answered or
/// [`KEYRING_ANSWERS`] are over.
///
/// # Errors
/// [`AskError`].
pub async fn ask(keys: &Keys, change: Option<&Change>) -> Result<Answers, AskError> {
    sealed(keys)?;
    let payload = serde_json::to_vec(&Asked::of(change)).expect("it can be written");
    let options = QueryOptions {
        timeout: Some(KEYRING_ANSWERS),
        ..QueryOptions::default()
    };
    let request = QueryRequest::new(name(), Bytes::from(payload), options);
    let request = request.expect("a key is short");
    let mut replies = keys
        .gossip
        .ask(request)
        .await
        .map_err(|_| AskError::Ended)?;
    let members: Vec<Member> = (keys.gossip.members().iter())
        .filter(|member| lives(member))
        .cloned()
        .collect();
    let mut answers = Answers {
        members,
        told: BTreeMap::new(),
    };
    let all = async {
        while answers.silent().next().is_some() {
            match replies.recv().await {
                Some(Returned::Reply(reply)) => {
                    if let Some(told) = reply
                        .answer
                        .and_then(|body| serde_json::from_slice(&body).ok())
                    {
                        answers.told.insert(reply.node, told);
                    }
                }
                Some(Returned::End(_)) | None => return,
            }
        }
    };
    // Whoever is silent until then stays silent.
    drop(tokio::time::timeout(KEYRING_ANSWERS + Duration::from_secs(1), all).await);
    Ok(answers)
}

fn lives(member: &Member) -> bool {
    match member.status {
        MemberStatus::Alive | MemberStatus::Suspect => true,
        MemberStatus::Leaving | MemberStatus::Left | MemberStatus::Failed => false,
    }
}

fn name() -> EventName {
    EventName::new(&format!("{INTERNAL_PREFIX}keyring")).expect("a short name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_survives_the_road() {
        let key = text::generate();
        let changes = [
            None,
            Some(Change::Use(key.id())),
            Some(Change::Remove(key.id())),
            Some(Change::Install(key)),
        ];
        for change in changes {
            let bytes = serde_json::to_vec(&Asked::of(change.as_ref())).unwrap();
            let asked: Asked = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(asked.change(), Ok(change));
        }
        let two = Asked {
            install: None,
            use_id: Some("00000001".to_owned()),
            remove: Some("00000001".to_owned()),
        };
        assert!(two.change().is_err());
    }

    #[test]
    fn a_full_keyring_with_a_long_error_fits_an_answer() {
        let told = Told {
            error: "\u{10ffff}".repeat(75),
            keys: vec!["0123abcd".to_owned(); shoal_membership::limits::KEYS],
        };
        let bytes = serde_json::to_vec(&told).unwrap();
        assert!(AnswerBody::new(bytes.into()).is_ok());
    }
}
