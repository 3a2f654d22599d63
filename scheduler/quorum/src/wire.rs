//! Translation between our frames and the `raft` crate's messages, and the refusal of what a peer
//! must not say.
//!
//! Raft ends the process on some messages that a correct peer never sends (a heartbeat that commits
//! beyond the log, say). [`check`] drops them before they reach it.

use bytes::Bytes;
use prost::Message as _;
use raft::eraftpb::{
    ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState, Entry,
    EntryType, Message as RaftMessage, MessageType, Snapshot,
};
use shoal_api::{Index, RaftId, Term};

use crate::entry::{EntryKind, HardState, LogEntry};
use crate::limits;
use crate::membership::Membership;
use crate::message::{EntryFrame, FrameKind, MembershipFrame, RaftFrame};

fn ids(ids: &[RaftId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

fn sorted(ids: &[u64]) -> Vec<RaftId> {
    let mut ids: Vec<RaftId> = ids.iter().copied().map(RaftId).collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn conf_state(membership: &Membership) -> ConfState {
    ConfState {
        voters: ids(&membership.voters),
        voters_outgoing: ids(&membership.outgoing),
        learners: ids(&membership.learners),
        learners_next: ids(&membership.learners_next),
        ..ConfState::default()
    }
}

/// The membership that Raft arrived at, with those who left it remembered as removed.
pub(crate) fn membership(state: &ConfState, before: &Membership) -> Membership {
    let mut after = Membership {
        voters: sorted(&state.voters),
        outgoing: sorted(&state.voters_outgoing),
        learners: sorted(&state.learners),
        learners_next: sorted(&state.learners_next),
        removed: before.removed.clone(),
    };
    for id in before.members() {
        if !after.contains(id) {
            after.removed.push(id);
        }
    }
    let excess = after.removed.len().saturating_sub(limits::REMOVED_IDS);
    after.removed.drain(..excess);
    after
}

pub(crate) fn membership_frame(membership: &Membership) -> MembershipFrame {
    MembershipFrame {
        voters: ids(&membership.voters),
        outgoing: ids(&membership.outgoing),
        learners: ids(&membership.learners),
        learners_next: ids(&membership.learners_next),
        removed: ids(&membership.removed),
    }
}

/// A membership from the wire, unless no quorum can have it.
pub(crate) fn membership_from(frame: &MembershipFrame) -> Option<Membership> {
    let membership = Membership {
        voters: sorted(&frame.voters),
        outgoing: sorted(&frame.outgoing),
        learners: sorted(&frame.learners),
        learners_next: sorted(&frame.learners_next),
        removed: frame.removed.iter().copied().map(RaftId).collect(),
    };
    let distinct = |ids: &[RaftId]| ids.windows(2).all(|pair| pair[0] < pair[1]);
    let possible = !membership.voters.is_empty()
        && membership.members().len() <= 2 * limits::MEMBERS
        && membership.removed.len() <= limits::REMOVED_IDS
        && !membership.contains(RaftId(0))
        && distinct(&membership.voters)
        && distinct(&membership.outgoing)
        && distinct(&membership.learners)
        && distinct(&membership.learners_next)
        && membership.learners.iter().all(|id| !membership.votes(*id))
        && membership
            .learners_next
            .iter()
            .all(|id| membership.outgoing.contains(id) && !membership.voters.contains(id));
    possible.then_some(membership)
}

pub(crate) fn snapshot(index: u64, term: u64, membership: &Membership) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let metadata = snapshot.mut_metadata();
    metadata.index = index;
    metadata.term = term;
    metadata.set_conf_state(conf_state(membership));
    snapshot
}

pub(crate) fn hard_state(state: &raft::eraftpb::HardState) -> HardState {
    HardState {
        term: Term(state.term),
        vote: (state.vote != 0).then_some(RaftId(state.vote)),
        commit: Index(state.commit),
    }
}

pub(crate) fn raft_hard_state(state: &HardState) -> raft::eraftpb::HardState {
    raft::eraftpb::HardState {
        term: state.term.0,
        vote: state.vote.map_or(0, |id| id.0),
        commit: state.commit.0,
        ..raft::eraftpb::HardState::default()
    }
}

fn is_membership(entry: &Entry) -> bool {
    match entry.entry_type {
        EntryType::EntryNormal => false,
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => true,
    }
}

fn entry_type(membership: bool) -> EntryType {
    if membership {
        EntryType::EntryConfChangeV2
    } else {
        EntryType::EntryNormal
    }
}

pub(crate) fn log_entry(entry: &Entry) -> LogEntry {
    LogEntry {
        index: Index(entry.index),
        term: Term(entry.term),
        kind: if is_membership(entry) {
            EntryKind::Membership
        } else {
            EntryKind::Data
        },
        data: entry.data.clone(),
    }
}

pub(crate) fn raft_entry(entry: &LogEntry) -> Entry {
    Entry {
        index: entry.index.0,
        term: entry.term.0,
        entry_type: match entry.kind {
            EntryKind::Data => EntryType::EntryNormal,
            EntryKind::Membership => EntryType::EntryConfChangeV2,
        },
        data: entry.data.clone(),
        ..Entry::default()
    }
}

/// The frame of a message; none for what a node only says to itself, and for snapshots, which
/// travel in pieces.
pub(crate) fn frame(mut message: RaftMessage) -> Option<RaftFrame> {
    let kind = match message.msg_type {
        MessageType::MsgAppend => FrameKind::Append,
        MessageType::MsgAppendResponse => FrameKind::AppendResponse,
        MessageType::MsgRequestVote => FrameKind::RequestVote,
        MessageType::MsgRequestVoteResponse => FrameKind::RequestVoteResponse,
        MessageType::MsgRequestPreVote => FrameKind::RequestPreVote,
        MessageType::MsgRequestPreVoteResponse => FrameKind::RequestPreVoteResponse,
        MessageType::MsgHeartbeat => FrameKind::Heartbeat,
        MessageType::MsgHeartbeatResponse => FrameKind::HeartbeatResponse,
        MessageType::MsgTimeoutNow => FrameKind::TimeoutNow,
        MessageType::MsgReadIndex => FrameKind::ReadIndex,
        MessageType::MsgReadIndexResp => FrameKind::ReadIndexResponse,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgSnapshot
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader => return None,
    };
    Some(RaftFrame {
        kind: kind as i32,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        commit: message.commit,
        commit_term: message.commit_term,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: std::mem::take(&mut message.context),
        entries: message
            .entries
            .into_iter()
            .map(|entry| EntryFrame {
                term: entry.term,
                index: entry.index,
                membership: is_membership(&entry),
                data: entry.data,
            })
            .collect(),
    })
}

/// Raft's message of a frame; none when the kind is unknown.
pub(crate) fn message(from: RaftId, to: RaftId, frame: RaftFrame) -> Option<RaftMessage> {
    let msg_type = match FrameKind::try_from(frame.kind).ok()? {
        FrameKind::Unknown => return None,
        FrameKind::Append => MessageType::MsgAppend,
        FrameKind::AppendResponse => MessageType::MsgAppendResponse,
        FrameKind::RequestVote => MessageType::MsgRequestVote,
        FrameKind::RequestVoteResponse => MessageType::MsgRequestVoteResponse,
        FrameKind::RequestPreVote => MessageType::MsgRequestPreVote,
        FrameKind::RequestPreVoteResponse => MessageType::MsgRequestPreVoteResponse,
        FrameKind::Heartbeat => MessageType::MsgHeartbeat,
        FrameKind::HeartbeatResponse => MessageType::MsgHeartbeatResponse,
        FrameKind::TimeoutNow => MessageType::MsgTimeoutNow,
        FrameKind::ReadIndex => MessageType::MsgReadIndex,
        FrameKind::ReadIndexResponse => MessageType::MsgReadIndexResp,
    };
    let entries: Vec<Entry> = frame
        .entries
        .into_iter()
        .map(|entry| Entry {
            entry_type: entry_type(entry.membership),
            term: entry.term,
            index: entry.index,
            data: entry.data,
            ..Entry::default()
        })
        .collect();
    Some(RaftMessage {
        msg_type,
        to: to.0,
        from: from.0,
        term: frame.term,
        log_term: frame.log_term,
        index: frame.index,
        commit: frame.commit,
        commit_term: frame.commit_term,
        reject: frame.reject,
        reject_hint: frame.reject_hint,
        context: frame.context,
        entries: entries.into(),
        ..RaftMessage::default()
    })
}

/// Where the receiving log stands, for [`check`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) term: u64,
    pub(crate) committed: u64,
    pub(crate) last: u64,
    pub(crate) leads: bool,
}

/// Whether a correct peer can have sent this to a log that stands there.
pub(crate) fn check(message: &RaftMessage, standing: Standing) -> bool {
    let numbers = [
        message.term,
        message.index,
        message.commit,
        message.log_term,
    ];
    if numbers.iter().any(|number| *number > limits::NUMBER) {
        return false;
    }
    match message.msg_type {
        MessageType::MsgAppend => {
            let connected = message.entries.iter().enumerate().all(|(i, entry)| {
                Some(entry.index) == message.index.checked_add(1 + i as u64)
                    && entry.term >= message.log_term.max(1)
                    && entry.term <= message.term
                    && entry.data.len() <= limits::ENTRY_BYTES
            });
            let leads_already = standing.leads && message.term == standing.term;
            // To Raft, an index beyond its log has term 0: such an append would seem to connect.
            let named = (message.index == 0) == (message.log_term == 0);
            message.term > 0
                && named
                && message.entries.len() <= limits::APPEND_ENTRIES
                && connected
                && !leads_already
        }
        // A leader commits for a follower only what that follower has confirmed to hold.
        MessageType::MsgHeartbeat => {
            message.term > 0
                && (message.commit <= standing.last || message.term < standing.term)
                && !(standing.leads && message.term == standing.term)
        }
        MessageType::MsgAppendResponse => {
            message.term > 0
                && (message.term != standing.term
                    || (message.index <= standing.last && message.reject_hint <= standing.last))
        }
        // It has no term. A follower would pass it on as its own, and the answer would miss its asker.
        MessageType::MsgReadIndex => {
            message.term == 0 && message.entries.len() == 1 && standing.leads
        }
        MessageType::MsgReadIndexResp => message.term > 0 && message.entries.len() == 1,
        MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgTimeoutNow => message.term > 0,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgSnapshot
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader => false,
    }
}

/// The bytes of a membership entry, as Raft itself writes them into the log.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ChangeFrame {
    #[prost(uint32, tag = "1")]
    transition: u32,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<ChangeSingle>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ChangeSingle {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(uint64, tag = "2")]
    id: u64,
}

