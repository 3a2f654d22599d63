//! Which call of the operator API is answered how.

use std::sync::Arc;

use http::StatusCode;
use shoal_master::{Answer, Refused, Request};
use shoal_mesos::operator::answers::{self, Part};
use shoal_mesos::operator::{self, Asked};
use shoal_mesos::proto::v1::master::Call;
use shoal_mesos::proto::v1::master::call::Type;
use shoal_mesos::refusal::Refusal;

use super::{message, stream};
use crate::api::listing::{self, Written, aside, with_identity};
use crate::api::moment::Moment;
use crate::api::reply::{self, Reply};
use crate::api::v1::refused;
use crate::api::{Api, snapshot};
use crate::drive::mailbox::Mailbox;

/// Answers one call that makes sense by itself.
pub async fn answer(api: &Arc<Api>, master: &Mailbox, asked: Asked<Call>) -> Reply {
    let Asked { codec, call } = asked;
    let of_ledger = match call.r#type() {
        Type::GetHealth => return message(codec, &answers::health()),
        Type::GetFlags => return message(codec, &answers::flags(&api.facts.master_flags)),
        Type::GetLoggingLevel => return message(codec, &answers::logging_level()),
        Type::GetOperations => return message(codec, &answers::operations()),
        Type::GetWeights => return message(codec, &answers::weights()),
        Type::GetQuota => return message(codec, &answers::no_quota()),
        Type::GetMaintenanceStatus => return message(codec, &answers::no_maintenance()),
        Type::GetMaintenanceSchedule => return message(codec, &answers::no_schedule()),
        // Nothing of a master is shown as a file.
        Type::ListFiles | Type::ReadFile => return reply::empty_text(StatusCode::NOT_FOUND),
        Type::GetVersion | Type::GetMetrics | Type::GetRoles | Type::GetMaster => None,
        Type::GetState => Some(Part::State),
        Type::GetAgents => Some(Part::Agents),
        Type::GetFrameworks => Some(Part::Frameworks),
        Type::GetExecutors => Some(Part::Executors),
        Type::GetTasks => Some(Part::Tasks),
        Type::Subscribe => return stream::subscribe(api, master, codec).await,
        Type::ReserveResources
        | Type::UnreserveResources
        | Type::CreateVolumes
        | Type::DestroyVolumes
        | Type::GrowVolume
        | Type::ShrinkVolume => return operate(master, call).await,
        Type::Unknown
        | Type::SetLoggingLevel
        | Type::UpdateWeights
        | Type::UpdateMaintenanceSchedule
        | Type::StartMaintenance
        | Type::StopMaintenance
        | Type::DrainAgent
        | Type::DeactivateAgent
        | Type::ReactivateAgent
        | Type::UpdateQuota
        | Type::SetQuota
        | Type::RemoveQuota
        | Type::Teardown
        | Type::MarkAgentGone => return not_served(call.r#type()),
    };
    let view = match listing::view(master).await {
        Ok(view) => view,
        Err(refusal) => return *refusal,
    };
    if let Some(part) = of_ledger {
        let write = move || answers::part(part, &Moment::new(&view.state), codec);
        return match aside(api, write).await {
            Ok(Written { pieces, held }) => {
                reply::pieces(StatusCode::OK, codec.media_type(), pieces, Some(held))
            }
            Err(refusal) => *refusal,
        };
    }
    let response = match call.r#type() {
        Type::GetVersion => with_identity(api, &view, answers::version),
        Type::GetMaster => with_identity(api, &view, answers::master),
        Type::GetMetrics => answers::metrics(&snapshot::of_master(api, &view)),
        _ => answers::roles(&Moment::of_rows(&view.state)),
    };
    message(codec, &response)
}

/// Changes what an agent's resources are reserved for.
async fn operate(master: &Mailbox, call: Call) -> Reply {
    let bad = |why: String| reply::text(StatusCode::BAD_REQUEST, why);
    let (agent, change) = match operator::change(call) {
        Ok(asked) => asked,
        Err(why) => return bad(why),
    };
    let Ok(agent) = agent.parse() else {
        return bad(NO_AGENT.to_owned());
    };
    let request = Request::OperateAgent {
        agent,
        change,
        principal: None,
    };
    match master.ask(request).await {
        Answer::Done => reply::empty(StatusCode::ACCEPTED),
        Answer::Refused(Refused::Offers(refusal)) => match refusal {
            shoal_offers::Refusal::UnknownAgent(_) => bad(NO_AGENT.to_owned()),
            shoal_offers::Refusal::Conflict(why) => {
                reply::text(StatusCode::CONFLICT, why.to_string())
            }
            other => bad(other.to_string()),
        },
        Answer::Refused(refused) => {
            reply::text(StatusCode::SERVICE_UNAVAILABLE, refused.to_string())
        }
        Answer::State(_) | Answer::RunCreated(_) | Answer::File(_) => {
            unreachable!("a change has no such answer")
        }
    }
}

/// Source: Mesos.
const NO_AGENT: &str = "No agent found with specified ID";

fn not_served(kind: Type) -> Reply {
    refused(&Refusal::NotImplemented(format!(
        "Call '{}' is not supported: this master serves the calls that read, reservations and volumes",
        kind.as_str_name()
    )))
}
