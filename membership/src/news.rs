//! News that spreads like an epidemic beside SWIM's own updates: versions of what nodes tell about
//! themselves, and lives that are leaving. Each piece rides a bounded number of datagrams.

use std::collections::BTreeMap;

use prost::Message;
use shoal_api::NodeId;

use crate::limits;
use crate::message::{Life, wire};

/// What kind of news it is; with the node it is the key, so that newer news replaces older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Leaving,
    Version,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    life: Life,
    left: u32,
}

/// The queue. At most [`limits::NEWS`] pieces; beyond it the one that was sent most often is
/// dropped, since others have most likely heard it.
#[derive(Debug, Default)]
pub(crate) struct News {
    pieces: BTreeMap<(Topic, NodeId), Piece>,
}

impl News {
    /// Adds a piece to be sent that many times. True if another was dropped for it.
    pub fn add(&mut self, topic: Topic, life: Life, times: u32) -> bool {
        let key = (topic, life.node);
        let mut dropped = false;
        if self.pieces.len() >= limits::NEWS && !self.pieces.contains_key(&key) {
            let oldest = self.pieces.iter().min_by_key(|(_, piece)| piece.left);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.pieces.remove(&oldest);
                dropped = true;
            }
        }
        self.pieces.insert(key, Piece { life, left: times });
        dropped
    }

    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The freshest pieces that fit into that many bytes, each counted as sent once.
    pub fn take(&mut self, room: usize) -> Option<wire::News> {
        let fit = room / (limits::LIFE_BYTES + 2);
        if fit == 0 || self.pieces.is_empty() {
            return None;
        }
        let mut order: Vec<_> = self
            .pieces
            .iter()
            .map(|(key, piece)| (piece.left, *key))
            .collect();
        order.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        order.truncate(fit);
        let mut news = wire::News::default();
        for (_, key) in order {
            let piece = self.pieces.get_mut(&key).expect("listed above");
            match key.0 {
                Topic::Leaving => news.leaving.push(piece.life.into()),
                Topic::Version => news.held.push(piece.life.into()),
            }
            piece.left = piece.left.saturating_sub(1);
            if piece.left == 0 {
                self.pieces.remove(&key);
            }
        }
        assert!(news.encoded_len() <= room);
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use shoal_api::Generation;

    use super::*;

    fn life(node: u128) -> Life {
        Life {
            node: NodeId(node),
            generation: Generation(1),
            version: 1,
        }
    }

    #[test]
    fn the_freshest_goes_first_and_each_ends() {
        let mut news = News::default();
        news.add(Topic::Version, life(1), 1);
        news.add(Topic::Version, life(2), 3);
        let one = limits::LIFE_BYTES + 2;
        let taken = news.take(one).expect("there is news");
        assert_eq!(taken.held, [life(2).into()]);
        let mut sent = 1;
        while let Some(taken) = news.take(one) {
            sent += taken.held.len();
        }
        assert_eq!(sent, 4);
        assert!(news.is_empty());
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut news = News::default();
        let mut dropped = 0;
        for node in 1..=limits::NEWS as u128 + 10 {
            dropped += usize::from(news.add(Topic::Leaving, life(node), 5));
        }
        assert_eq!((news.pieces.len(), dropped), (limits::NEWS, 10));
    }
}
