//! From the leader's SIGKILL, or its SIGSTOP, to the next committed accept, at whoever leads then.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shoal_api::HostPort;
use shoal_master::{Forwarded, Outcome};

use super::Measured;
use super::cluster::{Cluster, Plan};
use super::conditions::milliseconds;
use super::figure::{Figure, median, part};
use super::flags::FailoverFlags;
use super::guest::{self, Guest, failed};
use super::ledger::Player;
use crate::cli::Failure;

/// How often the accept is offered to every master that is left. Ours.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is done to the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// Its connections break, so it is missed at once.
    Kill,
    /// It falls silent, and comes back after the round.
    Stop,
}

/// Runs the measurement.
///
/// # Errors
/// What kept it from being made.
pub(super) async fn run(flags: &FailoverFlags) -> Result<Measured, Failure> {
    let plan = Plan {
        masters: flags.masters,
        agents: 0,
        resources: None,
    };
    let cluster = Cluster::start(plan, &flags.cluster).await?;
    let measured = measure(flags, &cluster).await;
    cluster.end().await?;
    let (kills, stops) = measured?;
    let list = |name: &str, gaps: &[f64]| {
        let all: Vec<String> = gaps.iter().map(|gap| format!("{gap:.0}")).collect();
        format!("{name}, in ms: {}", all.join(" "))
    };
    let mut figures = Vec::new();
    let mut setup = vec![format!(
        "{} masters as processes on loopback, fsync on; from the signal to the next committed \
         command, offered to every other master every {} ms; the dead one is started again, the \
         stopped one goes on",
        flags.masters,
        ASK_EVERY.as_millis()
    )];
    if !kills.is_empty() {
        figures.push(Figure::new("failover.kill_median", median(&kills), "ms"));
        figures.push(Figure::new("failover.kill_worst", part(&kills, 100), "ms"));
        setup.push(list("SIGKILL", &kills));
    }
    if !stops.is_empty() {
        figures.push(Figure::new("failover.stop_median", median(&stops), "ms"));
        figures.push(Figure::new("failover.stop_worst", part(&stops, 100), "ms"));
        setup.push(list("SIGSTOP", &stops));
    }
    Ok(Measured { figures, setup })
}

async fn measure(
    flags: &FailoverFlags,
    cluster: &Cluster,
) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let leader = cluster.leader().await?;
    let agents = guest::play_agents(1, std::slice::from_ref(&leader.peer)).await?;
    let guest = Guest::new()?;
    let mut connection = guest.dial(&leader.peer).await?;
    let mut player = Player::subscribe(guest, &mut connection, agents).await?;
    let making = player.make();
    let made = guest::one(&mut connection, making).await?;
    player.made(&made)?;
    let (mut kills, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..flags.rounds {
        kills.push(strike(cluster, &mut player, Blow::Kill).await?);
    }
    for _ in 0..flags.stops {
        stops.push(strike(cluster, &mut player, Blow::Stop).await?);
    }
    Ok((kills, stops))
}

/// One round: how long, in milliseconds, until something is committed again.
async fn strike(cluster: &Cluster, player: &mut Player, blow: Blow) -> Result<f64, Failure> {
    cluster.whole().await?;
    let leader = cluster.leader().await?;
    let left: Vec<HostPort> = cluster
        .peers()
        .into_iter()
        .filter(|peer| *peer != leader.peer)
        .collect();
    let command = player
        .accept()
        .ok_or_else(|| failed("too few offers for the rounds"))?;
    let pid = rustix::process::Pid::from_raw(leader.pid).ok_or_else(|| failed("no such pid"))?;
    let signal = |signal| rustix::process::kill_process(pid, signal).map_err(failed);
    let struck = Instant::now();
    signal(match blow {
        Blow::Kill => Signal::KILL,
        Blow::Stop => Signal::STOP,
    })?;
    // A dead master's agents lose their offers, so an accept that is refused counts as committed too.
    let outcome = anybody(&player.guest, &left, command).await;
    let gap = struck.elapsed();
    if blow == Blow::Stop {
        signal(Signal::CONT)?;
    }
    outcome?;
    Ok(milliseconds(gap))
}

/// Offers one command to every master until one of them says that it is in the ledger; the command
/// keeps its request id, so it takes effect once.
async fn anybody(guest: &Guest, left: &[HostPort], command: Forwarded) -> Result<Outcome, Failure> {
    let (found, mut outcomes) = tokio::sync::mpsc::channel(1);
    let mut asking = tokio::task::JoinSet::new();
    for to in left {
        let (guest, to, command, found) =
            (guest.clone(), to.clone(), command.clone(), found.clone());
        asking.spawn(async move {
            loop {
                if let Ok(outcome) = ask(&guest, &to, &command).await {
                    // Another master may have answered first.
                    drop(found.send(outcome).await);
                    return;
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
    }
    drop(found);
    let answer = tokio::time::timeout(PATIENCE, outcomes.recv()).await;
    answer
        .map_err(|_| failed("no master committed anything for 30 s"))?
        .ok_or_else(|| failed("no master is left"))
}

async fn ask(guest: &Guest, to: &HostPort, command: &Forwarded) -> Result<Outcome, Failure> {
    let mut connection = guest.dial(to).await?;
    let counter = command.request.counter;
    loop {
        let payload = guest::forward(counter, vec![command.clone()]);
        connection
            .writer
            .write(&mut vec![payload])
            .await
            .map_err(failed)?;
        let next = tokio::time::timeout(ASK_EVERY, connection.reader.next()).await;
        let Ok(payload) = next else { continue };
        let payload = payload.map_err(failed)?.ok_or_else(|| failed("closed"))?;
        let told = guest::outcomes(&payload)
            .into_iter()
            .find(|(of, _)| *of == counter);
        if let Some((_, outcome)) = told {
            return Ok(outcome);
        }
    }
}
