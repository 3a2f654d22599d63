//! What an operator forces on the log of a stopped replica: to go on alone, without a majority.
//!
//! Nothing here is written: the batch that makes it so is given to the caller. Appended whole, it is
//! the one step that forces; the log before it stays as it was.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use raft::RawNode;
use raft::eraftpb::ConfChangeType;
use shoal_api::{Generation, Index, RaftId, Term};

use super::start::{StartError, join, raft_config};
use crate::config::Config;
use crate::entry::{Batch, EntryKind, HardState, LogEntry, Recovered, RecoveryError};
use crate::membership::Membership;
use crate::wire::{self, ChangeFrame};

/// What a stopped replica's disk says of the quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The membership once everything in the log is taken for committed.
    pub membership: Membership,
    /// The last entry in the log, or that of the snapshot.
    pub last: Index,
    /// The latest term that the replica saw.
    pub term: Term,
    /// How far the replica knew the log to be committed; at most `last`.
    pub committed: Index,
}

impl Recovered {
    /// Looks at the log of the stopped replica `id`.
    ///
    /// # Errors
    /// It cannot be continued.
    pub fn survey(&self, id: RaftId) -> Result<Survey, StartError> {
        Ok(Replayed::of(self.clone(), id)?.survey)
    }

    /// The batch that makes `id` the only voter: everything in the log is taken for committed, all
    /// others are removed for ever, and the command, the bytes of an entry, follows in a term of its own.
    ///
    /// # Errors
    /// The log cannot be continued.
    pub fn force_alone(&self, id: RaftId, command: Bytes) -> Result<Batch, StartError> {
        let mut replayed = Replayed::of(self.clone(), id)?;
        let term = replayed.survey.term.next();
        let mut changes = Vec::new();
        if replayed.survey.membership.is_joint() {
            changes.push(ChangeFrame::leave());
        }
        for change in &changes {
            replayed.change(&change.bytes());
        }
        let membership = replayed.survey.membership.clone();
        let others = membership
            .members()
            .into_iter()
            .filter(|other| *other != id);
        let mut singles: Vec<_> = others
            .map(|other| (ConfChangeType::RemoveNode, other))
            .collect();
        if !membership.voters.contains(&id) {
            singles.push((ConfChangeType::AddNode, id));
        }
        if !singles.is_empty() {
            let alone = [ChangeFrame::enter(&singles), ChangeFrame::leave()];
            for change in &alone {
                replayed.change(&change.bytes());
            }
            changes.extend(alone);
        }
        assert_eq!(
            replayed.survey.membership.voters,
            [id],
            "quorum: a forced change leaves one voter"
        );
        let changes = changes
            .iter()
            .map(|change| (EntryKind::Membership, change.bytes()));
        let all = changes.chain(std::iter::once((EntryKind::Data, command)));
        let mut index = replayed.survey.last;
        let entries: Vec<LogEntry> = all
            .map(|(kind, data)| {
                index = index.next();
                LogEntry {
                    index,
                    term,
                    kind,
                    data,
                }
            })
            .collect();
        Ok(Batch {
            hard_state: Some(HardState {
                term,
                vote: None,
                commit: index,
            }),
            entries,
            snapshot: None,
        })
    }
}

/// A log with its changes of the membership applied to Raft's own bookkeeping.
struct Replayed {
    raw: RawNode<crate::tail::Tail>,
    survey: Survey,
}

impl Replayed {
    fn of(recovered: Recovered, id: RaftId) -> Result<Replayed, StartError> {
        let config = Config::new(id, Generation(1), 0);
        let known = recovered.hard_state.commit;
        let entries: BTreeMap<Index, (EntryKind, Bytes)> = recovered
            .entries
            .iter()
            .map(|entry| (entry.index, (entry.kind, entry.data.clone())))
            .collect();
        let sound = join(recovered)?;
        let (last, snapshot) = (Index(sound.tail.last()), Index(sound.snapshot_index));
        let (term, membership) = (sound.term, sound.membership);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&raft_config(&config, snapshot.0), sound.tail, &logger);
        let mut replayed = Replayed {
            raw: raw.map_err(|error| RecoveryError::Refused(error.to_string()))?,
            survey: Survey {
                membership,
                last,
                term,
                committed: known.clamp(snapshot, last),
            },
        };
        for (index, (kind, data)) in entries {
            if kind == EntryKind::Membership && index > snapshot && index <= last {
                replayed.change(&data);
            }
        }
        Ok(replayed)
    }

    /// Applies a change as every replica does: what is not possible changes nothing.
    fn change(&mut self, data: &Bytes) {
        let Some(change) = wire::change_from(data) else {
            return;
        };
        if let Ok(state) = self.raw.apply_conf_change(&change) {
            self.survey.membership = wire::membership(&state, &self.survey.membership);
        }
    }
}

