//! How a machine begins: what the disk held is checked, and Raft is made to continue from it.

use std::collections::{BTreeMap, VecDeque};

use raft::eraftpb::Entry;
use raft::{RawNode, ReadOnlyOption};
use shoal_api::{Index, Instant, Term};
use thiserror::Error;

use super::Quorum;
use crate::config::{Config, ConfigError};
use crate::election::{ElectionClock, Hint};
use crate::entry::{LogEntry, Recovered, RecoveryError, Snapshot};
use crate::limits;
use crate::membership::Membership;
use crate::output::Output;
use crate::persistence::Persistence;
use crate::reads::Reads;
use crate::receiving::Receiving;
use crate::sending::Sending;
use crate::status::{RaftRole, Stats, Status};
use crate::tail::Tail;
use crate::wire;

/// Why a machine was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartError {
    /// The configuration is not possible.
    #[error("quorum configuration: {0}")]
    Config(#[from] ConfigError),
    /// The disk holds no log that can be continued.
    #[error("quorum log: {0}")]
    Recovery(#[from] RecoveryError),
}

/// A log that can be continued.
pub(super) struct Sound {
    pub(super) tail: Tail,
    pub(super) membership: Membership,
    snapshot: Option<Snapshot>,
    pub(super) snapshot_index: u64,
    /// It holds nothing but its own founding.
    fresh: bool,
    pub(super) term: Term,
}

fn check_order(entries: &[LogEntry]) -> Result<(), RecoveryError> {
    for pair in entries.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if after.index != before.index.next() {
            return Err(RecoveryError::Gap {
                expected: before.index.next(),
                found: after.index,
            });
        }
        if after.term < before.term {
            return Err(RecoveryError::TermFalls {
                index: after.index,
                term: after.term,
                before: before.term,
            });
        }
    }
    Ok(())
}

/// Joins snapshot and log. A crash between writing a received snapshot and voiding the log that it
/// replaces leaves entries that the snapshot contradicts or overtakes: they are dropped here, since
/// nobody was told that they exist.
pub(super) fn join(recovered: Recovered) -> Result<Sound, RecoveryError> {
    let Recovered {
        mut hard_state,
        snapshot,
        mut entries,
    } = recovered;
    check_order(&entries)?;
    let (at, term) = snapshot
        .as_ref()
        .map_or((Index(0), Term(0)), |s| (s.index, s.term));
    if let Some(first) = entries.first().map(|entry| entry.index)
        && first > at.next()
    {
        return Err(RecoveryError::Unconnected {
            first,
            snapshot: at,
        });
    }
    let overtaken = entries.last().is_some_and(|last| last.index < at);
    let contradicted = entries.iter().any(|e| e.index == at && e.term != term);
    if overtaken || contradicted {
        entries.clear();
    }
    let mut base = (at, term);
    if entries.first().is_some_and(|first| first.index <= at) {
        let first = entries.remove(0);
        base = (first.index, first.term);
    }
    if hard_state.term < term {
        hard_state.term = term;
        hard_state.vote = None;
    }
    let last = entries.last().map_or(base, |last| (last.index, last.term));
    if last.1 > hard_state.term {
        return Err(RecoveryError::HardStateBehind {
            hard_state: hard_state.term,
            log: last.1,
        });
    }
    hard_state.commit = hard_state.commit.clamp(at, last.0);
    let membership = snapshot
        .as_ref()
        .map(|s| s.membership.clone())
        .unwrap_or_default();
    let entries: VecDeque<Entry> = entries.iter().map(wire::raft_entry).collect();
    Ok(Sound {
        tail: Tail::new(
            wire::raft_hard_state(&hard_state),
            &membership,
            base.0.0,
            base.1.0,
            entries,
        ),
        fresh: last == (Index(1), Term(1)) && hard_state.term == Term(1),
        snapshot_index: at.0,
        term: hard_state.term,
        membership,
        snapshot,
    })
}

pub(super) fn raft_config(config: &Config, applied: u64) -> raft::Config {
    raft::Config {
        id: config.id.0,
        election_tick: config.election_ticks as usize,
        heartbeat_tick: config.heartbeat_ticks as usize,
        applied,
        max_size_per_msg: limits::APPEND_BYTES as u64,
        max_inflight_msgs: limits::APPENDS_IN_FLIGHT,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        batch_append: true,
        // Raft drops what would exceed this; the machine refuses earlier, and tells.
        max_uncommitted_size: 2 * limits::UNCOMMITTED_BYTES as u64,
        max_committed_size_per_ready: limits::APPLY_BYTES as u64,
        ..raft::Config::default()
    }
}

impl Quorum {
    /// A replica that continues from what its disk holds.
    ///
    /// # Errors
    /// [`StartError`] when the configuration or the recovered state is not possible.
    pub fn new(config: Config, now: Instant, recovered: Recovered) -> Result<Quorum, StartError> {
        config.check()?;
        let sound = join(recovered)?;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raft_config = raft_config(&config, sound.snapshot_index);
        let raw = RawNode::new(&raft_config, sound.tail, &logger)
            .map_err(|error| RecoveryError::Refused(error.to_string()))?;
        let raft_state = raw.raft.hard_state();
        let status = Status {
            id: config.id,
            leader: None,
            term: sound.term,
            role: RaftRole::Follower,
            membership: sound.membership.clone(),
        };
        let mut quorum = Quorum {
            raw,
            now,
            next_tick: now + config.tick,
            clock: ElectionClock::new(config.seed, config.id, config.election_ticks),
            hint: None,
            outputs: VecDeque::new(),
            handed_out: (Index(0), Term(0)),
            dirty: true,
            proposals: Vec::new(),
            proposal_bytes: 0,
            disk_full: false,
            persistence: Persistence::default(),
            voted: raft_state,
            reads: Reads::new(config.id, config.generation),
            sending: Sending::default(),
            receiving: Receiving::default(),
            installing: None,
            image: None,
            snapshot_wanted: false,
            snapshot_index: sound.snapshot_index,
            snapshot_saved: sound.snapshot_index,
            memberships: vec![(sound.snapshot_index, sound.membership)],
            transferring: false,
            gave_way: None,
            heard: BTreeMap::new(),
            confirmed: None,
            status: status.clone(),
            stats: Stats::default(),
            config,
        };
        quorum.settle();
        if let Some(snapshot) = sound.snapshot {
            quorum.restore_state(snapshot);
        }
        quorum.outputs.push_back(Output::Status(status));
        if sound.fresh || quorum.raw.raft.prs().is_singleton() {
            quorum.hint = Some(Hint::new(now, quorum.rank(None)));
        }
        Ok(quorum)
    }

