//! One whole cycle of the allocator over a ledger in memory: every agent is looked at, and all of it
//! is offered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use shoal_api::call::Subscribe;
use shoal_api::session::Hello;
use shoal_api::{
    AgentInfo, Dice, Fence, FrameworkInfo, Generation, HostPort, Incarnation, Index, Instant, Name,
    NodeId, Origin, Plants, RequestId, Resources, Role, StreamId, Timestamp,
};
use shoal_ledger::Header;
use shoal_offers::allocator::Allocator;
use shoal_offers::{Context, Offers, OffersCommand};

use super::Measured;
use super::conditions::milliseconds;
use super::figure::{Figure, median, part};
use super::flags::AllocatorFlags;
use super::guest::failed;
use crate::cli::Failure;

/// Runs the measurement.
///
/// # Errors
/// The ledger refuses an agent or a framework.
pub(super) fn run(flags: &AllocatorFlags) -> Result<Measured, Failure> {
    let offers = ledger(flags)?;
    let fresh = Allocator::new(Dice::new(1), &offers);
    let (mut cycles, mut looks) = (Vec::new(), Vec::new());
    for round in 0..flags.rounds {
        let started = Clock::now();
        let free: i64 = offers
            .agents()
            .map(|(_, row)| row.free.scalar("cpus").0)
            .sum();
        looks.push(milliseconds(started.elapsed()));
        let mut allocator = fresh.clone();
        let started = Clock::now();
        let plan = allocator.allocate(Instant::ZERO, &offers);
        cycles.push(milliseconds(started.elapsed()));
        if plan.offers.len() != flags.agents as usize || free == 0 {
            let made = plan.offers.len();
            return Err(failed(format!("cycle {round} makes {made} offers")));
        }
    }
    Ok(Measured {
        figures: vec![
            Figure::new("allocator.cycle", median(&cycles), "ms")
                .beside("reading what is free on every agent", median(&looks)),
            Figure::new("allocator.cycle_worst", part(&cycles, 100), "ms"),
        ],
        setup: vec![format!(
            "{} agents, {} frameworks of a role each, {} whole cycles in one thread, every agent \
             offered in each",
            flags.agents, flags.frameworks, flags.rounds
        )],
    })
}

/// A ledger with connected agents and subscribed frameworks.
fn ledger(flags: &AllocatorFlags) -> Result<Offers, Failure> {
    let mut offers = Offers::new();
    let header = Header {
        version: shoal_ledger::entry::HEADER_VERSION,
        time: Instant::from_nanos(1),
        wall: Timestamp::from_nanos(1),
        principal: None,
        request: RequestId::default(),
        lowest: 0,
    };
    let agents = (0..flags.agents).map(agent);
    let frameworks = (0..flags.frameworks).map(framework);
    for (position, command) in (0..).zip(agents.chain(frameworks)) {
        let context = Context {
            index: Index(1),
            position,
            header: &header,
            incarnation: Incarnation(1),
            origin: Origin(7),
            plants: Plants::NONE,
        };
        let mut effects = Vec::new();
        offers
            .apply(&context, command, &mut effects)
            .map_err(failed)?;
    }
    Ok(offers)
}

fn agent(number: u32) -> OffersCommand {
    let name = format!("node-{number}");
    let resources = "cpus:16;mem:65536;disk:500000;ports:[31000-32000]";
    let hello = Hello {
        info: AgentInfo {
            node: NodeId(u128::from(number) + 1),
            name: Name::new(&name).expect("the name is well formed"),
            http: HostPort::new("127.0.0.1", 5051),
            resources: Resources::parse(resources).expect("the text is well formed"),
            attributes: Vec::new(),
            version: Arc::from(env!("CARGO_PKG_VERSION")),
        },
        generation: Generation(1),
        number: 1,
        cluster: None,
        agent: None,
        fence: Fence::default(),
        tasks: Vec::new(),
    };
    OffersCommand::SessionOpened {
        hello: Box::new(hello),
        master: NodeId(1),
    }
}

fn framework(number: u32) -> OffersCommand {
    let role = Role::new(&format!("role-{number}")).expect("the role is well formed");
    let info = FrameworkInfo {
        id: None,
        name: Arc::from("bench"),
        user: Arc::from("nobody"),
        principal: None,
        roles: BTreeSet::from([role]),
        suppressed: BTreeSet::new(),
        capabilities: BTreeSet::new(),
        failover_timeout: Duration::from_secs(60),
        raw: Bytes::new(),
    };
    OffersCommand::Subscribed {
        subscribe: Box::new(Subscribe {
            info,
            stream: StreamId(u128::from(number) + 1),
        }),
        holder: NodeId(1),
    }
}