impl ChangeFrame {
    fn bytes(&self) -> Bytes {
        Bytes::from(self.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::found;
    use crate::{Applied, Input, Output, Quorum, RaftRole};
    use shoal_api::Instant;

    fn recovered(entries: Vec<LogEntry>) -> Recovered {
        let ids = [RaftId(1), RaftId(2), RaftId(3)];
        let mut recovered = found(&ids);
        recovered.entries = entries;
        recovered.hard_state.term = Term(3);
        recovered
    }

    fn entry(index: u64, kind: EntryKind, data: Bytes) -> LogEntry {
        LogEntry {
            index: Index(index),
            term: Term(2),
            kind,
            data,
        }
    }

    /// Starts a replica from a log and its forced end, and says what it applied and who it became.
    fn start(mut recovered: Recovered, id: RaftId) -> (Vec<Bytes>, Membership) {
        let batch = recovered
            .force_alone(id, Bytes::from_static(b"forced"))
            .unwrap();
        recovered.entries.extend(batch.entries);
        recovered.hard_state = batch.hard_state.unwrap();
        let mut quorum =
            Quorum::new(Config::new(id, Generation(2), 7), Instant::ZERO, recovered).unwrap();
        let mut applied = Vec::new();
        for _ in 0..200 {
            while let Some(output) = quorum.poll_output() {
                match output {
                    Output::Apply {
                        kind: Applied::Data(data),
                        ..
                    } => applied.push(data),
                    Output::Persist { ticket, .. } => {
                        let now = quorum.next_deadline().unwrap();
                        quorum.step(now, Input::Persisted { ticket });
                    }
                    _ => {}
                }
            }
            let now = quorum.next_deadline().unwrap();
            quorum.step(now, Input::Wake);
        }
        assert_eq!(quorum.status().role, RaftRole::Leader);
        (applied, quorum.status().membership.clone())
    }

    #[test]
    fn a_survivor_goes_on_alone_with_all_it_has() {
        let data = entry(2, EntryKind::Data, Bytes::from_static(b"kept"));
        let recovered = recovered(vec![data]);
        let survey = recovered.survey(RaftId(2)).unwrap();
        assert_eq!(
            (survey.last, survey.term, survey.committed),
            (Index(2), Term(3), Index(1))
        );
        let (applied, membership) = start(recovered, RaftId(2));
        assert_eq!(applied, [&b"kept"[..], b"forced"]);
        assert_eq!(membership.voters, [RaftId(2)]);
        assert_eq!(membership.removed, [RaftId(1), RaftId(3)]);
    }

    #[test]
    fn a_change_that_was_under_way_is_ended_first() {
        let joint = ChangeFrame::enter(&[
            (ConfChangeType::AddNode, RaftId(4)),
            (ConfChangeType::RemoveNode, RaftId(1)),
        ]);
        let recovered = recovered(vec![entry(2, EntryKind::Membership, joint.bytes())]);
        assert!(recovered.survey(RaftId(3)).unwrap().membership.is_joint());
        let (_, membership) = start(recovered, RaftId(3));
        assert_eq!(membership.voters, [RaftId(3)]);
        assert_eq!(membership.removed, [RaftId(1), RaftId(2), RaftId(4)]);
    }

    #[test]
    fn a_learner_can_be_the_survivor() {
        let learner = ChangeFrame::simple(ConfChangeType::AddLearnerNode, RaftId(9));
        let recovered = recovered(vec![entry(2, EntryKind::Membership, learner.bytes())]);
        let (_, membership) = start(recovered, RaftId(9));
        assert_eq!(membership.voters, [RaftId(9)]);
        assert!(membership.learners.is_empty());
    }
}