impl ChangeFrame {
    fn of(transition: u32, changes: &[(ConfChangeType, RaftId)]) -> ChangeFrame {
        let single = |(kind, id): &(ConfChangeType, RaftId)| ChangeSingle {
            kind: match kind {
                ConfChangeType::AddNode => 0,
                ConfChangeType::RemoveNode => 1,
                ConfChangeType::AddLearnerNode => 2,
            },
            id: id.0,
        };
        ChangeFrame {
            transition,
            changes: changes.iter().map(single).collect(),
        }
    }

    /// Changes that begin a joint membership, which another change must end.
    pub(crate) fn enter(changes: &[(ConfChangeType, RaftId)]) -> ChangeFrame {
        ChangeFrame::of(2, changes)
    }

    /// The end of a joint membership.
    pub(crate) fn leave() -> ChangeFrame {
        ChangeFrame::of(0, &[])
    }

    /// One change that needs no joint membership.
    #[cfg(test)]
    pub(crate) fn simple(kind: ConfChangeType, id: RaftId) -> ChangeFrame {
        ChangeFrame::of(0, &[(kind, id)])
    }
}

/// The change in a membership entry, for people.
pub(crate) fn change_text(data: &Bytes) -> Option<String> {
    let frame = ChangeFrame::decode(data.clone()).ok()?;
    if frame.changes.is_empty() {
        return Some("leave the joint membership".to_owned());
    }
    let single = |change: &ChangeSingle| {
        let id = RaftId(change.id);
        match change.kind {
            0 => format!("{id} votes"),
            1 => format!("{id} is removed"),
            2 => format!("{id} learns"),
            kind => format!("{id} becomes {kind}"),
        }
    };
    let all: Vec<String> = frame.changes.iter().map(single).collect();
    Some(all.join(", "))
}

