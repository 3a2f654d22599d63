//! Operations: what becomes of an agent's resources, and what is said of it.

use std::sync::Arc;
use std::time::Duration;

use crate::world::{self, World};
use shoal_api::call::{AgentName, Filters, Launch};
use shoal_api::notice::Notice;
use shoal_api::operation::{
    Change, Operation, OperationState, OperationStatus, ReconcileOperation, Step,
};
use shoal_api::{
    AgentId, Capability, FrameworkId, NodeId, OfferId, Principal, Reservation, ReservationKind,
    Resources, Role, StreamId, TaskState, Terms, UpdateId,
};
use shoal_ledger::Module;
use shoal_offers::allocator::NewOffer;
use shoal_offers::{Effect, OffersCommand, Outcome, Refusal};

/// Resources with a dynamic reservation for a role.
pub fn reserved(text: &str, role: &str) -> Resources {
    let reservation = Reservation {
        kind: ReservationKind::Dynamic,
        ..Reservation::fixed(Role::new(role).unwrap())
    };
    let terms = Terms {
        reservations: vec![reservation],
        ..Terms::default()
    };
    let plain = Resources::parse(text).unwrap();
    plain.on_terms(|_| terms.clone()).unwrap()
}

/// One agent `a` and one framework with an offer of all of it.
pub struct Stage {
    pub world: World,
    framework: FrameworkId,
}

impl Stage {
    /// An agent with disk, too.
    pub fn new(principal: Option<&str>) -> Stage {
        Stage::with(principal, "cpus:4;mem:1024;disk:100")
    }

    fn bare(principal: Option<&str>) -> Stage {
        Stage::with(principal, "cpus:4;mem:1024")
    }

    fn with(principal: Option<&str>, resources: &str) -> Stage {
        let mut world = World::new();
        world.add_agent("a", 1, resources);
        world.open("a", NodeId(1)).0.unwrap();
        let able = [Capability::MultiRole, Capability::ReservationRefinement];
        let minute = Duration::from_secs(60);
        let mut subscribe = world::subscription(None, "f", &["web", "db"], &able, minute, 1);
        subscribe.info.principal = principal.map(|text| Principal::new(text).unwrap());
        let command = OffersCommand::Subscribed {
            subscribe: Box::new(subscribe),
            holder: NodeId(1),
        };
        let Ok(Outcome::Subscribed { framework }) = world.apply(command).0 else {
            panic!("it may subscribe");
        };
        Stage { world, framework }
    }

    pub fn agent(&self) -> AgentId {
        self.world.agents["a"].id.unwrap()
    }

    pub fn free(&self) -> String {
        self.world
            .offers
            .agent(self.agent())
            .unwrap()
            .free
            .to_string()
    }

    pub fn total(&self) -> String {
        let row = self.world.offers.agent(self.agent()).unwrap();
        row.info.resources.to_string()
    }

    fn apply(&mut self, command: OffersCommand) -> (Result<Outcome, Refusal>, Vec<Effect>) {
        let result = self.world.apply(command);
        self.world.offers.check().unwrap();
        result
    }

    pub fn offer(&mut self) -> OfferId {
        let agent = self.agent();
        let resources = self.world.offers.agent(agent).unwrap().free.clone();
        let offer = NewOffer {
            framework: self.framework.clone(),
            role: Role::new("web").unwrap(),
            agent,
            resources,
        };
        self.apply(OffersCommand::OffersMade {
            offers: vec![offer],
        })
        .0
        .unwrap();
        let offers = &self.world.offers;
        offers.offers_of(&self.framework).last().unwrap().offer.id
    }

    pub fn operated(&mut self, offer: OfferId, steps: Vec<Step>) -> Vec<Effect> {
        let command = OffersCommand::Operated {
            framework: self.framework.clone(),
            stream: StreamId(1),
            offers: vec![Ok(offer)],
            steps,
            filters: Filters::default(),
        };
        let (result, effects) = self.apply(command);
        result.unwrap();
        effects
    }

