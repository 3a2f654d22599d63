//! From SIGKILL of the leader to the next committed accept, at whoever leads then.

use std::time::{Duration, Instant};

use shoal_api::HostPort;
use shoal_master::{Forwarded, Outcome};

use super::cluster::Cluster;
use super::guest::{self, Guest, failed};
use super::ledger::{Player, is_accepted};
use crate::cli::flags::BenchFailoverFlags;
use crate::cli::{Failure, print_text};

/// How often the accept is offered to every master that is left. Ours.
const ASK_EVERY: Duration = Duration::from_millis(2);
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the measurement and prints it.
///
/// # Errors
/// What kept it from being made.
pub async fn run(flags: &BenchFailoverFlags) -> Result<(), Failure> {
    let cluster = Cluster::start(flags.masters, flags.http, flags.data.as_deref()).await?;
    let measured = measure(flags, &cluster).await;
    cluster.end().await?;
    let mut gaps = measured?;
    gaps.sort_unstable();
    let all: Vec<String> = gaps
        .iter()
        .map(|gap| format!("{:.0}", gap.as_secs_f64() * 1e3))
        .collect();
    print_text(&format!(
        "failover: median {:.0} ms from SIGKILL of the leader to the next committed accept\n\
         all, in ms: {}\n\
         conditions: {} masters as processes on loopback, fsync on, {} kills, 1 agent with a session\n",
        gaps[gaps.len() / 2].as_secs_f64() * 1e3,
        all.join(" "),
        flags.masters,
        flags.rounds,
    ))
}

async fn measure(flags: &BenchFailoverFlags, cluster: &Cluster) -> Result<Vec<Duration>, Failure> {
    let leader = cluster.leader().await?;
    let agents = guest::play_agents(1, std::slice::from_ref(&leader.peer)).await?;
    let guest = Guest::new()?;
    let mut connection = guest.dial(&leader.peer).await?;
    let mut player = Player::subscribe(guest, &mut connection, agents).await?;
    let making = player.make();
    let made = guest::one(&mut connection, making).await?;
    player.made(&made)?;
    let mut gaps = Vec::new();
    for _ in 0..flags.rounds {
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
        let pid =
            rustix::process::Pid::from_raw(leader.pid).ok_or_else(|| failed("no such pid"))?;
        let killed = Instant::now();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).map_err(failed)?;
        // A killed agent's offers are gone, so an accept that is refused counts as committed too.
        let outcome = anybody(&player.guest, &left, command).await?;
        gaps.push(killed.elapsed());
        if gaps.len() == 1 {
            tracing::debug!(accepted = is_accepted(&outcome).is_ok(), "the first round");
        }
    }
    Ok(gaps)
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