    /// Hands an image to the state machine; the empty one of a founding is what it starts from.
    pub(super) fn restore_state(&mut self, snapshot: Snapshot) {
        if snapshot.chunks.is_empty() {
            self.handed_out = (snapshot.index, snapshot.term);
            return;
        }
        self.outputs.push_back(Output::Restore {
            index: snapshot.index,
            term: snapshot.term,
            membership: snapshot.membership,
            chunks: snapshot.chunks,
        });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shoal_api::{Generation, RaftId};

    use super::*;
    use crate::entry::{EntryKind, HardState, found};

    fn entry(index: u64, term: u64) -> LogEntry {
        LogEntry {
            index: Index(index),
            term: Term(term),
            kind: EntryKind::Data,
            data: Bytes::from_static(b"x"),
        }
    }

    fn snapshot(index: u64, term: u64) -> Snapshot {
        Snapshot {
            index: Index(index),
            term: Term(term),
            membership: Membership::of(&[RaftId(1), RaftId(2), RaftId(3)]),
            chunks: [Bytes::from_static(b"image")].into(),
        }
    }

    fn start(
        snapshot: Option<Snapshot>,
        term: u64,
        commit: u64,
        entries: Vec<LogEntry>,
    ) -> Result<Quorum, StartError> {
        let hard_state = HardState {
            term: Term(term),
            vote: None,
            commit: Index(commit),
        };
        let recovered = Recovered {
            hard_state,
            snapshot,
            entries,
        };
        let config = Config::new(RaftId(1), Generation(1), 1);
        Quorum::new(config, Instant::ZERO, recovered)
    }

    #[test]
    fn a_log_continues_after_its_snapshot() {
        let log = (3..=9).map(|i| entry(i, 2)).collect();
        let mut quorum = start(Some(snapshot(5, 2)), 4, 7, log).unwrap();
        assert_eq!(quorum.last_index(), Index(9));
        let restored = quorum.poll_output();
        assert!(matches!(
            restored,
            Some(Output::Restore {
                index: Index(5),
                ..
            })
        ));
        assert_eq!(quorum.applied(), Index(5));
        let mut applied = Vec::new();
        while let Some(output) = quorum.poll_output() {
            if let Output::Apply { index, .. } = output {
                assert_eq!(quorum.applied(), index, "what waits is not handed out");
                applied.push(index.0);
            }
        }
        assert_eq!(applied, [6, 7]);
    }

    #[test]
    fn what_a_received_snapshot_overtook_is_dropped() {
        let log = vec![entry(3, 1), entry(4, 1)];
        assert_eq!(
            start(Some(snapshot(9, 5)), 1, 4, log).unwrap().last_index(),
            Index(9)
        );
        let log = (8..=12).map(|i| entry(i, 4)).collect();
        assert_eq!(
            start(Some(snapshot(9, 5)), 4, 8, log).unwrap().last_index(),
            Index(9)
        );
    }

    #[test]
    fn a_log_that_lost_something_is_refused() {
        let refused = |snapshot, term, log: Vec<LogEntry>| match start(snapshot, term, 0, log) {
            Err(StartError::Recovery(error)) => error,
            other => panic!("not refused: {other:?}"),
        };
        let gap = refused(Some(snapshot(5, 2)), 2, vec![entry(6, 2), entry(8, 2)]);
        assert!(matches!(gap, RecoveryError::Gap { .. }));
        let far = refused(Some(snapshot(5, 2)), 2, vec![entry(7, 2)]);
        assert!(matches!(far, RecoveryError::Unconnected { .. }));
        let falls = refused(Some(snapshot(5, 2)), 3, vec![entry(6, 3), entry(7, 2)]);
        assert!(matches!(falls, RecoveryError::TermFalls { .. }));
        let behind = refused(Some(snapshot(5, 2)), 2, vec![entry(6, 3)]);
        assert!(matches!(behind, RecoveryError::HardStateBehind { .. }));
    }

    #[test]
    fn an_empty_disk_is_a_learner_to_be() {
        let config = Config::new(RaftId(9), Generation(1), 1);
        let mut quorum = Quorum::new(config, Instant::ZERO, Recovered::default()).unwrap();
        for _ in 0..200 {
            let now = quorum.next_deadline().unwrap();
            quorum.step(now, crate::Input::Wake);
            while let Some(output) = quorum.poll_output() {
                assert!(matches!(output, Output::Status(_)), "{output:?}");
            }
        }
        assert_eq!(quorum.status().role, RaftRole::Follower);
    }

    #[test]
    fn founders_agree_on_the_first_entry() {
        let a = found(&[RaftId(2), RaftId(1), RaftId(2)]);
        assert_eq!(a, found(&[RaftId(1), RaftId(2)]));
        assert_eq!(a.hard_state.commit, Index(1));
    }
}
