//! Disks: a write is durable once its completion was delivered, and a crash may lose it before.

use std::collections::VecDeque;

use shoal_api::Dice;

/// What a disk makes of its writes.
pub trait Image {
    /// One write: all of it or nothing.
    type Write: Clone;

    /// Makes a write part of what a restart finds.
    fn apply(&mut self, write: Self::Write);
}

/// How honest a disk is about being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Honesty {
    /// What it says is durable is durable.
    #[default]
    Honest,
    /// A planted bug: a crash loses the last writes, so many at most, although it called them durable.
    Lies {
        /// What it keeps in its cache; older writes have trickled out by themselves.
        unsynced: usize,
    },
}

/// The sync is forgotten.
pub const FORGETS_SYNC: Honesty = Honesty::Lies { unsynced: 64 };
/// The sync is done a little later than it is told.
pub const SYNCS_LATE: Honesty = Honesty::Lies { unsynced: 2 };

/// One disk.
///
/// # Invariants
/// - writes reach the image in the order in which they were made;
/// - an honest disk's image has every write whose completion was delivered.
#[derive(Debug)]
pub struct Disk<I: Image> {
    image: I,
    pending: VecDeque<(u64, I::Write)>,
    unsynced: VecDeque<I::Write>,
    sequence: u64,
    honesty: Honesty,
}

impl<I: Image> Disk<I> {
    /// A disk with something on it.
    pub fn new(image: I, honesty: Honesty) -> Disk<I> {
        Disk {
            image,
            pending: VecDeque::new(),
            unsynced: VecDeque::new(),
            sequence: 0,
            honesty,
        }
    }

    /// What a restart would find at the least.
    pub fn image(&self) -> &I {
        &self.image
    }

    /// The image, to be changed as by a tool while its node is down.
    pub fn image_mut(&mut self) -> &mut I {
        &mut self.image
    }

    /// Begins a write; its number is for [`Disk::complete`].
    pub fn write(&mut self, write: I::Write) -> u64 {
        self.sequence += 1;
        self.pending.push_back((self.sequence, write));
        self.sequence
    }

    /// All writes up to a number are synced; returns them in order.
    pub fn complete(&mut self, through: u64) -> Vec<I::Write> {
        let mut done = Vec::new();
        while let Some((number, _)) = self.pending.front() {
            if *number > through {
                break;
            }
            let (_, write) = self.pending.pop_front().expect("a front was seen");
            match self.honesty {
                Honesty::Honest => self.image.apply(write.clone()),
                Honesty::Lies { unsynced } => {
                    self.unsynced.push_back(write.clone());
                    if self.unsynced.len() > unsynced {
                        let old = self.unsynced.pop_front().expect("it is over its bound");
                        self.image.apply(old);
                    }
                }
            }
            done.push(write);
        }
        done
    }

    /// The node dies: any number of the writes under way may have reached the disk, in order.
    pub fn crash(&mut self, dice: &mut Dice) {
        let kept = dice.below(self.pending.len() as u64 + 1) as usize;
        if self.unsynced.is_empty() {
            for (_, write) in self.pending.drain(..kept) {
                self.image.apply(write);
            }
        }
        self.pending.clear();
        self.unsynced.clear();
    }

    /// The node stops in good order: everything is written.
    pub fn flush(&mut self) {
        for write in self.unsynced.drain(..) {
            self.image.apply(write);
        }
        for (_, write) in self.pending.drain(..) {
            self.image.apply(write);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Vec<u32>);

    impl Image for Lines {
        type Write = u32;

        fn apply(&mut self, write: u32) {
            self.0.push(write);
        }
    }

    #[test]
    fn a_crash_loses_only_what_was_not_complete() {
        for seed in 0..50 {
            let mut disk = Disk::new(Lines::default(), Honesty::Honest);
            let numbers: Vec<u64> = (0..10).map(|line| disk.write(line)).collect();
            assert_eq!(disk.complete(numbers[3]).len(), 4);
            disk.crash(&mut Dice::new(seed));
            let kept = disk.image().0.len();
            assert!((4..=10).contains(&kept));
            assert!(disk.image().0.iter().copied().eq(0..kept as u32));
        }
    }

    #[test]
    fn a_disk_that_forgets_to_sync_loses_more() {
        let mut disk = Disk::new(Lines::default(), FORGETS_SYNC);
        let last = (0..10).map(|line| disk.write(line)).last().unwrap();
        disk.complete(last);
        disk.crash(&mut Dice::new(1));
        assert!(disk.image().0.is_empty());
    }
}
