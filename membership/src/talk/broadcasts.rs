//! The queue of what is being spread: each piece rides a number of datagrams that grows with the
//! cluster, the freshest first.

use bytes::{BufMut, Bytes};

use crate::limits;

/// Bytes in front of an item in a section: its field and its length.
const HEAD_BYTES: usize = 3;

#[derive(Clone, Debug)]
struct Piece {
    bytes: Bytes,
    left: u32,
    /// Orders pieces that were sent as often: the newer first.
    number: u64,
}

/// At most [`limits::BROADCASTS`] pieces; beyond it the one that was sent most often is dropped,
/// since others have most likely heard it.
#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    pieces: Vec<Piece>,
    added: u64,
}

impl Broadcasts {
    /// Adds a piece to be sent that many times. True if another was dropped for it.
    pub fn add(&mut self, bytes: Bytes, times: u32) -> bool {
        assert!(bytes.len() <= limits::BROADCAST_BYTES);
        self.added += 1;
        let full = self.pieces.len() >= limits::BROADCASTS;
        if full {
            let oldest = (0..self.pieces.len())
                .min_by_key(|i| (self.pieces[*i].left, self.pieces[*i].number))
                .expect("it is full");
            self.pieces.swap_remove(oldest);
        }
        self.pieces.push(Piece {
            bytes,
            left: times,
            number: self.added,
        });
        full
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The bodies of at most so many sections, of at most so many bytes each, for one receiver:
    /// no piece stands twice in them, and each counts as sent once.
    pub fn take(&mut self, room: usize, sections: usize) -> Vec<Vec<u8>> {
        self.pieces
            .sort_by(|a, b| b.left.cmp(&a.left).then(b.number.cmp(&a.number)));
        let mut bodies: Vec<(Vec<u8>, usize)> = Vec::new();
        for piece in &mut self.pieces {
            let length = HEAD_BYTES + piece.bytes.len();
            let fits = |(body, items): &(Vec<u8>, usize)| {
                body.len() + length <= room && *items < limits::BROADCASTS_PER_SECTION
            };
            let found = match bodies.iter().position(fits) {
                Some(found) => found,
                None if bodies.len() < sections && length <= room => {
                    bodies.push((Vec::new(), 0));
                    bodies.len() - 1
                }
                None => continue,
            };
            let (body, items) = &mut bodies[found];
            put(&piece.bytes, body);
            *items += 1;
            piece.left = piece.left.saturating_sub(1);
        }
        self.pieces.retain(|piece| piece.left > 0);
        bodies.into_iter().map(|(body, _)| body).collect()
    }
}

/// Writes an item as field 1 of a section.
fn put(item: &Bytes, body: &mut Vec<u8>) {
    let key = prost::encoding::WireType::LengthDelimited;
    prost::encoding::encode_key(1, key, body);
    prost::encoding::encode_varint(item.len() as u64, body);
    body.put_slice(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(byte: u8, length: usize) -> Bytes {
        vec![byte; length].into()
    }

    #[test]
    fn one_receiver_gets_each_piece_once() {
        let mut queue = Broadcasts::default();
        for byte in 0..3 {
            queue.add(piece(byte, 600), 2);
        }
        let bodies = queue.take(1_300, 4);
        let sizes: Vec<_> = bodies.iter().map(Vec::len).collect();
        assert_eq!(sizes, [1_206, 603]);
        assert_eq!(queue.take(1_300, 4).len(), 2);
        assert!(queue.is_empty() && queue.take(1_300, 4).is_empty());
    }

    #[test]
    fn the_freshest_goes_first_and_small_ones_fill_up() {
        let mut queue = Broadcasts::default();
        queue.add(piece(1, 100), 1);
        queue.add(piece(2, 600), 3);
        let bodies = queue.take(650, 1);
        assert_eq!(bodies[0][3], 2, "the one that was sent less often");
        queue.add(piece(3, 20), 9);
        assert_eq!(queue.take(130, 1)[0].len(), 22 + 102);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut queue = Broadcasts::default();
        let extra = 10;
        let mut dropped = 0;
        for i in 0..limits::BROADCASTS + extra {
            dropped += usize::from(queue.add(piece(i as u8, 1), 5));
        }
        assert_eq!((queue.len(), dropped), (limits::BROADCASTS, extra));
    }
}
