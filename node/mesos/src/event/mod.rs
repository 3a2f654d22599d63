//! The scheduler API's events: from our notices to records of a framework's stream.
//!
//! A notice is encoded once; the bytes are shared from then on. Which notices a framework gets, and
//! when, is decided by the ledger and by the master that holds the stream.

mod status;

pub use status::{container_id, container_status, ended, state, status_at};

use std::net::IpAddr;

use bytes::Bytes;
use shoal_api::call::AgentName;
use shoal_api::notice::Notice;
use shoal_api::offer::Offer;
use shoal_api::operation::{OperationState, OperationStatus};
use shoal_api::{AgentId, AgentInfo, AttributeValue, Capability, FrameworkInfo};

use crate::codec::Codec;
use crate::master::{self, Master};
use crate::proto::v1;
use crate::proto::v1::scheduler as wire;
use crate::proto::v1::scheduler::event::{self, Type};
use crate::proto::v1::value::Type as ValueType;
use crate::record_io;
use crate::resources::{self, Dialect};

/// Seconds between two heartbeats, as SUBSCRIBED tells. Source: Mesos.
pub const HEARTBEAT_SECONDS: f64 = 15.0;

/// How a framework's stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The encoding.
    pub codec: Codec,
    /// Which fields of resources the framework understands.
    pub dialect: Dialect,
}

impl Audience {
    /// The audience that a framework is.
    pub fn new(framework: &FrameworkInfo, codec: Codec) -> Audience {
        Audience {
            codec,
            dialect: Dialect {
                allocation_info: framework.can(Capability::MultiRole),
                reservations: framework.can(Capability::ReservationRefinement),
            },
        }
    }
}

/// What events tell besides the notice itself.
pub trait Surroundings {
    /// The master that writes the stream.
    fn master(&self) -> &Master;

    /// The address at which a task on that agent can be reached, if it is known.
    fn address_of(&self, agent: &AgentId) -> Option<IpAddr>;
}

/// A notice as a record, with its length in front.
pub fn record(notice: &Notice, audience: Audience, around: &dyn Surroundings) -> Bytes {
    frame(&event(notice, audience.dialect, around), audience.codec)
}

/// The only record of a stream whose subscription is refused.
pub fn refusal(message: &str, codec: Codec) -> Bytes {
    frame(&error(message), codec)
}

fn frame(event: &wire::Event, codec: Codec) -> Bytes {
    record_io::frame(&codec.encode(event))
}

/// A notice as a message.
pub fn event(notice: &Notice, dialect: Dialect, around: &dyn Surroundings) -> wire::Event {
    match notice {
        Notice::Subscribed { framework } => wire::Event {
            subscribed: Some(event::Subscribed {
                framework_id: Some(v1::FrameworkId {
                    value: Some(framework.to_string()),
                }),
                heartbeat_interval_seconds: Some(HEARTBEAT_SECONDS),
                master_info: Some(around.master().info()),
            }),
            ..of(Type::Subscribed)
        },
        Notice::Heartbeat => of(Type::Heartbeat),
        Notice::Offers(offers) => wire::Event {
            offers: Some(event::Offers {
                offers: offers
                    .iter()
                    .map(|(offer, agent)| self::offer(offer, agent, dialect))
                    .collect(),
            }),
            ..of(Type::Offers)
        },
        Notice::Rescind(offer) => wire::Event {
            rescind: Some(event::Rescind {
                offer_id: Some(v1::OfferId {
                    value: Some(offer.to_string()),
                }),
            }),
            ..of(Type::Rescind)
        },
        Notice::Update(status) => wire::Event {
            update: Some(event::Update {
                status: Some(status::status(status, around)),
            }),
            ..of(Type::Update)
        },
        Notice::Operation(status) => wire::Event {
            update_operation_status: Some(event::UpdateOperationStatus {
                status: Some(operation_status(status)),
            }),
            ..of(Type::UpdateOperationStatus)
        },
        Notice::Failure { agent } => wire::Event {
            failure: Some(event::Failure {
                agent_id: Some(agent_id(agent)),
                ..event::Failure::default()
            }),
            ..of(Type::Failure)
        },
        Notice::Error(message) => error(message),
    }
}

fn operation_status(status: &OperationStatus) -> v1::OperationStatus {
    let state = match status.state {
        OperationState::Finished => v1::OperationState::OperationFinished,
        OperationState::Error => v1::OperationState::OperationError,
        OperationState::Unreachable => v1::OperationState::OperationUnreachable,
        OperationState::Unknown => v1::OperationState::OperationUnknown,
    };
    v1::OperationStatus {
        operation_id: Some(v1::OperationId {
            value: Some(status.operation.to_string()),
        }),
        state: Some(state.into()),
        message: (!status.message.is_empty()).then(|| status.message.to_string()),
        uuid: status.update.map(|update| v1::Uuid {
            value: Some(update.0.to_be_bytes().to_vec()),
        }),
        agent_id: status.agent.as_ref().map(|agent| v1::AgentId {
            value: Some(match agent {
                AgentName::Id(id) => id.to_string(),
                AgentName::Foreign(text) => text.to_string(),
            }),
        }),
        ..v1::OperationStatus::default()
    }
}

fn of(kind: Type) -> wire::Event {
    wire::Event {
        r#type: Some(kind.into()),
        ..wire::Event::default()
    }
}

fn error(message: &str) -> wire::Event {
    wire::Event {
        error: Some(event::Error {
            message: Some(message.to_owned()),
        }),
        ..of(Type::Error)
    }
}

fn agent_id(agent: &AgentId) -> v1::AgentId {
    v1::AgentId {
        value: Some(agent.to_string()),
    }
}

/// An offer as a message.
pub fn offer(offer: &Offer, agent: &AgentInfo, dialect: Dialect) -> v1::Offer {
    let role = offer.role.as_str();
    v1::Offer {
        id: Some(v1::OfferId {
            value: Some(offer.id.to_string()),
        }),
        framework_id: Some(v1::FrameworkId {
            value: Some(offer.framework.to_string()),
        }),
        agent_id: Some(agent_id(&offer.agent)),
        hostname: Some(agent.http.host.to_string()),
        url: Some(v1::Url {
            scheme: Some("http".to_owned()),
            address: Some(master::address(&agent.http)),
            path: Some("/slave(1)".to_owned()),
            ..v1::Url::default()
        }),
        resources: resources::to_wire(&offer.resources, role, dialect),
        attributes: attributes(agent),
        allocation_info: dialect
            .allocation_info
            .then(|| v1::resource::AllocationInfo {
                role: Some(role.to_owned()),
            }),
        ..v1::Offer::default()
    }
}

/// The attributes of an agent, in its own order.
pub fn attributes(agent: &AgentInfo) -> Vec<v1::Attribute> {
    agent
        .attributes
        .iter()
        .map(|attribute| {
            let mut wire = v1::Attribute {
                name: Some(attribute.name.to_string()),
                ..v1::Attribute::default()
            };
            let kind = match &attribute.value {
                AttributeValue::Scalar(amount) => {
                    wire.scalar = Some(resources::scalar(*amount));
                    ValueType::Scalar
                }
                AttributeValue::Ranges(list) => {
                    wire.ranges = Some(resources::ranges(list));
                    ValueType::Ranges
                }
                AttributeValue::Text(text) => {
                    wire.text = Some(v1::value::Text {
                        value: Some(text.to_string()),
                    });
                    ValueType::Text
                }
            };
            wire.r#type = Some(kind.into());
            wire
        })
        .collect()
}
