//! The records of a master's event stream.

use bytes::Bytes;
use shoal_api::{AgentId, FrameworkId, FrameworkInfo, TaskState, Timestamp};

use super::document::{Document, Field};
use super::{answers, show};
use crate::codec::Codec;
use crate::event::{self, HEARTBEAT_SECONDS};
use crate::listing::{AgentEntry, FrameworkEntry, Source, TaskEntry};
use crate::proto::v1;
use crate::proto::v1::master::Event;
use crate::proto::v1::master::event as wire;
use crate::proto::v1::master::event::Type;
use crate::record_io;

/// The first record: everything there is, in pieces.
pub fn subscribed(source: &dyn Source, codec: Codec) -> Vec<Bytes> {
    let mut document = Document::new(codec);
    document.named::<Type>(Field(1, "type"), Type::Subscribed.into());
    document.open(Field(2, "subscribed"));
    document.open(Field(1, "get_state"));
    answers::state(&mut document, source);
    document.close();
    document.double(Field(2, "heartbeat_interval_seconds"), HEARTBEAT_SECONDS);
    document.close();
    let mut pieces = document.finish();
    let length: usize = pieces.iter().map(Bytes::len).sum();
    pieces.insert(0, Bytes::from(format!("{length}\n")));
    pieces
}

/// An event as a record.
pub fn record(event: &Event, codec: Codec) -> Bytes {
    record_io::frame(&codec.encode(event))
}

fn of(kind: Type) -> Event {
    Event {
        r#type: Some(kind.into()),
        ..Event::default()
    }
}

/// Proof of life.
pub fn heartbeat() -> Event {
    of(Type::Heartbeat)
}

/// A task was launched, or found.
pub fn task_added(task: &TaskEntry<'_>) -> Event {
    let task = v1::Task {
        state: Some(v1::TaskState::TaskStaging.into()),
        statuses: Vec::new(),
        status_update_state: None,
        status_update_uuid: None,
        ..show::task(task)
    };
    Event {
        task_added: Some(wire::TaskAdded { task: Some(task) }),
        ..of(Type::TaskAdded)
    }
}

/// Something was said of a task: the status itself, and the state that the task now has.
pub fn task_updated(framework: &FrameworkId, status: v1::TaskStatus, state: TaskState) -> Event {
    Event {
        task_updated: Some(wire::TaskUpdated {
            framework_id: Some(show::framework_id(framework)),
            status: Some(status),
            state: Some(event::state(state).into()),
        }),
        ..of(Type::TaskUpdated)
    }
}

/// An agent came, or came back.
pub fn agent_added(agent: &AgentEntry<'_>) -> Event {
    Event {
        agent_added: Some(wire::AgentAdded {
            agent: Some(show::agent(agent)),
        }),
        ..of(Type::AgentAdded)
    }
}

/// An agent is gone.
pub fn agent_removed(agent: AgentId) -> Event {
    Event {
        agent_removed: Some(wire::AgentRemoved {
            agent_id: Some(show::agent_id(agent)),
        }),
        ..of(Type::AgentRemoved)
    }
}

/// A framework, as its events show it: that it did not end is said by a zero.
fn framework(framework: &FrameworkEntry<'_>) -> v1::master::response::get_frameworks::Framework {
    let mut shown = show::framework(framework);
    shown
        .unregistered_time
        .get_or_insert_with(|| show::time(Timestamp::default()));
    shown
}

/// A framework subscribed for the first time.
pub fn framework_added(entry: &FrameworkEntry<'_>) -> Event {
    Event {
        framework_added: Some(wire::FrameworkAdded {
            framework: Some(framework(entry)),
        }),
        ..of(Type::FrameworkAdded)
    }
}

/// A framework subscribed again, or lost its stream.
pub fn framework_updated(entry: &FrameworkEntry<'_>) -> Event {
    Event {
        framework_updated: Some(wire::FrameworkUpdated {
            framework: Some(framework(entry)),
        }),
        ..of(Type::FrameworkUpdated)
    }
}

/// A framework was removed.
pub fn framework_removed(id: &FrameworkId, info: &FrameworkInfo) -> Event {
    Event {
        framework_removed: Some(wire::FrameworkRemoved {
            framework_info: Some(show::framework_info(id, info)),
        }),
        ..of(Type::FrameworkRemoved)
    }
}
