//! Volumes: made, used, resized and destroyed by operations.

use std::sync::Arc;

use crate::operations::{Stage, operation, reserved, statuses};
use crate::world;
use shoal_api::call::{AgentName, Launch};
use shoal_api::operation::{Change, OperationState, Step};
use shoal_api::{Amount, Disk, Resources, TaskState, Terms, Volume};
use shoal_ledger::Module;
use shoal_offers::{Effect, Refusal};

/// A volume of disk that is reserved for `web`, as a client writes it.
fn volume(disk: &str, id: &str, shared: bool) -> Resources {
    volume_of(disk, "web", id, shared)
}

/// The same for any role.
pub fn volume_of(disk: &str, role: &str, id: &str, shared: bool) -> Resources {
    let bare = reserved(disk, role);
    let of = |terms: &Terms| Terms {
        disk: Some(Disk {
            source: None,
            volume: Some(Volume {
                id: Arc::from(id),
                principal: None,
                container_path: Arc::from("data"),
                created: 0,
            }),
        }),
        shared,
        ..terms.clone()
    };
    bare.on_terms(|r| of(r.terms.as_ref().unwrap())).unwrap()
}

fn launch(stage: &Stage, id: &str, resources: &Resources) -> Step {
    let mut spec = (*world::spec(id, "cpus:0.5")).clone();
    spec.resources.add(resources).unwrap();
    Step::Launch(Box::new(Launch::Task {
        agent: AgentName::Id(stage.agent()),
        spec: Arc::new(spec),
    }))
}

fn with_disk() -> Stage {
    let mut stage = Stage::new(None);
    let done = stage.operate(Change::Reserve(reserved("disk:64", "web")));
    stage.acknowledge("o", done.update.unwrap());
    stage
}

/// Which volumes an agent has, by their numbers.
fn numbers(stage: &Stage) -> Vec<u64> {
    let row = stage.world.offers.agent(stage.agent()).unwrap();
    let terms = row.info.resources.iter().filter_map(|r| r.terms.as_ref());
    terms
        .filter_map(|terms| Some(terms.volume()?.created))
        .collect()
}

fn does(stage: &mut Stage, change: Change) {
    let done = stage.operate(change.clone());
    assert_eq!(
        (&*done.message, done.state),
        ("", OperationState::Finished),
        "{change:?}"
    );
    stage.acknowledge("o", done.update.unwrap());
}

