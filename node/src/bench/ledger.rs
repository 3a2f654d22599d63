//! Committed accepts per second: one accept of one task each, through the peer port of the leader.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use shoal_api::{AgentId, FrameworkId, OfferId, Origin, StreamId};
use shoal_master::{Forwarded, Outcome};

use super::cluster::{Cluster, Plan};
use super::conditions::milliseconds;
use super::figure::{Figure, median, part};
use super::flags::LedgerFlags;
use super::guest::{self, Guest, failed};
use super::{Measured, floor};
use crate::cli::Failure;
use crate::peer::Connection;

/// An accept as small as one can be.
const RECORD_BYTES: usize = 128;
/// How long accepts run before they count.
const WARM_UP: Duration = Duration::from_secs(2);
/// Offers made by one command, and kept in store at least.
const OFFERS: usize = 4_096;

/// A framework with offers in store.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) guest: Guest,
    pub(super) framework: FrameworkId,
    pub(super) stream: StreamId,
    origin: Origin,
    agents: Vec<AgentId>,
    made: u64,
    store: VecDeque<(OfferId, AgentId)>,
}

impl Player {
    /// Subscribes at a fresh cluster's leader, over a connection that the guest opened.
    ///
    /// # Errors
    /// The leader refuses, or the connection breaks.
    pub(super) async fn subscribe(
        mut guest: Guest,
        connection: &mut Connection,
        agents: BTreeMap<u32, AgentId>,
    ) -> Result<Player, Failure> {
        let stream = StreamId(7);
        let command = guest.command(guest::subscribe(guest.node(), stream));
        let framework = match guest::one(connection, command).await? {
            Outcome::Offers(Ok(shoal_offers::Outcome::Subscribed { framework })) => framework,
            other => {
                return Err(failed(format!(
                    "the framework is not subscribed: {other:?}"
                )));
            }
        };
        let agents: Vec<AgentId> = agents.into_values().collect();
        let origin = agents
            .first()
            .ok_or_else(|| failed("there are no agents"))?
            .origin;
        Ok(Player {
            guest,
            framework,
            stream,
            origin,
            agents,
            made: 0,
            store: VecDeque::new(),
        })
    }

    /// Whether more offers are to be made.
    fn is_short(&self) -> bool {
        self.store.len() < OFFERS
    }

    /// A command that makes more offers; they may be used once it is applied.
    pub(super) fn make(&mut self) -> Forwarded {
        let command = guest::offers(&self.framework, &self.agents, OFFERS);
        self.guest.command(command)
    }

    /// The offers of the last [`Player::make`] are out: on a fresh cluster their numbers ascend.
    pub(super) fn made(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let Outcome::Offers(Ok(shoal_offers::Outcome::OffersMade { made, skipped: 0 })) = outcome
        else {
            return Err(failed(format!("offers are not made: {outcome:?}")));
        };
        for at in 0..u64::from(*made) {
            let id = OfferId {
                origin: self.origin,
                number: self.made + at,
            };
            self.store
                .push_back((id, self.agents[at as usize % self.agents.len()]));
        }
        self.made += u64::from(*made);
        Ok(())
    }

    /// The next accept, if there is an offer left.
    pub(super) fn accept(&mut self) -> Option<Forwarded> {
        let (offer, agent) = self.store.pop_front()?;
        let command = guest::accept(&self.framework, self.stream, offer, agent);
        Some(self.guest.command(command))
    }
}

