//! A snapshot on its way from the leader: its pieces, put together again within bounds.

use bytes::{Bytes, BytesMut};
use shoal_api::{Index, RaftId, Term};

use crate::entry::Snapshot;
use crate::limits;
use crate::membership::Membership;
use crate::message::SnapshotPiece;
use crate::wire;

/// Invariant: `bytes` counts everything in `chunks` and `chunk`.
#[derive(Debug)]
struct Assembly {
    from: RaftId,
    term: u64,
    index: u64,
    index_term: u64,
    pieces: u64,
    membership: Membership,
    received: u64,
    chunks: Vec<Bytes>,
    chunk: BytesMut,
    bytes: usize,
}

/// At most one snapshot is put together at a time: the latest that its leader began.
#[derive(Debug, Default)]
pub(crate) struct Receiving {
    assembly: Option<Assembly>,
}

/// What a piece led to.
#[derive(Debug)]
pub(crate) enum Taken {
    /// That many pieces are here without a gap.
    Partly(u64),
    /// All are.
    Whole(Snapshot),
    /// It cannot be taken: impossible, too large, or without this replica.
    Refused,
}

impl Receiving {
    /// Takes in one piece; one that is repeated or comes too early changes nothing.
    pub(crate) fn take(&mut self, from: RaftId, own: RaftId, piece: &SnapshotPiece) -> Taken {
        let current = self.assembly.as_ref().is_some_and(|a| {
            (a.from, a.term, a.index, a.index_term, a.pieces)
                == (
                    from,
                    piece.term,
                    piece.index,
                    piece.index_term,
                    piece.pieces,
                )
        });
        if !current {
            if piece.sequence != 0 {
                return Taken::Partly(0);
            }
            let Some(assembly) = Assembly::begin(from, own, piece) else {
                return Taken::Refused;
            };
            self.assembly = Some(assembly);
        }
        let assembly = self.assembly.as_mut().expect("it is current or has begun");
        if piece.sequence != assembly.received {
            return Taken::Partly(assembly.received);
        }
        if !assembly.add(piece) {
            self.assembly = None;
            return Taken::Refused;
        }
        if assembly.received < assembly.pieces {
            return Taken::Partly(assembly.received);
        }
        let whole = self.assembly.take().expect("it was just added to");
        Taken::Whole(Snapshot {
            index: Index(whole.index),
            term: Term(whole.index_term),
            membership: whole.membership,
            chunks: whole.chunks.into(),
        })
    }
}

impl Assembly {
    fn begin(from: RaftId, own: RaftId, piece: &SnapshotPiece) -> Option<Assembly> {
        let membership = wire::membership_from(piece.membership.as_ref()?)?;
        let largest = (limits::SNAPSHOT_BYTES / limits::SNAPSHOT_PIECE_BYTES
            + limits::SNAPSHOT_CHUNKS) as u64;
        let possible = piece.index > 0
            && piece.index.max(piece.term) <= limits::NUMBER
            && piece.index_term > 0
            && piece.index_term <= piece.term
            && (1..=largest).contains(&piece.pieces)
            && membership.contains(own);
        possible.then(|| Assembly {
            from,
            term: piece.term,
            index: piece.index,
            index_term: piece.index_term,
            pieces: piece.pieces,
            membership,
            received: 0,
            chunks: Vec::new(),
            chunk: BytesMut::new(),
            bytes: 0,
        })
    }

    /// Adds the next piece; false if that breaks a bound.
    fn add(&mut self, piece: &SnapshotPiece) -> bool {
        self.bytes += piece.data.len();
        if piece.data.len() > limits::SNAPSHOT_PIECE_BYTES || self.bytes > limits::SNAPSHOT_BYTES {
            return false;
        }
        self.received += 1;
        if piece.ends_chunk && self.chunk.is_empty() {
            // A copy, so that a long-lived snapshot does not hold on to whole received frames.
            self.chunks.push(Bytes::copy_from_slice(&piece.data));
        } else {
            self.chunk.extend_from_slice(&piece.data);
            if piece.ends_chunk {
                self.chunks.push(self.chunk.split().freeze());
            }
        }
        let whole = self.received < self.pieces || self.chunk.is_empty();
        whole && self.chunks.len() <= limits::SNAPSHOT_CHUNKS
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use shoal_api::{Dice, Instant};

    use super::*;
    use crate::message::SnapshotReceived;
    use crate::sending::Sending;

    fn snapshot() -> Snapshot {
        let big = Bytes::from(vec![7; 2 * limits::SNAPSHOT_PIECE_BYTES + 3]);
        let mut chunks = vec![Bytes::from_static(b"one"), big, Bytes::new()];
        chunks.extend((0..20).map(|i| Bytes::from(vec![i; 10])));
        Snapshot {
            index: Index(9),
            term: Term(2),
            membership: Membership::of(&[RaftId(1), RaftId(2)]),
            chunks: Arc::from(chunks),
        }
    }

    fn answer(received: u64) -> SnapshotReceived {
        SnapshotReceived {
            term: 3,
            index: 9,
            received,
            refused: false,
        }
    }

    #[test]
    fn a_snapshot_arrives_whole_though_pieces_are_lost_and_doubled() {
        let (mut sending, mut receiving) = (Sending::default(), Receiving::default());
        let mut dice = Dice::new(1);
        let mut now = Instant::ZERO;
        sending.begin(now, RaftId(2), &snapshot());
        let mut whole = None;
        while !sending.is_empty() {
            now = now + Duration::from_millis(100);
            assert!(sending.expire(now).is_empty(), "progress is made");
            for (_, piece) in sending.pieces(3) {
                if dice.chance(200) {
                    continue;
                }
                for _ in 0..2 {
                    let received = match receiving.take(RaftId(1), RaftId(2), &piece) {
                        Taken::Partly(received) => received,
                        Taken::Whole(snapshot) => {
                            whole = Some(snapshot);
                            piece.pieces
                        }
                        Taken::Refused => panic!("refused"),
                    };
                    sending.answered(now, RaftId(2), &answer(received));
                }
            }
        }
        assert_eq!(whole, Some(snapshot()));
    }

    #[test]
    fn a_snapshot_without_the_receiver_is_refused() {
        let mut sending = Sending::default();
        sending.begin(Instant::ZERO, RaftId(3), &snapshot());
        let (_, piece) = sending.pieces(3).remove(0);
        let taken = Receiving::default().take(RaftId(1), RaftId(3), &piece);
        assert!(matches!(taken, Taken::Refused));
    }

    #[test]
    fn a_silent_peer_fails_its_transfer() {
        let mut sending = Sending::default();
        sending.begin(Instant::ZERO, RaftId(2), &snapshot());
        let late = Instant::ZERO + limits::SNAPSHOT_TIMEOUT;
        assert_eq!(sending.expire(late), [RaftId(2)]);
        assert!(sending.is_empty());
    }
}