fn refused(stage: &mut Stage, change: Change) -> String {
    let before = stage.total();
    let status = stage.operate(change);
    assert_eq!(
        (status.state, stage.total()),
        (OperationState::Error, before)
    );
    status
        .message
        .split("; on agent")
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn a_volume_outlives_its_task_and_goes_when_it_is_destroyed() {
    let mut stage = with_disk();
    let offer = stage.offer();
    let own = volume("disk:48", "v", false);
    let create = operation(None, Change::Create(own.clone()));
    let task = launch(&stage, "t", &own);
    stage.operated(offer, vec![create, task]);
    let total = "cpus:4; disk:36; disk(reservations: [(DYNAMIC,web)]):16; \
                 disk(reservations: [(DYNAMIC,web)])[v:data]:48; mem:1024";
    assert_eq!(stage.total(), total);
    let number = numbers(&stage);
    assert_ne!(number, [0]);
    let key = stage.world.agents["a"]
        .tasks
        .keys()
        .next()
        .cloned()
        .unwrap();
    let assignment = &stage.world.agents["a"].tasks[&key].assignment;
    let mut held = assignment.spec.resources.iter();
    assert!(held.any(|r| {
        r.terms
            .as_ref()
            .is_some_and(|t| t.volume().unwrap().created == number[0])
    }));
    let in_use = stage.operator(Change::Destroy(own.clone()));
    assert!(matches!(in_use, Err(Refusal::Conflict(_))), "{in_use:?}");
    stage.world.progress("a", &key, TaskState::Finished);
    stage.world.send("a").0.unwrap();
    stage.world.open("a", shoal_api::NodeId(2)).0.unwrap();
    stage.world.offers.check().unwrap();
    assert_eq!((stage.total(), stage.free()), (total.into(), total.into()));
    assert_eq!(
        refused(&mut stage, Change::Create(volume("disk:8", "v", false))),
        { "Persistence ID 'v' is not unique" }
    );
    let offer = stage.offer();
    let effects = stage.operated(offer, vec![operation(None, Change::Destroy(own.clone()))]);
    let gone = effects.iter().find_map(|effect| match effect {
        Effect::VolumeDestroyed { terms, .. } => terms.volume().map(|volume| volume.created),
        _ => None,
    });
    assert_eq!(gone, Some(number[0]));
    does(&mut stage, Change::Create(own));
    assert_ne!(numbers(&stage), number, "another volume of that id");
}

#[test]
fn a_shared_volume_is_used_by_many_and_destroyed_when_none_does() {
    let mut stage = with_disk();
    let shared = volume("disk:64", "s", true);
    let alone = refused(&mut stage, Change::Create(shared.clone()));
    assert!(alone.contains("SHARED_RESOURCES"), "{alone}");
    stage.operator(Change::Create(shared.clone())).unwrap();
    let offer = stage.offer();
    let tasks = vec![launch(&stage, "t1", &shared), launch(&stage, "t2", &shared)];
    stage.operated(offer, tasks);
    assert_eq!(stage.world.agents["a"].tasks.len(), 2);
    assert!(stage.free().contains("<SHARED>"), "{}", stage.free());
    let used = refused(&mut stage, Change::Destroy(shared.clone()));
    assert_eq!(used, "Persistent volumes in use");
    let keys: Vec<_> = stage.world.agents["a"].tasks.keys().cloned().collect();
    for key in keys {
        stage.world.progress("a", &key, TaskState::Finished);
    }
    stage.world.send("a").0.unwrap();
    let offer = stage.offer();
    stage.operator(Change::Destroy(shared)).unwrap();
    assert!(
        stage.world.offers.offer(offer).is_none(),
        "who was offered it is told"
    );
    assert!(!stage.total().contains("SHARED"), "{}", stage.total());
    assert_eq!(stage.total(), stage.free());
}

#[test]
fn volumes_grow_and_shrink_within_what_is_reserved() {
    let mut stage = with_disk();
    does(&mut stage, Change::Create(volume("disk:16", "v", false)));
    let grow = |from: &str, by: &str| Change::Grow {
        volume: volume(from, "v", false),
        addition: reserved(by, "web"),
    };
    does(&mut stage, grow("disk:16", "disk:48"));
    assert!(stage.total().contains("[v:data]:64"), "{}", stage.total());
    let number = numbers(&stage);
    let more = refused(&mut stage, grow("disk:64", "disk:1"));
    assert!(more.contains("does not contain"), "{more}");
    let shrink = |from: &str, milli: i64| Change::Shrink {
        volume: volume(from, "v", false),
        subtract: Amount(milli),
    };
    does(&mut stage, shrink("disk:64", 14_000));
    let total = "cpus:4; disk:36; disk(reservations: [(DYNAMIC,web)]):14; \
                 disk(reservations: [(DYNAMIC,web)])[v:data]:50; mem:1024";
    assert_eq!((stage.total(), numbers(&stage)), (total.into(), number));
    for (change, why) in [
        (shrink("disk:50", 0), "must be greater than zero"),
        (shrink("disk:50", -1), "must be greater than zero"),
        (shrink("disk:50", 50_000), "must be smaller than"),
        (grow("disk:50", "cpus:1"), "Incompatible resources"),
        (grow("disk:49", "disk:1"), "does not contain"),
        (
            Change::Create(reserved("disk:1", "web")),
            "is not a persistent volume",
        ),
        (
            Change::Destroy(reserved("disk:1", "web")),
            "is not a persistent volume",
        ),
        (
            Change::Unreserve(volume("disk:50", "v", false)),
            "cannot be reserved or unreserved",
        ),
    ] {
        let told = refused(&mut stage, change);
        assert!(told.contains(why), "{told}");
    }
    // What changed its size is not there for the rest of the accept.
    let offer = stage.offer();
    let steps = vec![
        operation(Some("grow"), grow("disk:50", "disk:14")),
        operation(Some("use"), Change::Destroy(volume("disk:64", "v", false))),
    ];
    let told = statuses(&stage.operated(offer, steps));
    assert_eq!(told[0].state, OperationState::Finished);
    assert!(
        told[1].message.contains("does not contain"),
        "{}",
        told[1].message
    );
}