/// Runs the measurement.
///
/// # Errors
/// What kept it from being made.
pub(super) async fn run(flags: &LedgerFlags) -> Result<Measured, Failure> {
    let plan = Plan {
        masters: flags.masters,
        agents: 0,
        resources: None,
    };
    let cluster = Cluster::start(plan, &flags.cluster).await?;
    let single = floor::durable_write(cluster.folder(), 1);
    let group = floor::durable_write(cluster.folder(), flags.in_flight as usize * RECORD_BYTES);
    let measured = measure_both(flags, &cluster).await;
    cluster.end().await?;
    let (many, one) = measured?;
    let bound = f64::from(flags.in_flight) * 1e3 / group?;
    Ok(Measured {
        figures: vec![
            Figure::new("ledger.throughput", many.rate, "accepts/s").beside(
                "that many small records in one durable write after the other",
                bound,
            ),
            Figure::new("ledger.latency_median", median(&many.latencies), "ms"),
            Figure::new("ledger.latency_p99", part(&many.latencies, 99), "ms"),
            Figure::new("ledger.one_median", median(&one.latencies), "ms")
                .beside("one durable write", single?),
            Figure::new("ledger.one_p99", part(&one.latencies, 99), "ms"),
        ],
        setup: vec![format!(
            "{} masters as processes on loopback, fsync on; {} agents with sessions; accepts of \
             one task each through the leader's peer port, {} in flight for {:.0} s, then one at a \
             time",
            flags.masters,
            flags.agents,
            flags.in_flight,
            flags.duration.as_secs_f64()
        )],
    })
}

struct Counted {
    rate: f64,
    latencies: Vec<f64>,
}

async fn measure_both(
    flags: &LedgerFlags,
    cluster: &Cluster,
) -> Result<(Counted, Counted), Failure> {
    let leader = cluster.leader().await?;
    let agents = guest::play_agents(flags.agents, &cluster.peers()).await?;
    let guest = Guest::new()?;
    let mut connection = guest.dial(&leader.peer).await?;
    let mut player = Player::subscribe(guest, &mut connection, agents).await?;
    let many = measure(
        &mut player,
        &mut connection,
        flags.in_flight,
        flags.duration,
    )
    .await?;
    let one = measure(&mut player, &mut connection, 1, flags.duration / 2).await?;
    Ok((many, one))
}

async fn measure(
    player: &mut Player,
    connection: &mut Connection,
    in_flight: u32,
    duration: Duration,
) -> Result<Counted, Failure> {
    let mut making: Option<u64> = None;
    let mut flying: BTreeMap<u64, Instant> = BTreeMap::new();
    let start = Instant::now();
    let counts_from = start + WARM_UP;
    let until = counts_from + duration;
    let mut latencies = Vec::new();
    loop {
        let now = Instant::now();
        if now >= until && flying.is_empty() {
            break;
        }
        let mut commands = Vec::new();
        if player.is_short() && making.is_none() {
            let command = player.make();
            making = Some(command.request.counter);
            commands.push(command);
        }
        while now < until && flying.len() < in_flight as usize {
            let Some(command) = player.accept() else {
                break;
            };
            flying.insert(command.request.counter, now);
            commands.push(command);
        }
        if !commands.is_empty() {
            let first = commands[0].request.counter;
            let oldest = flying.keys().next().copied().unwrap_or(first);
            let lowest = oldest.min(making.unwrap_or(oldest));
            connection
                .writer
                .write(&mut vec![guest::forward(lowest, commands)])
                .await
                .map_err(failed)?;
        }
        let payload = connection.reader.next().await.map_err(failed)?;
        let payload = payload.ok_or_else(|| failed("the leader closed the connection"))?;
        for (counter, outcome) in guest::outcomes(&payload) {
            if making == Some(counter) {
                making = None;
                player.made(&outcome)?;
            } else if let Some(sent) = flying.remove(&counter) {
                is_accepted(&outcome)?;
                if sent >= counts_from {
                    latencies.push(milliseconds(sent.elapsed()));
                }
            }
        }
    }
    if latencies.is_empty() {
        return Err(failed(
            "no accept was committed in the time of the measurement",
        ));
    }
    Ok(Counted {
        rate: latencies.len() as f64 / counts_from.elapsed().as_secs_f64(),
        latencies,
    })
}

/// An accept that launched its task.
fn is_accepted(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Offers(Ok(shoal_offers::Outcome::Accepted {
            launched,
            refused: 0,
        })) if launched.len() == 1 => Ok(()),
        other => Err(failed(format!("an accept launched nothing: {other:?}"))),
    }
}
