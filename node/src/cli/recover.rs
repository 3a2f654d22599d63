//! `shoal quorum recover`: a quorum of one out of a survivor's disk, when most masters are lost.
//!
//! What is forced is one record at the end of the log (`Recovered::force_alone`); until it is durable
//! nothing changed.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use shoal_api::Incarnation;
use shoal_disk::append;
use shoal_master::life;
use shoal_master::{Identity, MasterInfo};

use super::exit::{Exit, Failure};
use super::flags::OutputForm;
use super::list::confirm;
use super::offline::{Asked, AtRest, Life, ago, contents, failed, refuse_living};
use crate::clock;

/// Everything that the operator is to know before it is done.
struct Plan {
    rest: AtRest,
    identity: Identity,
    life: Incarnation,
    /// What the operator types to go on.
    name: String,
    others: Vec<Asked>,
    nameless: usize,
}

/// Shows what would be lost, asks, and does it.
///
/// # Errors
/// It is not needed, not possible, or not confirmed: nothing changed.
pub fn run(form: OutputForm, data: &Path, sure: bool) -> Result<(), Failure> {
    let plan = Plan::make(AtRest::read(data)?)?;
    eprint!("{}", plan.text());
    if !sure {
        ask(&plan.name)?;
    }
    let wall = clock::calendar();
    let id = plan.rest.directory.identity().raft;
    let entry = life::entry(plan.life, Some(id), wall);
    let batch = plan.rest.recovered.force_alone(id, entry);
    let batch = batch.map_err(|error| failed(&error))?;
    append(&plan.rest.directory.master(), &batch).map_err(|error| failed(&error))?;
    confirm(form, &plan.document(), &plan.next_steps(data))
}

impl Plan {
    fn make(rest: AtRest) -> Result<Plan, Failure> {
        let id = rest.directory.identity().raft;
        let replayed = &rest.replayed;
        let identity = replayed.state.charter.identity();
        let identity = identity.expect("a ledger at rest has an identity");
        let membership = &replayed.survey.membership;
        if membership.removed.contains(&id) || !membership.contains(id) {
            return Err(Failure::new(
                Exit::Failed,
                "this master was taken out of the quorum: its ledger must not go on",
                "choose the data directory of a master that was in the quorum to the end",
            ));
        }
        if membership.voters == [id] && !membership.is_joint() {
            return Err(Failure::new(
                Exit::Failed,
                "this master is the only voter of its quorum: there is nothing to recover",
                "start it as usual",
            ));
        }
        let masters: Vec<MasterInfo> = replayed.state.charter.masters().cloned().collect();
        let others = masters
            .iter()
            .filter(|info| info.raft != id && membership.contains(info.raft))
            .map(|info| (info.name.to_string(), info.http.to_string()));
        let others = refuse_living(identity.cluster, others.collect())?;
        let own = masters.iter().find(|info| info.raft == id);
        Ok(Plan {
            name: own.map_or_else(|| id.to_string(), |info| info.name.to_string()),
            life: life::next(identity.incarnation, clock::calendar()),
            nameless: membership.members().len() - 1 - others.len(),
            identity,
            others,
            rest,
        })
    }

    fn text(&self) -> String {
        let replayed = &self.rest.replayed;
        let survey = &replayed.survey;
        let written = replayed.written.map_or_else(
            || "at a time that is only in the snapshot".to_owned(),
            |written| ago(written, clock::calendar()),
        );
        let mut text = format!(
            "This forces a quorum of one out of what master {} has on this disk.\n\n\
             cluster     {}, life {}, then life {}\n\
             last entry  {} of term {}, written {written}; known to be committed up to {}\n\
             ledger      {}\n",
            self.name,
            self.identity.cluster,
            self.identity.incarnation.0,
            self.life.0,
            survey.last,
            survey.term,
            survey.committed,
            contents(&replayed.state),
        );
        for (name, http, life) in &self.others {
            let is = match life {
                Life::Silent => "does not answer",
                Life::Leaderless => "RUNS, without a leader",
                Life::Led => "has a leader",
            };
            // Writing into a text never fails.
            let _ = writeln!(text, "gives up    {name} at {http}, which {is}");
        }
        if self.nameless > 0 {
            let _ = writeln!(text, "gives up    {} more without a name", self.nameless);
        }
        if self
            .others
            .iter()
            .any(|(_, _, life)| *life == Life::Leaderless)
        {
            text.push_str(
                "\nSome of them run: if their disks are good, start the others instead, and nothing is \
                 lost.\n",
            );
        }
        text.push_str(
            "\nWhat the others acknowledged after the last entry here is lost. Their ledgers must never \
             be used again: should they come back, they are told so and halt. Tasks keep running, and \
             are found when their agents come back; what was accepted and never launched is dropped.\n",
        );
        text
    }

    fn next_steps(&self, data: &Path) -> String {
        format!(
            "\n{} is a quorum of one, in life {}.\n\
             1. Start this node as before, with --data {}.\n\
             2. On each other master: `shoal quorum reset DIR`, or an empty directory; then start it with \
             --join.\n\
             3. `shoal quorum list` shows them as learners; `shoal quorum promote NAME` gives each its \
             vote.\n",
            self.name,
            self.life.0,
            data.display()
        )
    }

    fn document(&self) -> Value {
        let survey = &self.rest.replayed.survey;
        let given_up = self.others.iter().map(|(name, _, _)| name.as_str());
        json!({
            "master": self.name,
            "cluster": self.identity.cluster.to_string(),
            "incarnation_before": self.identity.incarnation.0,
            "incarnation": self.life.0,
            "last_index": survey.last.0,
            "term": survey.term.0,
            "committed_index": survey.committed.0,
            "given_up": given_up.collect::<Vec<_>>(),
        })
    }
}

/// Has the operator type the master's name.
fn ask(name: &str) -> Result<(), Failure> {
    let unsure = || {
        Failure::new(
            Exit::Usage,
            "not confirmed: nothing was changed",
            "type the master's name when asked, or give --yes-i-lose-data",
        )
    };
    if !io::stdin().is_terminal() {
        return Err(unsure());
    }
    eprint!("\nType the name of this master, {name}, to go on: ");
    let mut line = String::new();
    let read = io::stderr()
        .flush()
        .and_then(|()| io::stdin().lock().read_line(&mut line));
    match read {
        Ok(_) if line.trim() == name => Ok(()),
        Ok(_) | Err(_) => Err(unsure()),
    }
}