/// The change in a membership entry; none when its bytes are not one, which all replicas see alike.
pub(crate) fn change_from(data: &Bytes) -> Option<ConfChangeV2> {
    let frame = ChangeFrame::decode(data.clone()).ok()?;
    let mut change = ConfChangeV2::default();
    change.set_transition(match frame.transition {
        0 => ConfChangeTransition::Auto,
        1 => ConfChangeTransition::Implicit,
        2 => ConfChangeTransition::Explicit,
        _ => return None,
    });
    let mut singles = Vec::with_capacity(frame.changes.len());
    for single in frame.changes {
        singles.push(change_single(
            match single.kind {
                0 => ConfChangeType::AddNode,
                1 => ConfChangeType::RemoveNode,
                2 => ConfChangeType::AddLearnerNode,
                _ => return None,
            },
            RaftId(single.id),
        ));
    }
    change.set_changes(singles.into());
    Some(change)
}

pub(crate) fn change_single(kind: ConfChangeType, id: RaftId) -> ConfChangeSingle {
    let mut single = ConfChangeSingle::default();
    single.set_change_type(kind);
    single.node_id = id.0;
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(index: u64, entries: &[(u64, u64)]) -> RaftMessage {
        RaftMessage {
            msg_type: MessageType::MsgAppend,
            from: 1,
            to: 2,
            term: 5,
            log_term: 3,
            index,
            commit: 7,
            entries: entries
                .iter()
                .map(|&(index, term)| Entry {
                    index,
                    term,
                    data: Bytes::from_static(b"x"),
                    ..Entry::default()
                })
                .collect::<Vec<_>>()
                .into(),
            ..RaftMessage::default()
        }
    }

    const STANDING: Standing = Standing {
        term: 5,
        committed: 3,
        last: 8,
        leads: false,
    };

    #[test]
    fn a_message_survives_the_wire() {
        let message = append(8, &[(9, 4), (10, 5)]);
        let framed = frame(message.clone()).expect("appends travel");
        let bytes = Bytes::from(framed.encode_to_vec());
        let framed = RaftFrame::decode(bytes).expect("what was encoded is decoded");
        assert_eq!(self::message(RaftId(1), RaftId(2), framed), Some(message));
    }

    #[test]
    fn an_impossible_append_is_refused() {
        assert!(check(&append(8, &[(9, 4), (10, 5)]), STANDING));
        assert!(check(&append(8, &[]), STANDING));
        for bad in [
            append(8, &[(10, 5)]),
            append(8, &[(9, 2)]),
            append(8, &[(9, 6)]),
        ] {
            assert!(!check(&bad, STANDING), "{bad:?}");
        }
        let leads = Standing {
            leads: true,
            ..STANDING
        };
        assert!(!check(&append(8, &[]), leads), "two leaders of one term");
        assert!(!check(&append(u64::MAX, &[(0, 5)]), STANDING));
        let mut unnamed = append(22, &[]);
        unnamed.log_term = 0;
        assert!(!check(&unnamed, STANDING));
    }

    #[test]
    fn an_answer_about_what_was_never_sent_is_refused() {
        let answer = |index, reject_hint| RaftMessage {
            msg_type: MessageType::MsgAppendResponse,
            term: 5,
            index,
            reject: reject_hint > 0,
            reject_hint,
            ..RaftMessage::default()
        };
        assert!(check(&answer(8, 0), STANDING) && check(&answer(8, 8), STANDING));
        assert!(!check(&answer(9, 0), STANDING) && !check(&answer(8, u64::MAX), STANDING));
    }

    #[test]
    fn a_heartbeat_that_commits_beyond_the_log_is_refused() {
        let mut heartbeat = RaftMessage {
            msg_type: MessageType::MsgHeartbeat,
            term: 5,
            commit: 8,
            ..RaftMessage::default()
        };
        assert!(check(&heartbeat, STANDING));
        heartbeat.commit = 9;
        assert!(!check(&heartbeat, STANDING));
    }

    #[test]
    fn what_a_node_says_only_to_itself_is_refused() {
        for msg_type in [
            MessageType::MsgHup,
            MessageType::MsgPropose,
            MessageType::MsgSnapshot,
            MessageType::MsgTransferLeader,
        ] {
            let message = RaftMessage {
                msg_type,
                term: 5,
                ..RaftMessage::default()
            };
            assert!(!check(&message, STANDING), "{msg_type:?}");
            assert_eq!(frame(message), None, "{msg_type:?}");
        }
    }

    #[test]
    fn those_who_leave_are_remembered() {
        let before = Membership::of(&[RaftId(3), RaftId(1), RaftId(2)]);
        let state = ConfState {
            voters: vec![4, 1, 2],
            ..ConfState::default()
        };
        let after = membership(&state, &before);
        assert_eq!(after.voters, [RaftId(1), RaftId(2), RaftId(4)]);
        assert_eq!(after.removed, [RaftId(3)]);
        assert_eq!(membership_from(&membership_frame(&after)), Some(after));
    }
}
