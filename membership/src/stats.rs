//! What the machine counts. The shell exports it; nothing here is read to decide anything.

use std::time::Duration;

use foca::Message;

use crate::identity::Identity;
use crate::message::kind;

/// Why a datagram was dropped as a whole. Nothing of it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// Shorter than an envelope.
    Short,
    /// Longer than a datagram may be.
    Long,
    /// A version of the envelope that this node does not speak.
    Version,
    /// A flag that this node does not know.
    Flags,
    /// Encrypted with a key that this node does not have.
    Key,
    /// Of another cluster.
    Label,
    /// Damaged.
    Checksum,
    /// Its sections do not add up.
    Sections,
    /// It does not say who sent it.
    Sender,
    /// A section of a known type has a body that is malformed or out of bounds.
    Body,
    /// Its SWIM packet is malformed.
    Swim,
    /// Valid, but SWIM refused it, such as an indirect probe of its own sender.
    Refused,
    /// This node is the sender.
    Own,
    /// From an older life of a node that has a newer one.
    OldLife,
    /// From a node that does not fit the table.
    Full,
    /// This node has left or was superseded.
    Ended,
    /// Not encrypted, and this node takes encrypted ones only.
    Plain,
    /// It does not open with the key that it names: forged, damaged, or of another cluster.
    Forged,
    /// Heard before, or so old that it may have been.
    Replayed,
}

impl DropReason {
    /// All of them, in order.
    pub const ALL: [DropReason; 19] = [
        DropReason::Short,
        DropReason::Long,
        DropReason::Version,
        DropReason::Flags,
        DropReason::Key,
        DropReason::Label,
        DropReason::Checksum,
        DropReason::Sections,
        DropReason::Sender,
        DropReason::Body,
        DropReason::Swim,
        DropReason::Refused,
        DropReason::Own,
        DropReason::OldLife,
        DropReason::Full,
        DropReason::Ended,
        DropReason::Plain,
        DropReason::Forged,
        DropReason::Replayed,
    ];

    /// The word for it, as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            DropReason::Short => "short",
            DropReason::Long => "long",
            DropReason::Version => "version",
            DropReason::Flags => "flags",
            DropReason::Key => "key",
            DropReason::Label => "label",
            DropReason::Checksum => "checksum",
            DropReason::Sections => "sections",
            DropReason::Sender => "sender",
            DropReason::Body => "body",
            DropReason::Swim => "swim",
            DropReason::Refused => "refused",
            DropReason::Own => "own",
            DropReason::OldLife => "old_life",
            DropReason::Full => "full",
            DropReason::Ended => "ended",
            DropReason::Plain => "plain",
            DropReason::Forged => "forged",
            DropReason::Replayed => "replayed",
        }
    }
}

/// What a datagram is mainly for, by its first section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Pings, their answers, and those through others.
    Probe,
    /// Updates and news, sent for their own sake.
    Gossip,
    /// Doubts, calls and what they bring.
    Suspicion,
    /// User events, queries and their answers.
    Talk,
    /// Joining, and looking for failed members.
    Join,
    /// Names and tags, pulled.
    Meta,
    /// Synchronising by datagrams.
    Sync,
    /// Frames of streams, whatever they say.
    Stream,
    /// What was not understood.
    Dropped,
}

impl Traffic {
    /// All of them, in order.
    pub const ALL: [Traffic; 9] = [
        Traffic::Probe,
        Traffic::Gossip,
        Traffic::Suspicion,
        Traffic::Talk,
        Traffic::Join,
        Traffic::Meta,
        Traffic::Sync,
        Traffic::Stream,
        Traffic::Dropped,
    ];

    /// The word for it, as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Traffic::Probe => "probe",
            Traffic::Gossip => "gossip",
            Traffic::Suspicion => "suspicion",
            Traffic::Talk => "talk",
            Traffic::Join => "join",
            Traffic::Meta => "meta",
            Traffic::Sync => "sync",
            Traffic::Stream => "stream",
            Traffic::Dropped => "dropped",
        }
    }

    pub(crate) fn of(section: u8) -> Traffic {
        match section {
            kind::PULL | kind::META => Traffic::Meta,
            kind::HELLO | kind::WELCOME => Traffic::Join,
            kind::RUMOUR | kind::CALL | kind::HERE | kind::DOUBT | kind::CONFIRM => {
                Traffic::Suspicion
            }
            kind::DIGEST | kind::ENTRIES | kind::WANT => Traffic::Sync,
            kind::NACK => Traffic::Probe,
            kind::BROADCASTS
            | kind::ANSWER
            | kind::RELAY
            | kind::RECEIPT
            | kind::EVENT_DIGEST
            | kind::EVENTS => Traffic::Talk,
            _ => Traffic::Gossip,
        }
    }

    pub(crate) fn of_swim(message: &Message<Identity>) -> Traffic {
        match message {
            Message::Ping(_)
            | Message::Ack(_)
            | Message::PingReq { .. }
            | Message::IndirectPing { .. }
            | Message::IndirectAck { .. }
            | Message::ForwardedAck { .. } => Traffic::Probe,
            Message::Announce | Message::Feed => Traffic::Join,
            Message::Gossip | Message::Broadcast | Message::TurnUndead => Traffic::Gossip,
        }
    }
}

/// Datagrams or frames, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub packets: u64,
    /// How long together.
    pub bytes: u64,
}

