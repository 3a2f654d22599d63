//! The list of members, narrowed; and this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use shoal_api::member::{Member, MemberStatus};
use shoal_membership::Filter;

use super::change::find;
use super::{Call, Outcome, bad, ended};
use crate::api::Api;
use crate::api::reply::{self, Reply};
use crate::api::route::{queries, query};
use crate::tags;

/// All of them, in the order in which a member goes through them.
pub const STATUSES: [MemberStatus; 5] = [
    MemberStatus::Alive,
    MemberStatus::Suspect,
    MemberStatus::Leaving,
    MemberStatus::Left,
    MemberStatus::Failed,
];

/// The members of the gossip, as this node sees them, and this node's clock in seconds since 1970.
pub fn list(api: &Api, wanted: Option<&str>) -> Outcome {
    let status = query(wanted, "status").map(|text| status_of(&text));
    let status = status.transpose()?;
    let filter = filter(wanted)?;
    let role = query(wanted, "role");
    let role = role.as_deref();
    if let Some(role) = role
        && !matches!(role, "master" | "agent" | "member")
    {
        let hint = "one of master, agent, member";
        return Err(unknown(format!("'{role}' is no role of a node"), hint));
    }
    let members = api.board.members();
    let rows: Vec<Value> = members
        .iter()
        .filter(|member| status.is_none_or(|status| member.status == status))
        .filter(|member| role.is_none_or(|role| has_role(member, role)))
        .filter(|member| filter.matches(member))
        .map(row)
        .collect();
    let time = crate::clock::calendar().as_seconds();
    let document = json!({ "members": rows, "time": time });
    Ok(reply::json(StatusCode::OK, &document))
}

fn status_of(text: &str) -> Result<MemberStatus, Box<Reply>> {
    let known = STATUSES.iter().find(|known| known.as_str() == text);
    known.copied().ok_or_else(|| {
        let known: Vec<&str> = STATUSES.iter().map(|known| known.as_str()).collect();
        let hint = format!("one of {}", known.join(", "));
        unknown(format!("'{text}' is no status of a member"), &hint)
    })
}

fn has_role(member: &Member, role: &str) -> bool {
    let roles = tags::roles(member);
    match role {
        "master" => roles.master,
        "agent" => roles.agent,
        // The tags of one that was just heard of are not known.
        _ => !roles.master && !roles.agent && member.name.is_some(),
    }
}

fn filter(wanted: Option<&str>) -> Result<Filter, Box<Reply>> {
    let mut conditions = Vec::new();
    for tag in queries(wanted, "tag") {
        let Some((key, expression)) = tag.split_once('=') else {
            return Err(bad(
                format!("'{tag}' is no condition, expected KEY=VALUE"),
                "",
            ));
        };
        conditions.push((Arc::from(key), Arc::from(expression)));
    }
    let mut names = Vec::new();
    for name in queries(wanted, "name") {
        let read = shoal_api::Name::new(&name);
        names.push(read.map_err(|error| bad(error.to_string(), ""))?);
    }
    Filter::new(names, &conditions).map_err(|error| bad(error.to_string(), ""))
}

fn unknown(error: String, hint: &str) -> Box<Reply> {
    let error: String = error.chars().take(200).collect();
    Box::new(reply::problem(StatusCode::BAD_REQUEST, error, "", hint))
}

/// One member.
pub fn row(member: &Member) -> Value {
    let tags: serde_json::Map<String, Value> = member
        .tags
        .iter()
        .map(|(name, value)| ((**name).to_owned(), Value::from(&**value)))
        .collect();
    json!({
        "name": member.name.as_ref().map(|name| name.as_str()),
        "id": member.id.to_string(),
        "addr": member.gossip.to_string(),
        "status": member.status.as_str(),
        "tags": tags,
        "generation": member.generation.0,
    })
}

impl Call<'_> {
    /// The round trip between two members, as their coordinates tell.
    pub async fn distance(&self) -> Outcome {
        let members = self.gossip.members();
        let mut ends = Vec::new();
        for key in ["from", "to"] {
            let end = match query(self.query, key) {
                Some(name) => find(&members, &name)?,
                None => {
                    self.gossip
                        .picture()
                        .await
                        .map_err(|error| ended(&error))?
                        .me
                }
            };
            ends.push(end);
        }
        let (from, to) = (&ends[0], &ends[1]);
        let trip = self.gossip.rtt(from.id, to.id).await;
        let Some(trip) = trip.map_err(|error| ended(&error))? else {
            return Err(Box::new(reply::problem(
                StatusCode::CONFLICT,
                "where one of the two is in the network is not known",
                "",
                "coordinates are learned by probes: ask again in some seconds",
            )));
        };
        let name = |member: &Member| member.name.as_ref().map(|name| name.as_str().to_owned());
        let document = json!({
            "from": name(from),
            "to": name(to),
            "rtt_seconds": trip.as_secs_f64(),
        });
        Ok(reply::json(StatusCode::OK, &document))
    }

    /// This node, and how its gossip is.
    pub async fn own(&self) -> Outcome {
        let picture = self.gossip.picture().await.map_err(|error| ended(&error))?;
        let mut counts = BTreeMap::new();
        for member in self.gossip.members().iter() {
            *counts.entry(member.status.as_str()).or_insert(0_u64) += 1;
        }
        let mut document = row(&picture.me);
        document["version"] = env!("CARGO_PKG_VERSION").into();
        document["members"] = json!(counts);
        document["joined"] = picture.joined.into();
        document["name_taken_by"] = picture.name_holder.map(|id| id.to_string()).into();
        document["event_time"] = picture.clocks.event.0.into();
        document["query_time"] = picture.clocks.query.0.into();
        document["queued"] = json!({
            "news": picture.queued.0,
            "broadcasts": picture.queued.1,
        });
        document["queries"] = json!({
            "asked": picture.queries.0,
            "open": picture.queries.1,
        });
        Ok(reply::json(StatusCode::OK, &document))
    }
}
