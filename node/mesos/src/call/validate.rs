//! What a call must contain, whoever sends it.
//!
//! The order of the checks and their texts are those of Mesos; required fields were checked when the
//! body was read.

use shoal_api::Principal;

use crate::proto::v1::scheduler as wire;
use crate::proto::v1::scheduler::call::Type;
use crate::refusal::Refusal;

/// Bytes of the id of a status update.
const UUID_BYTES: usize = 16;

/// Checks a call by itself.
///
/// # Errors
/// [`Refusal::Invalid`] with the first thing that is wrong.
pub fn call(call: &wire::Call, principal: Option<&Principal>) -> Result<(), Refusal> {
    let Some(kind) = call.r#type.and_then(|number| Type::try_from(number).ok()) else {
        return Err(absent("type"));
    };
    if kind == Type::Subscribe {
        return subscribe(call, principal);
    }
    if call.framework_id.is_none() {
        return Err(absent("framework_id"));
    }
    let (name, present) = payload(call, kind);
    if !present {
        return Err(absent(name));
    }
    let operation = call.acknowledge_operation_status.as_ref();
    if kind == Type::AcknowledgeOperationStatus && operation.is_some_and(|a| a.agent_id.is_none()) {
        return Err(absent("acknowledge_operation_status.agent_id"));
    }
    let uuid = if kind == Type::Acknowledge {
        call.acknowledge.as_ref().and_then(|a| a.uuid.as_deref())
    } else {
        operation.and_then(|a| a.uuid.as_deref())
    };
    if uuid.is_some_and(|uuid| uuid.len() != UUID_BYTES) {
        return Err(Refusal::Invalid("Not a valid UUID".to_owned()));
    }
    Ok(())
}

fn absent(name: &str) -> Refusal {
    Refusal::Invalid(format!("Expecting '{name}' to be present"))
}

/// The field that a call of this kind needs, and whether it is there.
fn payload(call: &wire::Call, kind: Type) -> (&'static str, bool) {
    match kind {
        Type::Unknown | Type::Teardown | Type::Revive | Type::Suppress => ("type", true),
        Type::Subscribe => ("subscribe", call.subscribe.is_some()),
        Type::Accept => ("accept", call.accept.is_some()),
        Type::Decline => ("decline", call.decline.is_some()),
        Type::AcceptInverseOffers => {
            let present = call.accept_inverse_offers.is_some();
            ("accept_inverse_offers", present)
        }
        Type::DeclineInverseOffers => {
            let present = call.decline_inverse_offers.is_some();
            ("decline_inverse_offers", present)
        }
        Type::Kill => ("kill", call.kill.is_some()),
        Type::Shutdown => ("shutdown", call.shutdown.is_some()),
        Type::Acknowledge => ("acknowledge", call.acknowledge.is_some()),
        Type::AcknowledgeOperationStatus => {
            let present = call.acknowledge_operation_status.is_some();
            ("acknowledge_operation_status", present)
        }
        Type::Reconcile => ("reconcile", call.reconcile.is_some()),
        Type::ReconcileOperations => {
            let present = call.reconcile_operations.is_some();
            ("reconcile_operations", present)
        }
        Type::Message => ("message", call.message.is_some()),
        Type::Request => ("request", call.request.is_some()),
        Type::UpdateFramework => ("update_framework", call.update_framework.is_some()),
    }
}

fn subscribe(call: &wire::Call, principal: Option<&Principal>) -> Result<(), Refusal> {
    let info = call
        .subscribe
        .as_ref()
        .and_then(|s| s.framework_info.as_ref());
    let Some(info) = info else {
        return Err(absent("subscribe"));
    };
    let outer = call.framework_id.as_ref().map_or("", |id| id.value());
    let inner = info.id.as_ref().map_or("", |id| id.value());
    if outer != inner {
        return Err(Refusal::Invalid(
            "'framework_id' differs from 'subscribe.framework_info.id'".to_owned(),
        ));
    }
    if let (Some(authenticated), Some(claimed)) = (principal, &info.principal)
        && authenticated.as_str() != claimed
    {
        return Err(Refusal::Principal {
            authenticated: authenticated.to_string(),
            framework: claimed.clone(),
        });
    }
    Ok(())
}