/// The upper ends of the buckets of [`Stats::trips`], in microseconds; one more bucket has the rest.
pub const TRIP_MICROS: [u64; 10] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000,
];

/// Counters since the machine was made. They only rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    received: [Volume; Traffic::ALL.len()],
    sent: [Volume; Traffic::ALL.len()],
    /// Members probed.
    pub probes: u64,
    /// Probes that had no answer to the first ping in time.
    pub probes_indirect: u64,
    /// Of these, tried by stream, too.
    pub probes_by_stream: u64,
    /// Probes that had no answer at all.
    pub probes_failed: u64,
    /// Probes that only a juror answered for the member.
    pub vouched: u64,
    /// Pings that were answered directly, by how long that took: one count for each of
    /// [`TRIP_MICROS`], and one for all that took longer.
    pub trips: [u64; TRIP_MICROS.len() + 1],
    /// Their times together, in microseconds.
    pub trip_micros: u64,
    /// Times another member confirmed a suspicion of this node.
    pub confirmations: u64,
    /// Times this node said that it lives, since others suspected it or held it for dead.
    pub refutations: u64,
    /// Members that were dead and turned out to live.
    pub revived: u64,
    /// Failed members that this node looked for.
    pub reconnects: u64,
    /// Streams that the machine wanted opened.
    pub streams: u64,
    /// Of these, ended before the machine ended them.
    pub streams_failed: u64,
    /// Streams not even asked for, since too many were open.
    pub streams_refused: u64,
    /// Sections of an unknown type, skipped.
    pub sections_skipped: u64,
    /// News of members that did not fit the table, skipped.
    pub updates_skipped: u64,
    /// Pieces of news dropped from a full queue.
    pub news_dropped: u64,
    /// Seeds ignored because there were too many.
    pub seeds_ignored: u64,
    /// Probes of members that ended in a suspicion.
    pub suspicions: u64,
    /// Suspicions that were refuted before their time was over, so that nothing was declared.
    pub suspicions_refuted: u64,
    /// Members that this node itself declared dead.
    pub declared: u64,
    /// Times this node took a new identity because others held it for dead.
    pub renewals: u64,
    /// Times the machine was woken much too late and gave the others that time on top.
    pub stalls: u64,
    /// Pulls of what a node tells about itself, sent.
    pub pulls: u64,
    /// Synchronisations started.
    pub syncs: u64,
    /// Synchronisations that brought something.
    pub syncs_fruitful: u64,
    /// Times another living node was seen with this node's name.
    pub name_conflicts: u64,
    /// Events that this node told.
    pub events_told: u64,
    /// Events delivered, own ones too.
    pub events_heard: u64,
    /// Events delivered that gossip had missed, and a synchronisation brought.
    pub events_caught_up: u64,
    /// Events not delivered because they were told before this node joined.
    pub events_before: u64,
    /// Queries that this node asked.
    pub queries_asked: u64,
    /// Queries heard, own ones too.
    pub queries_heard: u64,
    /// Queries for this node that it left unanswered, because too many were open.
    pub queries_unanswered: u64,
    /// Answers that this node gave.
    pub answers_sent: u64,
    /// Answers of this node's that came too late, or twice.
    pub answers_late: u64,
    /// Acknowledgements and answers sent once more because no receipt had come.
    pub replies_repeated: u64,
    /// Answers of others passed on to who asked.
    pub answers_relayed: u64,
    /// Acknowledgements and answers to queries of this node's.
    pub replies: u64,
    /// Those that had come before.
    pub replies_known: u64,
    /// Those to queries that were over.
    pub replies_late: u64,
    /// Broadcasts that came again.
    pub broadcasts_known: u64,
    /// Broadcasts refused: too old, or of a time that cannot be.
    pub broadcasts_refused: u64,
    /// Broadcasts dropped from a full queue before they were spread.
    pub broadcasts_dropped: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Stats {
    /// What was given to the machine of that kind.
    pub fn received(&self, traffic: Traffic) -> Volume {
        self.received[traffic as usize]
    }

    /// What the machine wanted sent of that kind.
    pub fn sent(&self, traffic: Traffic) -> Volume {
        self.sent[traffic as usize]
    }

    /// How many datagrams and frames were given to the machine.
    pub fn received_total(&self) -> u64 {
        self.received.iter().map(|volume| volume.packets).sum()
    }

    pub(crate) fn count_received(&mut self, traffic: Traffic, bytes: usize) {
        let volume = &mut self.received[traffic as usize];
        volume.packets += 1;
        volume.bytes += bytes as u64;
    }

    pub(crate) fn count_sent(&mut self, traffic: Traffic, bytes: usize) {
        let volume = &mut self.sent[traffic as usize];
        volume.packets += 1;
        volume.bytes += bytes as u64;
    }

    pub(crate) fn count_trip(&mut self, trip: Duration) {
        let micros = u64::try_from(trip.as_micros()).unwrap_or(u64::MAX);
        let bucket = TRIP_MICROS.partition_point(|end| *end < micros);
        self.trips[bucket] += 1;
        self.trip_micros = self.trip_micros.saturating_add(micros);
    }

    /// How many datagrams were dropped for that reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many datagrams were dropped.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        let mut stats = Stats::default();
        for (i, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i, "{}", reason.as_str());
            stats.count_drop(reason);
            assert_eq!(stats.dropped(reason), 1);
        }
        assert_eq!(stats.dropped_total(), DropReason::ALL.len() as u64);
    }
}
