//! A disk that fails in every way that a seed can think of, for tests of whoever writes through [`Io`].
//!
//! A power cut ends everything at any write or sync; of what was not synced by then, each write is
//! kept, lost or torn by itself. Space runs out in the middle of a write and comes back. A sync that
//! fails leaves open what is on disk, as a kernel does that has dropped the pages.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shoal_api::Dice;

use crate::file::{Io, System};

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supply {
    /// Writes and syncs until the power fails; it fails at the last of them.
    pub left: u64,
    /// Of each thousand writes, how many find no room. At most 1 000.
    pub full: u16,
    /// Of each thousand syncs, how many fail. At most 1 000.
    pub broken: u16,
}

impl Supply {
    /// Nothing.
    pub const GOOD: Supply = Supply {
        left: u64::MAX,
        full: 0,
        broken: 0,
    };
    /// There is no room now and then.
    pub const FULL_AT_TIMES: Supply = Supply {
        full: 150,
        ..Supply::GOOD
    };

    /// The power fails after so many writes and syncs, at least one.
    pub const fn fails_after(left: u64) -> Supply {
        Supply {
            left,
            ..Supply::GOOD
        }
    }
}

/// A write that no sync has covered, and what it replaced.
#[derive(Debug)]
struct Unsynced {
    file: u64,
    offset: u64,
    before: Vec<u8>,
    after: Vec<u8>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    supply: Supply,
    unsynced: Vec<Unsynced>,
}

/// A disk on a bad supply.
///
/// # Panics
/// Everything here does where the real disk below it fails.
#[derive(Debug)]
pub struct Faulty(Mutex<State>);

fn off() -> io::Error {
    io::Error::other("the power is off")
}

fn number(file: &File) -> u64 {
    file.metadata().expect("an open file has metadata").ino()
}

impl State {
    /// Writes some of it, and remembers how to take that back.
    fn put(&mut self, file: &File, bytes: &[u8], offset: u64) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let reader = File::open(path).expect("an open file can be opened again");
        let mut before = vec![0; bytes.len()];
        let mut have = 0;
        while have < before.len() {
            let more = reader.read_at(&mut before[have..], offset + have as u64);
            match more.expect("what was written can be read") {
                0 => break,
                more => have += more,
            }
        }
        file.write_all_at(bytes, offset)
            .expect("there is room here");
        self.unsynced.push(Unsynced {
            file: number(file),
            offset,
            before,
            after: bytes.to_vec(),
        });
    }

    /// One more operation; an error if the power fails at it.
    fn spend(&mut self) -> io::Result<()> {
        if self.supply.left == 0 {
            return Err(off());
        }
        self.supply.left -= 1;
        if self.supply.left == 0 {
            Err(off())
        } else {
            Ok(())
        }
    }

    fn chance(&mut self, of_thousand: u16) -> bool {
        self.dice.chance(of_thousand)
    }
}

impl Faulty {
    /// A disk with that much wrong.
    pub fn new(dice: Dice, supply: Supply) -> Faulty {
        Faulty(Mutex::new(State {
            dice,
            supply,
            unsynced: Vec::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power has failed: what the files of a folder hold is decided.
    pub fn cut(&self, folder: &Path) {
        let mut state = self.state();
        let State { dice, unsynced, .. } = &mut *state;
        let files: BTreeMap<u64, PathBuf> = std::fs::read_dir(folder)
            .expect("the folder can be listed")
            .map(|entry| entry.expect("the folder can be listed"))
            .filter_map(|entry| Some((entry.metadata().ok()?.ino(), entry.path())))
            .collect();
        let open = |number| {
            let path = files.get(&number)?;
            OpenOptions::new().write(true).open(path).ok()
        };
        let put = |file: &File, bytes: &[u8], offset| {
            file.write_all_at(bytes, offset)
                .expect("there is room here");
        };
        for write in unsynced.iter().rev() {
            if let Some(file) = open(write.file) {
                put(&file, &write.before, write.offset);
            }
        }
        for write in unsynced.drain(..) {
            let Some(file) = open(write.file) else {
                continue;
            };
            let length = write.after.len() as u64;
            let (from, to) = match dice.below(4) {
                0 => (0, 0),
                1 => (0, length),
                2 => (0, dice.below(length + 1)),
                3.. => (dice.below(length + 1), length),
            };
            let kept = &write.after[from as usize..to as usize];
            put(&file, kept, write.offset + from);
        }
    }
}

impl Io for Faulty {
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        let full = state.supply.full;
        if state.chance(full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        System.allocate(file, bytes)
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state();
        if state.supply.left == 0 {
            return Err(off());
        }
        let full = state.supply.full;
        let ends = state.spend().is_err();
        if ends || state.chance(full) {
            let short = state.dice.below(bytes.len() as u64 + 1) as usize;
            state.put(file, &bytes[..short], offset);
            return Err(if ends {
                off()
            } else {
                io::ErrorKind::StorageFull.into()
            });
        }
        state.put(file, bytes, offset);
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        let broken = state.supply.broken;
        if state.chance(broken) {
            return Err(io::Error::other("the disk does not answer"));
        }
        let number = number(file);
        state.unsynced.retain(|write| write.file != number);
        Ok(())
    }
}
