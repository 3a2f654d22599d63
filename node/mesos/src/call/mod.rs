//! The scheduler API's calls: from the bytes of a request to our words.
//!
//! A call passes three gates, in the order in which Mesos answers: [`receive`] reads and validates
//! what the request itself says; [`Received::admit`] compares it with the framework's standing, which
//! the caller looks up; the ledger decides what the call does. Nothing in here holds state.

mod accept;
pub(crate) mod change;
mod check;
mod command;
mod container;
mod framework;
mod task;
mod validate;

pub use framework::{Details, details};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shoal_api::call::{AgentName, Call, Filters, FrameworkCall, ReconcileTask};
use shoal_api::operation::ReconcileOperation;
use shoal_api::{FrameworkId, FrameworkInfo, Principal, Role, StreamId, UpdateId};

use crate::codec::Codec;
use crate::limits;
use crate::negotiate;
use crate::proto::v1;
use crate::proto::v1::scheduler as wire;
use crate::proto::v1::scheduler::call::Type;
use crate::refusal::Refusal;

/// What of an HTTP request matters, besides its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// `POST`, or what is refused.
    pub method: &'a str,
    /// The header of that name.
    pub content_type: Option<&'a str>,
    /// The header of that name.
    pub accept: Option<&'a str>,
    /// The header `Mesos-Stream-Id`.
    pub stream: Option<&'a str>,
    /// Who the caller proved to be.
    pub principal: Option<&'a Principal>,
}

/// A request that makes sense by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Opens a stream; the answer is 200 whatever follows.
    Subscribe {
        /// The encoding of the events.
        codec: Codec,
        /// Who subscribes; or why not, which the client is told by an ERROR event that ends the
        /// stream.
        framework: Result<FrameworkInfo, Arc<str>>,
    },
    /// Anything else.
    Call(Received),
}

/// A call whose sender has not been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    framework: Arc<str>,
    stream: Option<Arc<str>>,
    ask: Result<Ask, Refusal>,
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq)]
enum Ask {
    /// Something for the ledger.
    Call(Call),
    /// Nothing that has an effect here: it is answered like a call that has.
    Nothing,
}

/// What is known of the framework that a call names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who it belongs to.
    pub principal: Option<Principal>,
    /// Its stream; absent while it is disconnected.
    pub stream: Option<StreamId>,
}

/// A call that may go to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// To be answered once it is committed.
    Call(FrameworkCall),
    /// To be answered with 202 at once.
    Nothing,
}

/// Reads and validates a request.
///
/// # Errors
/// The first gate that it does not pass, in Mesos' order: method, type of the body, body, call,
/// type of the answer, stream.
pub fn receive(head: &Head<'_>, body: &[u8]) -> Result<Request, Refusal> {
    if head.method != "POST" {
        return Err(Refusal::Method {
            method: head.method.chars().take(limits::QUOTED_BYTES).collect(),
        });
    }
    let codec = negotiate::of_body(head.content_type)?;
    let call: wire::Call = codec.decode(body)?;
    validate::call(&call, head.principal)?;
    match call.r#type() {
        Type::Subscribe => {
            let codec = negotiate::of_answer(head.accept)?;
            if head.stream.is_some() {
                return Err(Refusal::SubscribeWithStream);
            }
            let subscribe = call.subscribe.unwrap_or_default();
            let framework = framework::subscriber(subscribe, head.principal);
            Ok(Request::Subscribe {
                codec,
                framework: framework.map_err(Arc::from),
            })
        }
        other => {
            if other == Type::ReconcileOperations {
                negotiate::of_answer(head.accept)?;
            }
            let id = call.framework_id.as_ref().map_or("", |id| id.value());
            Ok(Request::Call(Received {
                framework: Arc::from(id),
                stream: head.stream.map(Arc::from),
                ask: ask(call),
            }))
        }
    }
}

impl Received {
    /// The framework that the call names, as sent.
    pub fn framework(&self) -> &str {
        &self.framework
    }

    /// Compares the call with what is known of its framework; `None` is "nobody has that id".
    ///
    /// # Errors
    /// The first of: unknown framework, other principal, no stream at the moment, no stream given,
    /// another stream, a call that this version does not serve.
    pub fn admit(
        self,
        standing: Option<&Standing>,
        principal: Option<&Principal>,
    ) -> Result<Admitted, Refusal> {
        let framework = FrameworkId::new(&self.framework).ok();
        let (Some(standing), Some(framework)) = (standing, framework) else {
            return Err(Refusal::UnknownFramework);
        };
        if principal.is_some() && principal != standing.principal.as_ref() {
            return Err(Refusal::Principal {
                authenticated: text_of(principal),
                framework: text_of(standing.principal.as_ref()),
            });
        }
        let current = standing.stream.ok_or(Refusal::NotSubscribed)?;
        let stream = self.stream.ok_or(Refusal::NoStream)?;
        if stream.parse() != Ok(current) {
            return Err(Refusal::OtherStream {
                stream: stream.chars().take(limits::QUOTED_BYTES).collect(),
                framework: self.framework.to_string(),
            });
        }
        Ok(match self.ask? {
            Ask::Nothing => Admitted::Nothing,
            Ask::Call(call) => Admitted::Call(FrameworkCall {
                framework,
                stream: current,
                call,
            }),
        })
    }
}

fn text_of(principal: Option<&Principal>) -> String {
    principal.map_or_else(String::new, Principal::to_string)
}

