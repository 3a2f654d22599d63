//! The keyrings of the cluster: listed and changed through any node.

use std::sync::Arc;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use shoal_membership::KeyId;

use super::reply::{self, Reply};
use super::route::{KeyringRoute, query};
use super::shoal::page;
use super::{Api, body};
use crate::keyring::cluster::{Answers, AskError, ask};
use crate::keyring::{Change, ChangeError, Keys, text};

/// What a change names. Without `Debug`, as it may hold a key.
#[derive(Deserialize)]
struct Named {
    /// A key in base64, to install.
    key: Option<String>,
    /// The id of a key, to use or remove.
    id: Option<String>,
}

/// Answers a request to the keyring.
pub async fn answer(api: &Api, route: KeyringRoute, request: Request<Incoming>) -> Reply {
    let Some(keys) = api.keys.get() else {
        return reply::problem(StatusCode::SERVICE_UNAVAILABLE, "this node starts", "", "");
    };
    match route {
        KeyringRoute::List if request.method() == Method::GET => {
            match query(request.uri().query(), "local").as_deref() {
                Some("true") => reply::json(StatusCode::OK, &own(keys)),
                Some(_) | None => listed(ask(keys, None).await),
            }
        }
        KeyringRoute::List => reply::method_not_allowed("GET"),
        KeyringRoute::Install | KeyringRoute::Use | KeyringRoute::Remove => {
            if request.method() != Method::POST {
                return reply::method_not_allowed("POST");
            }
            let change = match change(api, route, request).await {
                Ok(change) => change,
                Err(refused) => return *refused,
            };
            make(keys, &change).await
        }
    }
}

/// What this node alone has.
fn own(keys: &Keys) -> Value {
    let secrecy = keys.secrecy();
    let rows: Vec<Value> = (keys.ids().iter().enumerate())
        .map(|(at, id)| json!({ "id": id, "primary": at == 0 }))
        .collect();
    json!({ "encryption": text::policy(secrecy.policy()), "keys": rows })
}

async fn change(
    api: &Api,
    route: KeyringRoute,
    request: Request<Incoming>,
) -> Result<Change, Box<Reply>> {
    let (parts, incoming) = request.into_parts();
    let bytes = body::read(&parts.headers, incoming).await;
    let bytes = bytes
        .map_err(|error| Box::new(reply::problem(error.status(), error.to_string(), "", "")))?;
    page::refuse_foreign(api.policy, &parts.headers, !bytes.is_empty())?;
    // What serde_json says may repeat what it read.
    let named: Named = serde_json::from_slice(&bytes)
        .map_err(|_| bad("the body is no JSON object with \"key\" or \"id\"".to_owned()))?;
    let id = |named: &Named| -> Result<KeyId, Box<Reply>> {
        let id = named.id.as_deref().unwrap_or_default();
        text::parse_id(id).map_err(bad)
    };
    match route {
        KeyringRoute::Install => {
            let key = named.key.as_deref().unwrap_or_default();
            text::parse(key).map(Change::Install).map_err(bad)
        }
        KeyringRoute::Use => id(&named).map(Change::Use),
        KeyringRoute::Remove | KeyringRoute::List => id(&named).map(Change::Remove),
    }
}

fn bad(error: String) -> Box<Reply> {
    Box::new(reply::problem(StatusCode::BAD_REQUEST, error, "", ""))
}

/// Makes a change everywhere, once nobody would be lost by it.
async fn make(keys: &Arc<Keys>, change: &Change) -> Reply {
    if matches!(change, Change::Use(_) | Change::Remove(_)) {
        match ask(keys, None).await {
            Ok(answers) => {
                if let Some(refusal) = refusal(&answers, change) {
                    return refusal;
                }
            }
            Err(error) => return unasked(error),
        }
    }
    match keys.check(change) {
        Ok(()) => listed(ask(keys, Some(change)).await),
        Err(error) => refused(&error),
    }
}

/// Why a change would lose members: some seal with what others cannot open.
fn refusal(answers: &Answers, change: &Change) -> Option<Reply> {
    let silent: Vec<String> = answers.silent().map(name).collect();
    let told = |wanted: &dyn Fn(&[String]) -> bool| -> Vec<String> {
        let members = answers.members.iter().filter(|member| {
            let told = answers.told.get(&member.id);
            told.is_some_and(|told| wanted(&told.keys))
        });
        members.map(name).collect()
    };
    let (error, who, hint) = match change {
        Change::Install(_) => return None,
        Change::Use(id) => {
            let id = id.to_string();
            let without = told(&|keys| !keys.contains(&id));
            let error = format!("key {id} is not installed on every member");
            (error, without, "`shoal keyring install` it first")
        }
        Change::Remove(id) => {
            let id = id.to_string();
            let sealing = told(&|keys| keys.first() == Some(&id));
            let error = format!("key {id} is the primary key of members");
            (error, sealing, "`shoal keyring use` another one first")
        }
    };
    if !who.is_empty() {
        let detail = who.join(", ");
        return Some(reply::problem(StatusCode::CONFLICT, error, detail, hint));
    }
    (!silent.is_empty()).then(|| {
        reply::problem(
            StatusCode::CONFLICT,
            "not every living member says which keys it has, and none shall be lost",
            format!("silent: {}", silent.join(", ")),
            "nothing was changed: ask again once they answer or have failed",
        )
    })
}

fn name(member: &shoal_api::member::Member) -> String {
    match &member.name {
        Some(name) => name.to_string(),
        None => member.id.to_string(),
    }
}

fn listed(answers: Result<Answers, AskError>) -> Reply {
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => return unasked(error),
    };
    let keys: Vec<Value> = (answers.keys().into_iter())
        .map(|(id, (members, primary))| json!({ "id": id, "members": members, "primary": primary }))
        .collect();
    let failed: Vec<Value> = (answers.failed())
        .map(|(member, error)| json!({ "id": member.id.to_string(), "name": name(member), "error": error }))
        .collect();
    let silent: Vec<Value> = (answers.silent())
        .map(|member| json!({ "id": member.id.to_string(), "name": name(member) }))
        .collect();
    let document = json!({
        "members": answers.members.len(),
        "answered": answers.members.len() - silent.len(),
        "complete": answers.is_complete(),
        "failed": failed,
        "silent": silent,
        "keys": keys,
    });
    reply::json(StatusCode::OK, &document)
}

fn unasked(error: AskError) -> Reply {
    let (status, hint) = match error {
        AskError::Ended => (StatusCode::SERVICE_UNAVAILABLE, "ask another node"),
        AskError::NotSealed(_) => (
            StatusCode::CONFLICT,
            "give nodes keys by gossip_key_file; through the gossip once gossip_encryption is required \
             everywhere",
        ),
    };
    reply::problem(status, error.to_string(), "", hint)
}

fn refused(error: &ChangeError) -> Reply {
    reply::problem(
        StatusCode::CONFLICT,
        error.to_string(),
        "",
        "`shoal keyring list` shows which keys there are",
    )
}
