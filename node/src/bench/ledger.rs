//! Committed accepts per second: one accept of one task each, through the peer port of the leader.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use shoal_api::{AgentId, FrameworkId, OfferId, Origin, StreamId};
use shoal_master::{Forwarded, Outcome};

use super::cluster::Cluster;
use super::guest::{self, Guest, failed};
use crate::cli::flags::BenchLedgerFlags;
use crate::cli::{Failure, print_text};
use crate::peer::Connection;

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

/// Runs the measurement and prints it.
///
/// # Errors
/// What kept it from being made.
pub async fn run(flags: &BenchLedgerFlags) -> Result<(), Failure> {
    let cluster = Cluster::start(flags.masters, flags.http, flags.data.as_deref()).await?;
    let measured = measure(flags, &cluster).await;
    cluster.end().await?;
    let Measured {
        accepts,
        elapsed,
        mut latencies,
    } = measured?;
    latencies.sort_unstable();
    let at = |part: usize| latencies[(latencies.len() - 1) * part / 100].as_secs_f64() * 1e3;
    print_text(&format!(
        "ledger: {:.0} committed accepts/s over {:.1} s ({accepts} accepts of one task each)\n\
         latency: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
         conditions: {} masters as processes on loopback, fsync on, {} agents with sessions, \
         {} in flight, through the peer port\n",
        accepts as f64 / elapsed.as_secs_f64(),
        elapsed.as_secs_f64(),
        at(50),
        at(99),
        at(100),
        flags.masters,
        flags.agents,
        flags.in_flight,
    ))
}

struct Measured {
    accepts: u64,
    elapsed: Duration,
    latencies: Vec<Duration>,
}

async fn measure(flags: &BenchLedgerFlags, cluster: &Cluster) -> Result<Measured, Failure> {
    let leader = cluster.leader().await?;
    let agents = guest::play_agents(flags.agents, &cluster.peers()).await?;
    let guest = Guest::new()?;
    let mut connection = guest.dial(&leader.peer).await?;
    let mut player = Player::subscribe(guest, &mut connection, agents).await?;
    let mut making: Option<u64> = None;
    let mut flying: BTreeMap<u64, Instant> = BTreeMap::new();
    let start = Instant::now();
    let counts_from = start + WARM_UP;
    let until = counts_from + flags.duration;
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
        while now < until && flying.len() < flags.in_flight as usize {
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
                    latencies.push(sent.elapsed());
                }
            }
        }
    }
    let elapsed = counts_from.elapsed();
    if latencies.is_empty() {
        return Err(failed(
            "no accept was committed in the time of the measurement",
        ));
    }
    Ok(Measured {
        accepts: latencies.len() as u64,
        elapsed,
        latencies,
    })
}

/// An accept that launched its task.
pub(super) fn is_accepted(outcome: &Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Offers(Ok(shoal_offers::Outcome::Accepted {
            launched,
            refused: 0,
        })) if launched.len() == 1 => Ok(()),
        other => Err(failed(format!("an accept launched nothing: {other:?}"))),
    }
}
