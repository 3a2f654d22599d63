//! The reading calls of an agent's operator API.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use shoal_mesos::agent::{Part, answers, containers, part};
use shoal_mesos::codec::Codec;
use shoal_mesos::listing::Build;
use shoal_mesos::operator::{self, Asked};
use shoal_mesos::proto::v1;
use shoal_mesos::proto::v1::agent::Call;
use shoal_mesos::proto::v1::agent::call::Type;
use shoal_mesos::refusal::Refusal;

use super::{files, metrics, stopping, with_state};
use crate::api::listing::{Written, aside};
use crate::api::operator::message;
use crate::api::reply::{self, Reply};
use crate::api::v1::{Heading, refused};
use crate::api::{Api, body};
use crate::executor::{self, Window};

/// Answers one call.
pub async fn answer(api: &Arc<Api>, window: &Window, request: Request<Incoming>) -> Reply {
    let (parts, incoming) = request.into_parts();
    let bytes = match body::read(&parts.headers, incoming).await {
        Ok(bytes) => bytes,
        Err(error) => return reply::text(error.status(), error.to_string()),
    };
    match operator::to_agent(&Heading::of(&parts).head(), &bytes) {
        Err(refusal) => refused(&refusal),
        Ok(Asked { codec, call }) => served(api, window, codec, call).await,
    }
}

async fn served(api: &Arc<Api>, window: &Window, codec: Codec, call: Call) -> Reply {
    let of_state = match call.r#type() {
        Type::GetHealth => return message(codec, &answers::health()),
        Type::GetFlags => return message(codec, &answers::flags(&api.facts.agent_flags)),
        Type::GetVersion => return message(codec, &answers::version(&Build::default())),
        Type::GetLoggingLevel => return message(codec, &answers::logging_level()),
        Type::GetOperations => return message(codec, &answers::operations()),
        Type::GetResourceProviders => {
            return message(codec, &answers::resource_providers());
        }
        Type::ListFiles => return list(window, codec, call.list_files.unwrap_or_default()).await,
        Type::ReadFile => return read(window, codec, call.read_file.unwrap_or_default()).await,
        Type::GetContainers => return in_containers(api, window, codec).await,
        Type::GetMetrics | Type::GetAgent => None,
        Type::GetState => Some(Part::State),
        Type::GetTasks => Some(Part::Tasks),
        Type::GetExecutors => Some(Part::Executors),
        Type::GetFrameworks => Some(Part::Frameworks),
        Type::Unknown
        | Type::SetLoggingLevel
        | Type::LaunchNestedContainer
        | Type::WaitNestedContainer
        | Type::KillNestedContainer
        | Type::RemoveNestedContainer
        | Type::LaunchNestedContainerSession
        | Type::AttachContainerInput
        | Type::AttachContainerOutput
        | Type::LaunchContainer
        | Type::WaitContainer
        | Type::KillContainer
        | Type::RemoveContainer
        | Type::AddResourceProviderConfig
        | Type::UpdateResourceProviderConfig
        | Type::RemoveResourceProviderConfig
        | Type::MarkResourceProviderGone
        | Type::PruneImages => return not_served(call.r#type()),
    };
    let Some(view) = window.view().await else {
        return stopping();
    };
    let Some(of_state) = of_state else {
        let response = match call.r#type() {
            Type::GetMetrics => answers::metrics(&metrics(api, window, &view)),
            _ => with_state(api, window, &view, &BTreeMap::new(), answers::agent),
        };
        return message(codec, &response);
    };
    let (for_writer, window) = (Arc::clone(api), window.clone());
    let write = move || {
        with_state(&for_writer, &window, &view, &BTreeMap::new(), |state| {
            part(of_state, state, codec)
        })
    };
    match aside(api, write).await {
        Ok(Written { pieces, held }) => {
            reply::pieces(StatusCode::OK, codec.media_type(), pieces, Some(held))
        }
        Err(refusal) => *refusal,
    }
}

async fn in_containers(api: &Arc<Api>, window: &Window, codec: Codec) -> Reply {
    let Some(seen) = window.look().await else {
        return stopping();
    };
    let (for_writer, window) = (Arc::clone(api), window.clone());
    let write = move || {
        let usage = executor::measure(&seen.pids);
        with_state(&for_writer, &window, &seen.view, &usage, |state| {
            containers(state, codec)
        })
    };
    match aside(api, write).await {
        Ok(Written { pieces, held }) => {
            reply::pieces(StatusCode::OK, codec.media_type(), pieces, Some(held))
        }
        Err(refusal) => *refusal,
    }
}

async fn list(window: &Window, codec: Codec, asked: v1::agent::call::ListFiles) -> Reply {
    match files::listed(window, asked.path().to_owned()).await {
        Ok(found) => {
            let files = found.into_iter().map(|file| file.message()).collect();
            message(codec, &answers::files(files))
        }
        Err(fault) => files::failed(&fault),
    }
}

async fn read(window: &Window, codec: Codec, asked: v1::agent::call::ReadFile) -> Reply {
    let path = asked.path().to_owned();
    match files::piece(window, path, asked.offset, asked.length).await {
        Ok(piece) => message(codec, &answers::read(piece.size, piece.bytes)),
        Err(fault) => files::failed(&fault),
    }
}

fn not_served(kind: Type) -> Reply {
    refused(&Refusal::NotImplemented(format!(
        "Call '{}' is not supported: this agent serves the calls that read, and tasks are its only containers",
        kind.as_str_name()
    )))
}
