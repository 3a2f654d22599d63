//! Disks: a write is durable once its completion was delivered, and a crash may lose it before.
//!
//! What a crash leaves of writes is decided by the code that a node reads its disk with: the last writes
//! are laid out as its bytes, these are damaged, and what it takes for whole is what a restart finds.

use std::collections::VecDeque;

use shoal_api::Dice;

/// What a disk makes of its writes.
pub trait Image {
    /// One write: all of it or nothing.
    type Write: Clone;

    /// Makes a write part of what a restart finds.
    fn apply(&mut self, write: Self::Write);
}

/// What becomes of a disk when its node dies, besides that writes under way may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The power fails: of what was not synced each write is kept, lost or torn by itself.
    Torn,
    /// Bytes rot, among those that were synced or those that were not.
    Rot,
}

/// What is lost of a disk when its node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Any number of the writes under way.
    UnderWay,
    /// What damage makes of them, and everything if the node must not start from what is left.
    Damage(Damage),
    /// Everything.
    All,
}

impl Loss {
    /// This one, or less where no node may lose its disk for good at this moment.
    pub fn of_one_at_a_time(self, may: bool) -> Loss {
        match self {
            Loss::Damage(Damage::Rot) | Loss::All if !may => Loss::UnderWay,
            Loss::UnderWay | Loss::Damage(_) | Loss::All => self,
        }
    }
}

/// What was durable is not there: a node that finds its disk so must not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// One write, as a disk remembers it.
#[derive(Clone, Debug)]
pub struct Written<W> {
    /// Its number.
    pub number: u64,
    /// The last write that was synced when this one was made.
    pub synced: u64,
    /// What.
    pub write: W,
}

/// Writes that can be laid out as a node's disk has them.
pub trait Layout: Image {
    /// Damages the bytes of the last synced writes and of those under way, and reads them: how many of
    /// those under way are there, whole and in order.
    ///
    /// # Errors
    /// [`Refused`] if a synced one is not.
    fn survivors(
        synced: &[Written<Self::Write>],
        under_way: &[Written<Self::Write>],
        damage: Damage,
        dice: &mut Dice,
    ) -> Result<usize, Refused>;
}

/// Damages what lies on a disk: the synced bytes, then the pieces that were not synced.
pub fn ruin(synced: &[u8], pieces: &[Vec<u8>], damage: Damage, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = synced.to_vec();
    match damage {
        Damage::Torn => {
            for piece in pieces {
                let length = piece.len() as u64;
                let (from, to) = match dice.below(4) {
                    0 => (0, 0),
                    1 => (0, length),
                    2 => (0, dice.below(length + 1)),
                    3.. => (dice.below(length + 1), length),
                };
                let kept = from as usize..to as usize;
                let mut there = vec![0; piece.len()];
                there[kept.clone()].copy_from_slice(&piece[kept]);
                bytes.extend(there);
            }
        }
        Damage::Rot => {
            // The process died in the middle of a write, if one was under way.
            let whole = dice.below(pieces.len() as u64 + 1) as usize;
            bytes.extend(pieces[..whole].concat());
            if let Some(next) = pieces.get(whole) {
                bytes.extend(&next[..dice.below(next.len() as u64 + 1) as usize]);
            }
            let at = dice.below(bytes.len() as u64) as usize;
            for byte in bytes.iter_mut().skip(at).take(1 + dice.below(8) as usize) {
                *byte ^= 1 + dice.below(255) as u8;
            }
        }
    }
    bytes
}

/// Synced writes that are remembered: enough for damage in the middle.
const REMEMBERED: usize = 6;

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
    pending: VecDeque<Written<I::Write>>,
    unsynced: VecDeque<I::Write>,
    /// The last that were synced, oldest first.
    recent: VecDeque<Written<I::Write>>,
    sequence: u64,
    synced: u64,
    honesty: Honesty,
}

impl<I: Image> Disk<I> {
    /// A disk with something on it.
    pub fn new(image: I, honesty: Honesty) -> Disk<I> {
        Disk {
            image,
            pending: VecDeque::new(),
            unsynced: VecDeque::new(),
            recent: VecDeque::new(),
            sequence: 0,
            synced: 0,
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
        self.pending.push_back(Written {
            number: self.sequence,
            synced: self.synced,
            write,
        });
        self.sequence
    }

    /// The number of the last write that was begun.
    pub fn last(&self) -> u64 {
        self.sequence
    }

    /// All writes up to a number are synced; returns them in order.
    pub fn complete(&mut self, through: u64) -> Vec<I::Write> {
        let mut done = Vec::new();
        while let Some(front) = self.pending.front() {
            if front.number > through {
                break;
            }
            let written = self.pending.pop_front().expect("a front was seen");
            self.synced = written.number;
            let write = written.write.clone();
            if self.recent.len() == REMEMBERED {
                self.recent.pop_front();
            }
            self.recent.push_back(written);
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
            self.keep(kept);
        }
        self.begin_again();
    }

    /// Some of the writes under way have reached the disk.
    fn keep(&mut self, count: usize) {
        for written in self.pending.drain(..count) {
            self.image.apply(written.write);
        }
    }

    /// What was under way is over. What a restart finds it has read and cut: it is as if synced.
    fn begin_again(&mut self) {
        self.pending.clear();
        self.unsynced.clear();
        self.recent.clear();
    }

    /// The node stops in good order: everything is written.
    pub fn flush(&mut self) {
        for write in self.unsynced.drain(..) {
            self.image.apply(write);
        }
        self.keep(self.pending.len());
    }
}

impl<I: Layout> Disk<I> {
    /// The node dies. A disk that lies has enough wrong with it, and is not damaged besides.
    ///
    /// # Errors
    /// [`Refused`] if the node must not start from what is left.
    pub fn lose(&mut self, loss: Loss, dice: &mut Dice) -> Result<(), Refused> {
        let damage = match loss {
            Loss::Damage(damage) if self.honesty == Honesty::Honest => damage,
            Loss::Damage(_) | Loss::UnderWay => {
                self.crash(dice);
                return Ok(());
            }
            Loss::All => {
                self.crash(dice);
                return Err(Refused);
            }
        };
        let (recent, pending) = (
            self.recent.make_contiguous(),
            self.pending.make_contiguous(),
        );
        let kept = I::survivors(recent, pending, damage, dice)?;
        self.keep(kept);
        self.begin_again();
        Ok(())
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