    /// Does one operation with an id on an offer of all that is free.
    pub fn operate(&mut self, change: Change) -> OperationStatus {
        let offer = self.offer();
        let effects = self.operated(offer, vec![operation(Some("o"), change)]);
        let mut all = statuses(&effects);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    pub fn operator(&mut self, change: Change) -> Result<Outcome, Refusal> {
        let agent = self.agent();
        self.apply(OffersCommand::AgentOperated {
            agent,
            change,
            principal: None,
        })
        .0
    }

    pub fn acknowledge(&mut self, operation: &str, update: UpdateId) -> Outcome {
        let command = OffersCommand::OperationAcknowledged {
            framework: self.framework.clone(),
            stream: StreamId(1),
            operation: Arc::from(operation),
            update,
        };
        self.apply(command).0.unwrap()
    }
}

pub fn operation(id: Option<&str>, change: Change) -> Step {
    Step::Operation(Operation {
        id: id.map(Arc::from),
        change: Ok(change),
        allocated: Some(Arc::from("web")),
    })
}

pub fn statuses(effects: &[Effect]) -> Vec<OperationStatus> {
    let notices = world::notices(effects).into_iter();
    let status = |(_, notice): (StreamId, &Notice)| match notice {
        Notice::Operation(status) => Some(status.clone()),
        _ => None,
    };
    notices.filter_map(status).collect()
}

const WEB: &str = "cpus:3; cpus(reservations: [(DYNAMIC,web)]):1; mem:1024";

#[test]
fn a_reservation_is_made_told_kept_and_undone() {
    let mut stage = Stage::bare(None);
    let done = stage.operate(Change::Reserve(reserved("cpus:1", "web")));
    assert_eq!((done.state, &*done.message), (OperationState::Finished, ""));
    assert_eq!((stage.total(), stage.free()), (WEB.into(), WEB.into()));
    let update = done.update.expect("what is done is acknowledged");
    let twice = stage.operate(Change::Reserve(reserved("cpus:1", "web")));
    assert!(
        twice.message.contains("not acknowledged"),
        "{}",
        twice.message
    );
    assert_eq!((twice.state, twice.update), (OperationState::Error, None));
    let dropped = stage.acknowledge("o", UpdateId(update.0 + 1));
    assert!(matches!(dropped, Outcome::Dropped(_)));
    assert_eq!(stage.acknowledge("o", update), Outcome::Done);
    assert!(matches!(
        stage.acknowledge("o", update),
        Outcome::Dropped(_)
    ));
    let done = stage.operate(Change::Unreserve(reserved("cpus:1", "web")));
    assert_eq!(done.state, OperationState::Finished);
    assert_eq!(stage.total(), "cpus:4; mem:1024");
}

#[test]
fn a_task_runs_on_what_the_same_accept_reserved() {
    let mut stage = Stage::bare(None);
    let offer = stage.offer();
    let agent = stage.agent();
    let mut spec = (*world::spec("t", "cpus:0.5")).clone();
    spec.resources = reserved("cpus:0.5", "web");
    let launch = Launch::Task {
        agent: AgentName::Id(agent),
        spec: Arc::new(spec),
    };
    let effects = stage.operated(
        offer,
        vec![
            operation(None, Change::Reserve(reserved("cpus:1", "web"))),
            Step::Launch(Box::new(launch)),
        ],
    );
    assert!(
        statuses(&effects).is_empty(),
        "without an id nothing is told"
    );
    let refused = effects.iter().find_map(|effect| match effect {
        Effect::Refused { resources, .. } => Some(resources.to_string()),
        _ => None,
    });
    // What was made is offered again at once.
    assert_eq!(refused.as_deref(), Some("cpus:3; mem:1024"));
    let left = "cpus:3; cpus(reservations: [(DYNAMIC,web)]):0.5; mem:1024";
    assert_eq!((stage.total(), stage.free()), (WEB.into(), left.into()));
    // What a task holds cannot be unreserved.
    let refusal = stage.operator(Change::Unreserve(reserved("cpus:1", "web")));
    let text = format!("{left} does not contain cpus(reservations: [(DYNAMIC,web)]):1");
    assert_eq!(refusal, Err(Refusal::Conflict(Arc::from(text))));
    // The agent knows nothing of reservations and comes back with what it was configured with.
    stage.world.open("a", NodeId(2)).0.unwrap();
    stage.world.offers.check().unwrap();
    assert_eq!((stage.total(), stage.free()), (WEB.into(), left.into()));
    let agent = stage.world.agents.get_mut("a").unwrap();
    agent.resources = Resources::parse("cpus:0.7;mem:1024").unwrap();
    let shrunk = stage.world.open("a", NodeId(2)).0;
    assert!(matches!(shrunk, Err(Refusal::Session(_))), "{shrunk:?}");
}

#[test]
fn after_a_restore_a_task_keeps_what_it_holds() {
    let mut stage = Stage::bare(None);
    let saved = stage.world.offers.clone();
    let offer = stage.offer();
    let agent = stage.agent();
    let mut spec = (*world::spec("t", "cpus:0.5")).clone();
    spec.resources = reserved("cpus:0.5", "web");
    let launch = Launch::Task {
        agent: AgentName::Id(agent),
        spec: Arc::new(spec),
    };
    let reserve = operation(None, Change::Reserve(reserved("cpus:1", "web")));
    stage.operated(offer, vec![reserve, Step::Launch(Box::new(launch))]);
    let key = stage.world.agents["a"]
        .tasks
        .keys()
        .next()
        .cloned()
        .unwrap();
    stage.world.progress("a", &key, TaskState::Running);
    stage.world.offers = saved;
    stage.world.incarnation += 1;
    stage.world.open("a", NodeId(1)).0.unwrap();
    stage.world.offers.check().unwrap();
    let total = "cpus:3.5; cpus(reservations: [(DYNAMIC,web)]):0.5; mem:1024";
    assert_eq!(stage.total(), total);
}

#[test]
fn what_makes_no_sense_changes_nothing_and_is_told() {
    let mut stage = Stage::bare(Some("me"));
    let plain = |text: &str| Resources::parse(text).unwrap();
    let mine = |role: &str| {
        let all = reserved("cpus:1", role);
        let own = all.on_terms(|r| {
            let mut terms = Terms::clone(r.terms.as_ref().unwrap());
            terms.reservations[0].principal = Some(Principal::new("me").unwrap());
            terms
        });
        own.unwrap()
    };
    let place = format!(
        "; on agent {} at slave(1)@127.0.0.1:5051 (127.0.0.1)",
        stage.agent()
    );
    let cases = [
        (
            Change::Reserve(Resources::new()),
            format!("No resources specified{place}"),
        ),
        (
            Change::Reserve(plain("cpus:1")),
            format!("Resource cpus:1 is not dynamically reserved{place}"),
        ),
        (
            Change::Reserve(plain("cpus(web):1")),
            format!(
                "Resource cpus(reservations: [(STATIC,web)]):1 is not dynamically reserved{place}"
            ),
        ),
        (
            Change::Reserve(reserved("cpus:1", "web")),
            format!(
                "A reserve operation was attempted by principal 'me', but there is a reserved \
                 resource in the request with no principal set{place}"
            ),
        ),
        (
            Change::Reserve(mine("db")),
            format!(
                "A reserve operation was attempted for a resource with role 'db', but the resource \
                 was allocated to role 'web'{place}"
            ),
        ),
        (
            Change::Unreserve(mine("web")),
            "cpus(allocated: web):4; mem(allocated: web):1024 does not contain \
             cpus(allocated: web)(reservations: [(DYNAMIC,web,me)]):1"
                .to_owned(),
        ),
    ];
    for (change, why) in cases {
        let status = stage.operate(change.clone());
        assert_eq!(&*status.message, why, "{change:?}");
        assert_eq!((status.state, status.update), (OperationState::Error, None));
        assert_eq!(stage.total(), "cpus:4; mem:1024");
    }
}

#[test]
fn an_operation_on_a_spent_offer_is_told() {
    let mut stage = Stage::bare(None);
    let gone = stage.offer();
    stage.operated(gone, Vec::new());
    let reserve = Change::Reserve(reserved("cpus:1", "web"));
    let effects = stage.operated(gone, vec![operation(Some("x"), reserve)]);
    let told = statuses(&effects).remove(0);
    assert!(
        told.message.contains("is no longer valid"),
        "{}",
        told.message
    );
    assert_eq!(told.agent, None);
}

#[test]
fn an_operator_takes_back_what_is_offered_and_no_more() {
    let mut stage = Stage::bare(None);
    let offer = stage.offer();
    let too_much = stage.operator(Change::Reserve(reserved("cpus:5", "web")));
    let text = "cpus:4; mem:1024 does not contain cpus:5";
    assert_eq!(too_much, Err(Refusal::Conflict(Arc::from(text))));
    assert!(stage.world.offers.offer(offer).is_some());
    let plain = Resources::parse("cpus:1").unwrap();
    let Err(Refusal::InvalidOperation(why)) = stage.operator(Change::Reserve(plain)) else {
        panic!("it is not reserved");
    };
    assert!(
        why.starts_with("Invalid RESERVE operation on agent "),
        "{why}"
    );
    let agent = stage.agent();
    let (result, effects) = stage.apply(OffersCommand::AgentOperated {
        agent,
        change: Change::Reserve(reserved("cpus:1", "web")),
        principal: None,
    });
    assert_eq!(result, Ok(Outcome::Done));
    assert!(stage.world.offers.offer(offer).is_none());
    assert!(
        world::notices(&effects)
            .iter()
            .any(|(_, notice)| **notice == Notice::Rescind(offer))
    );
    assert_eq!((stage.total(), stage.free()), (WEB.into(), WEB.into()));
    let nobody = AgentId {
        number: 99,
        ..agent
    };
    let unknown = stage.apply(OffersCommand::AgentOperated {
        agent: nobody,
        change: Change::Unreserve(reserved("cpus:1", "web")),
        principal: None,
    });
    assert_eq!(unknown.0, Err(Refusal::UnknownAgent(nobody)));
}

#[test]
fn reconciliation_says_what_is_known() {
    let mut stage = Stage::bare(None);
    stage.operate(Change::Reserve(reserved("cpus:1", "web")));
    let agent = AgentName::Id(stage.agent());
    let asked = |operation: &str| ReconcileOperation {
        operation: Arc::from(operation),
        agent: Some(agent.clone()),
    };
    let mut ask = |operations: Vec<ReconcileOperation>| {
        let command = OffersCommand::OperationsReconciled {
            framework: stage.framework.clone(),
            stream: StreamId(1),
            operations,
        };
        let (result, effects) = stage.apply(command);
        result.unwrap();
        let all = statuses(&effects).into_iter();
        all.map(|s| (s.operation.to_string(), s.state, s.update))
            .collect::<Vec<_>>()
    };
    let known = ("o".to_owned(), OperationState::Finished, None);
    assert_eq!(ask(Vec::new()), std::slice::from_ref(&known));
    let unknown = ("x".to_owned(), OperationState::Unknown, None);
    assert_eq!(ask(vec![asked("o"), asked("x")]), [known, unknown]);
}
