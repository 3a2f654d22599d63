//! Disks that tear, rot, are full or fail, and what a node makes of that.

use super::{Cluster, Event, MASTERS};
use crate::disk::{Damage, Loss};
use crate::faults::Storage;
use crate::network::{Death, Host};

impl Cluster {
    /// Something begins or ends to be wrong with a disk.
    pub(super) fn storage(&mut self, host: Host, what: Storage, begins: bool) {
        let is_master = host.0 < MASTERS;
        match what {
            Storage::Torn if begins => {
                self.crash(host, Death::Machine, Loss::Damage(Damage::Torn));
            }
            Storage::Rot if begins => {
                // The tasks of an agent that forgets them must not go on.
                let death = if is_master {
                    Death::Process
                } else {
                    Death::Machine
                };
                self.crash(host, death, Loss::Damage(Damage::Rot));
            }
            Storage::Torn | Storage::Rot => self.start(host),
            Storage::Full => self.full(host, begins),
            Storage::Broken => {
                // A master that halts does not come back as it was: one at a time.
                let may = !is_master || self.may_wipe();
                self.hosts.get_mut(host).disk_broken = begins && may;
                if !begins {
                    self.start(host);
                }
            }
        }
    }

    fn full(&mut self, host: Host, begins: bool) {
        self.hosts.get_mut(host).disk_full = begins;
        if begins || !self.hosts.get(host).up {
            return;
        }
        if host.0 < MASTERS {
            self.master_has_room(host);
        } else {
            self.agent_has_room(host);
        }
    }

    /// A sync failed: a master halts, and its operator resets it; an agent ends, and reads what there is
    /// when it is started again.
    pub(super) fn sync_failed(&mut self, host: Host) {
        self.hosts.get_mut(host).disk_broken = false;
        let loss = if host.0 < MASTERS {
            Loss::All
        } else {
            Loss::Damage(Damage::Torn)
        };
        self.crash(host, Death::Process, loss);
    }

    /// What was written is synced in a while.
    pub(super) fn sync_soon(&mut self, host: Host, through: u64) {
        let life = self.hosts.get(host).life;
        let at = self.hosts.disk_done(host, self.queue.now());
        let event = Event::Disk {
            host,
            life,
            through,
        };
        self.queue.push(at, event);
    }
}
