//! The hash ring: which master is an agent's home. A preference only; correctness never rests on it.

use hashring::HashRing;
use shoal_api::NodeId;

/// Points of each master on the ring. More spread the agents more evenly and cost memory. Ours.
const POINTS: u8 = 128;

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Point {
    node: NodeId,
    number: u8,
}

/// Masters on a ring, by their stable node ids: when one leaves, only its share moves.
#[derive(Debug)]
pub struct Ring(HashRing<Point>);

impl Ring {
    /// The ring of these masters; the same for the same set in any order.
    pub fn new(nodes: impl IntoIterator<Item = NodeId>) -> Ring {
        let mut ring = HashRing::new();
        for node in nodes {
            ring.batch_add((0..POINTS).map(|number| Point { node, number }).collect());
        }
        Ring(ring)
    }

    /// The home of a node; `None` on an empty ring.
    pub fn home(&self, of: NodeId) -> Option<NodeId> {
        self.0.get(&of).map(|point| point.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_share_of_a_lost_master_moves() {
        let all = Ring::new([NodeId(1), NodeId(2), NodeId(3)]);
        let less = Ring::new([NodeId(3), NodeId(1)]);
        let mut moved = 0;
        for agent in (0..3_000).map(|n| NodeId(n * 7_919 + 1)) {
            let (before, after) = (all.home(agent).unwrap(), less.home(agent).unwrap());
            if before == NodeId(2) {
                moved += 1;
            } else {
                assert_eq!(before, after);
            }
        }
        assert!((600..1_400).contains(&moved), "{moved} of 3000 moved");
        assert_eq!(Ring::new([]).home(NodeId(1)), None);
    }
}
