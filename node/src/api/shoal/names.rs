//! What a client calls things: an id, or a name if only one has it.

use http::StatusCode;
use shoal_api::{AgentId, FrameworkId};
use shoal_master::State;

use crate::api::reply::{self, Reply};

/// The agent of that id or name.
///
/// # Errors
/// 404 if there is none, 409 if there are several.
pub fn agent_named(state: &State, text: &str) -> Result<AgentId, Box<Reply>> {
    let agents = || state.offers.agents();
    if let Some((id, _)) = agents().find(|(id, _)| id.to_string() == text) {
        return Ok(id);
    }
    let named = agents().filter(|(_, row)| row.info.name.as_str() == text);
    only("agent", text, named.map(|(id, _)| id).collect())
}

/// The framework of that id or name, or a removed one of that id.
///
/// # Errors
/// 404 if there is none, 409 if there are several.
pub fn framework_named(state: &State, text: &str) -> Result<FrameworkId, Box<Reply>> {
    let offers = &state.offers;
    if let Ok(id) = FrameworkId::new(text) {
        let removed = offers.completed_frameworks().any(|(ended, _)| *ended == id);
        if removed || offers.framework(&id).is_some() {
            return Ok(id);
        }
    }
    let named = offers
        .frameworks()
        .filter(|(_, row)| &*row.info.name == text);
    only("framework", text, named.map(|(id, _)| id.clone()).collect())
}

fn only<T: ToString>(kind: &str, text: &str, mut found: Vec<T>) -> Result<T, Box<Reply>> {
    let text: String = text.chars().take(200).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Box::new(reply::problem(
            StatusCode::NOT_FOUND,
            format!("{kind} '{text}' does not exist"),
            "",
            format!("`shoal {kind}s` lists them"),
        ))),
        several => {
            let ids: Vec<String> = found.iter().map(T::to_string).collect();
            Err(Box::new(reply::problem(
                StatusCode::CONFLICT,
                format!("{several} {kind}s are named '{text}'"),
                ids.join(", "),
                "name the one you mean by its id",
            )))
        }
    }
}