fn ask(call: wire::Call) -> Result<Ask, Refusal> {
    Ok(match call.r#type() {
        Type::Teardown => Ask::Call(Call::Teardown),
        Type::Accept => Ask::Call(accept::accept(call.accept.unwrap_or_default())?),
        Type::Decline => {
            let decline = call.decline.unwrap_or_default();
            Ask::Call(Call::Decline {
                offers: decline
                    .offer_ids
                    .iter()
                    .filter_map(|id| id.value().parse().ok())
                    .collect(),
                filters: filters(decline.filters.as_ref()),
            })
        }
        Type::Revive => of_roles(&call.revive.unwrap_or_default().roles, Call::Revive),
        Type::Suppress => of_roles(&call.suppress.unwrap_or_default().roles, Call::Suppress),
        Type::Kill => Ask::Call(kill(&call.kill.unwrap_or_default())),
        Type::Acknowledge => Ask::Call(acknowledge(&call.acknowledge.unwrap_or_default())),
        Type::Reconcile => Ask::Call(reconcile(&call.reconcile.unwrap_or_default())),
        // No allocator here looks at requests; inverse offers are never made, so every answer to one
        // is an answer to something unknown, which Mesos ignores.
        Type::Request | Type::AcceptInverseOffers | Type::DeclineInverseOffers => Ask::Nothing,
        Type::AcknowledgeOperationStatus => {
            let acknowledge = call.acknowledge_operation_status.unwrap_or_default();
            Ask::Call(acknowledge_operation(&acknowledge))
        }
        Type::Unknown | Type::Subscribe => return Err(not_implemented(&call, "")),
        Type::Message | Type::Shutdown => {
            return Err(not_implemented(&call, "there are no custom executors yet"));
        }
        Type::ReconcileOperations => {
            let reconcile = call.reconcile_operations.unwrap_or_default();
            Ask::Call(reconcile_operations(&reconcile))
        }
        Type::UpdateFramework => {
            return Err(not_implemented(
                &call,
                "subscribe again to change the framework",
            ));
        }
    })
}

fn not_implemented(call: &wire::Call, why: &str) -> Refusal {
    let name = call.r#type().as_str_name();
    Refusal::NotImplemented(if why.is_empty() {
        format!("Call '{name}' is not supported")
    } else {
        format!("Call '{name}' is not supported: {why}")
    })
}

/// A call about roles; one that cannot be a role makes the whole call void.
fn of_roles(roles: &[String], call: impl FnOnce(BTreeSet<Role>) -> Call) -> Ask {
    let parsed: Result<BTreeSet<Role>, _> = roles.iter().map(|role| Role::new(role)).collect();
    parsed.map_or(Ask::Nothing, |roles| Ask::Call(call(roles)))
}

fn kill(kill: &wire::call::Kill) -> Call {
    Call::Kill {
        task: Arc::from(kill.task_id.as_ref().map_or("", |id| id.value())),
        agent: kill.agent_id.as_ref().map(agent_name),
        grace: kill
            .kill_policy
            .as_ref()
            .and_then(|policy| policy.grace_period.as_ref())
            .map(|period| not_negative(period.nanoseconds())),
    }
}

fn acknowledge(acknowledge: &wire::call::Acknowledge) -> Call {
    let uuid: [u8; 16] = acknowledge.uuid().try_into().unwrap_or_default();
    Call::Acknowledge {
        agent: agent_name(
            acknowledge
                .agent_id
                .as_ref()
                .unwrap_or(&v1::AgentId::default()),
        ),
        task: Arc::from(acknowledge.task_id.as_ref().map_or("", |id| id.value())),
        update: UpdateId(u128::from_be_bytes(uuid)),
    }
}

fn reconcile(reconcile: &wire::call::Reconcile) -> Call {
    let tasks = reconcile.tasks.iter().map(|task| ReconcileTask {
        task: Arc::from(task.task_id.as_ref().map_or("", |id| id.value())),
        agent: task.agent_id.as_ref().map(agent_name),
    });
    Call::Reconcile(tasks.collect())
}

fn acknowledge_operation(acknowledge: &wire::call::AcknowledgeOperationStatus) -> Call {
    let uuid: [u8; 16] = acknowledge.uuid().try_into().unwrap_or_default();
    let operation = acknowledge.operation_id.as_ref();
    Call::AcknowledgeOperation {
        operation: Arc::from(operation.map_or("", |id| id.value())),
        update: UpdateId(u128::from_be_bytes(uuid)),
    }
}

fn reconcile_operations(reconcile: &wire::call::ReconcileOperations) -> Call {
    let operations = reconcile.operations.iter();
    let operations = operations.map(|asked| ReconcileOperation {
        operation: Arc::from(asked.operation_id.as_ref().map_or("", |id| id.value())),
        agent: asked.agent_id.as_ref().map(agent_name),
    });
    Call::ReconcileOperations(operations.collect())
}

/// An agent as a framework names it.
fn agent_name(id: &v1::AgentId) -> AgentName {
    match id.value().parse() {
        Ok(id) => AgentName::Id(id),
        Err(_) => AgentName::Foreign(Arc::from(id.value())),
    }
}

fn not_negative(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

/// The filter of a call: 5 s where none is given or it makes no sense, at most 365 days.
fn filters(filters: Option<&v1::Filters>) -> Filters {
    let seconds = filters.and_then(|f| f.refuse_seconds);
    match seconds.filter(|seconds| *seconds >= 0.0) {
        None => Filters::default(),
        Some(seconds) => Filters {
            refuse: Duration::from_secs_f64(seconds.min(limits::REFUSE_SECONDS)),
        },
    }
}
