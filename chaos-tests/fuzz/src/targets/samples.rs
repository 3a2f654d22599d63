//! Words as a living cluster says them, for the seeds of everything that is encoded with postcard.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shoal_api::agent::{AgentInfo, Attribute, AttributeValue};
use shoal_api::call::Subscribe;
use shoal_api::id::{
    AgentId, Epoch, Fence, FrameworkId, Generation, Incarnation, Index, LaunchIndex, Name, NodeId,
    Origin, Principal, Role, StreamId, TaskId, TaskKey, UpdateId,
};
use shoal_api::session::{Hello, TaskReport};
use shoal_api::task::{
    Assignment, Command, Exit, Reason, Source, StatusUpdate, TaskSpec, TaskState,
};
use shoal_api::{Capability, FrameworkInfo, HostPort, Resources, Timestamp};

pub(super) fn resources() -> Resources {
    Resources::parse("cpus:4;mem:1024.5;ports:[31000-31009,32000-32000];names:{a,b}").expect("fine")
}

pub(super) fn agent() -> AgentId {
    AgentId {
        origin: Origin(7),
        number: 0,
    }
}

pub(super) fn framework() -> FrameworkId {
    FrameworkId::new("00000000-0000-0000-0000-000000000007-0000").expect("an id")
}

pub(super) fn role() -> Role {
    Role::new("web").expect("a role")
}

pub(super) fn task() -> TaskKey {
    TaskKey {
        framework: framework(),
        task: TaskId::new("web.1").expect("an id"),
        launch: LaunchIndex(1),
    }
}

pub(super) fn fence() -> Fence {
    Fence {
        incarnation: Incarnation(1),
        epoch: Epoch(2),
        index: Index(300),
    }
}

pub(super) fn spec() -> TaskSpec {
    TaskSpec {
        id: task().task,
        name: Arc::from("web"),
        resources: Resources::parse("cpus:1;mem:32;ports:[31000-31000]").expect("fine"),
        command: Some(Command::Exec {
            program: Arc::from("/bin/sh"),
            arguments: ["sh", "-c", "exit 0"].map(Arc::from).to_vec(),
        }),
        environment: vec![(Arc::from("A"), Arc::from("b"))],
        user: Some(Arc::from("nobody")),
        kill_grace: Some(Duration::from_millis(1_500)),
        unsupported: None,
        raw: Bytes::from_static(b"\x0a\x03web"),
        digest: None,
    }
}

pub(super) fn assignment() -> Arc<Assignment> {
    Arc::new(Assignment {
        key: task(),
        agent: agent(),
        role: role(),
        spec: Arc::new(spec()),
        framework_user: Arc::from("root"),
        framework_name: Arc::from("marathon"),
    })
}

pub(super) fn update(sequence: u64, state: TaskState) -> StatusUpdate {
    StatusUpdate {
        task: task(),
        sequence,
        id: UpdateId(u128::from(sequence) << 70),
        state,
        source: Source::Executor,
        reason: Some(Reason::TaskInvalid),
        message: Arc::from("command exited with status 3"),
        timestamp: Timestamp::from_nanos(1_700_000_000_000_000_000),
        exit: state.is_terminal().then_some(Exit::Code(3)),
    }
}

pub(super) fn info() -> AgentInfo {
    AgentInfo {
        node: NodeId(1 << 100),
        name: Name::new("a1").expect("a name"),
        http: HostPort::new("::1", 5051),
        resources: resources(),
        attributes: vec![Attribute {
            name: Arc::from("rack"),
            value: AttributeValue::Text(Arc::from("r1")),
        }],
        version: Arc::from("0.1.0"),
    }
}

pub(super) fn hello(reports: bool) -> Hello {
    let report = || TaskReport {
        assignment: assignment(),
        state: TaskState::Failed,
        updates: vec![update(1, TaskState::Running), update(2, TaskState::Failed)],
    };
    Hello {
        info: info(),
        generation: Generation(3),
        number: 1,
        cluster: None,
        agent: None,
        fence: fence(),
        tasks: reports.then(report).into_iter().collect(),
    }
}

pub(super) fn subscribe() -> Subscribe {
    Subscribe {
        info: FrameworkInfo {
            id: None,
            name: Arc::from("marathon"),
            user: Arc::from("root"),
            principal: Principal::new("ops").ok(),
            roles: BTreeSet::from([role()]),
            suppressed: BTreeSet::new(),
            capabilities: BTreeSet::from([Capability::MultiRole, Capability::PartitionAware]),
            failover_timeout: Duration::from_secs(60),
            raw: Bytes::new(),
        },
        stream: StreamId(5),
    }
}
