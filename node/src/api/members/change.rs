//! What changes the list of members, or tells them something.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use shoal_api::member::{Member, MemberStatus};
use shoal_membership::{EventBody, EventName};

use super::{Call, Outcome, bad, ended, payload};
use crate::api::reply::{self, Reply};
use crate::cli::flags::parse_host_port;
use crate::gossip::{Removal, TagChange};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remove {
    member: String,
    #[serde(default)]
    prune: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tags {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    delete: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Event {
    name: String,
    payload: Option<String>,
    payload_base64: Option<String>,
    #[serde(default)]
    coalesce: bool,
}

impl Call<'_> {
    /// Joins through any of the addresses, now and from time to time until it works.
    pub async fn join(&self) -> Outcome {
        let Join { addresses } = self.json()?;
        if addresses.is_empty() {
            return Err(bad("there is no address to join through", ""));
        }
        let limit = shoal_membership::limits::SEEDS;
        if addresses.len() > limit {
            let error = format!("{} addresses, at most {limit} are used", addresses.len());
            return Err(bad(error, ""));
        }
        let seeds: Result<Vec<_>, _> = addresses.iter().map(|a| parse_host_port(a)).collect();
        let seeds = seeds.map_err(|error| bad(error, ""))?;
        let joined = self.gossip.join(seeds).await;
        joined.map_err(|error| ended(&error))?;
        Ok(reply::json(StatusCode::ACCEPTED, &json!({})))
    }

    /// The node leaves in good order, and its process ends.
    pub fn leave(&self) -> Outcome {
        match self.api.leave.get() {
            Some(leave) => leave.stop(),
            None => return Err(ended(&crate::gossip::Ended)),
        }
        Ok(reply::json(StatusCode::ACCEPTED, &json!({})))
    }

    /// Takes a member that failed off the list.
    pub async fn remove(&self) -> Outcome {
        let Remove { member, prune } = self.json()?;
        let found = find(&self.gossip.members(), &member)?;
        let removable = match (found.status, prune) {
            (MemberStatus::Failed, _) | (MemberStatus::Left, true) => true,
            (MemberStatus::Left, false) => {
                return Ok(reply::json(StatusCode::OK, &super::row(&found)));
            }
            (MemberStatus::Alive | MemberStatus::Suspect | MemberStatus::Leaving, _) => false,
        };
        if !removable {
            return Err(Box::new(reply::problem(
                StatusCode::CONFLICT,
                format!(
                    "member {member} is {}, and only one that failed is removed",
                    found.status
                ),
                "",
                "a node that lives leaves by itself: `shoal leave --addr` with its API",
            )));
        }
        let how = match prune {
            true => Removal::Prune,
            false => Removal::Leave,
        };
        let removed = self.gossip.remove(found.id, how).await;
        removed.map_err(|error| ended(&error))?;
        Ok(reply::json(StatusCode::OK, &super::row(&found)))
    }

    /// Changes the tags that an operator gave this node.
    pub async fn tags(&self) -> Outcome {
        let Tags { set, delete } = self.json()?;
        let change = TagChange {
            set: (set.into_iter())
                .map(|(key, value)| (Arc::from(key), Arc::from(value)))
                .collect(),
            delete: delete.into_iter().map(Arc::from).collect(),
        };
        let changed = self.gossip.change_tags(change).await;
        match changed.map_err(|error| ended(&error))? {
            Ok(()) => self.own().await,
            Err(error) => Err(bad(error.to_string(), "")),
        }
    }

    /// Tells everyone an event.
    pub async fn event(&self) -> Outcome {
        let event: Event = self.json()?;
        let name = event_name(&event.name)?;
        let payload = payload(event.payload, event.payload_base64)?;
        let body = EventBody::new(name, payload, event.coalesce)
            .map_err(|error| bad(format!("the event is refused: {error}"), ""))?;
        let told = self.gossip.tell(body).await;
        told.map_err(|error| ended(&error))?;
        Ok(reply::json(StatusCode::ACCEPTED, &json!({})))
    }
}

/// A name that people may use.
pub(super) fn event_name(text: &str) -> Result<EventName, Box<Reply>> {
    let name = EventName::new(text).map_err(|error| bad(error.to_string(), ""))?;
    if name.is_internal() {
        let prefix = shoal_membership::limits::INTERNAL_PREFIX;
        let error = format!("names that begin with {prefix} are for nodes among themselves");
        return Err(bad(error, ""));
    }
    Ok(name)
}

pub(super) fn find(members: &[Member], wanted: &str) -> Result<Member, Box<Reply>> {
    let named = |member: &&Member| {
        (member.name.as_ref()).is_some_and(|name| name.as_str() == wanted)
            || member.id.to_string() == wanted
    };
    let mut found: Vec<&Member> = members.iter().filter(named).collect();
    // A name may have been taken over by a living node.
    found.sort_by_key(|member| member.status != MemberStatus::Failed);
    match found.as_slice() {
        [] => Err(Box::new(reply::problem(
            StatusCode::NOT_FOUND,
            format!(
                "member {} does not exist",
                wanted.chars().take(200).collect::<String>()
            ),
            "",
            "`shoal members` lists members",
        ))),
        [one, ..] => Ok((*one).clone()),
    }
}
