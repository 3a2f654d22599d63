//! Where nodes live: up or down, paused or not, each with a clock of its own.

use std::time::Duration;

use shoal_api::{Dice, Instant, Timestamp};

use crate::network::Host;

/// One host.
#[derive(Clone, Copy, Debug)]
pub struct HostState {
    /// Whether its node's process is there.
    pub up: bool,
    /// How often it was started; things addressed to an earlier life are void.
    pub life: u64,
    /// Until when it does not run although it is up.
    pub paused_until: Instant,
    /// How much slower its disk is than usual.
    pub disk_factor: u32,
    /// Whether its disk has no room.
    pub disk_full: bool,
    /// Whether its disk's next sync fails.
    pub disk_broken: bool,
    /// When the sync that began last ends.
    sync_end: Instant,
    /// When the sync after it ends, once something waits for that.
    next_end: Option<Instant>,
    clock: Duration,
    calendar: i64,
}

/// The calendar at the start of virtual time: some day in 2026.
const EPOCH: i64 = 1_780_000_000_000_000_000;

/// All hosts.
#[derive(Debug)]
pub struct Hosts {
    hosts: Vec<HostState>,
    dice: Dice,
}

impl Hosts {
    /// So many hosts, all down.
    pub fn new(count: usize, dice: Dice) -> Hosts {
        let host = HostState {
            up: false,
            life: 0,
            paused_until: Instant::ZERO,
            disk_factor: 1,
            disk_full: false,
            disk_broken: false,
            sync_end: Instant::ZERO,
            next_end: None,
            clock: Duration::ZERO,
            calendar: 0,
        };
        Hosts {
            hosts: vec![host; count],
            dice,
        }
    }

    /// One host.
    pub fn get(&self, host: Host) -> &HostState {
        &self.hosts[host.0]
    }

    /// One host, to be changed.
    pub fn get_mut(&mut self, host: Host) -> &mut HostState {
        &mut self.hosts[host.0]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Host> + use<> {
        (0..self.hosts.len()).map(Host)
    }

    /// A process begins: its clock starts anywhere, its calendar is a little off.
    pub fn start(&mut self, host: Host) -> u64 {
        let clock = Duration::from_nanos(self.dice.below(3_600_000_000_000));
        let calendar = self.dice.below(200_000_000) as i64 - 100_000_000;
        let state = &mut self.hosts[host.0];
        state.up = true;
        state.life += 1;
        state.clock = clock;
        state.calendar = calendar;
        state.paused_until = Instant::ZERO;
        state.life
    }

    /// A process ends.
    pub fn stop(&mut self, host: Host) {
        self.hosts[host.0].up = false;
    }

    /// Whether that life of the host goes on.
    pub fn lives(&self, host: Host, life: u64) -> bool {
        let state = &self.hosts[host.0];
        state.up && state.life == life
    }

    /// What the host's monotonic clock says.
    pub fn clock(&self, host: Host, now: Instant) -> Instant {
        now + self.hosts[host.0].clock
    }

    /// When the host's clock will say that.
    pub fn when(&self, host: Host, at: Instant) -> Instant {
        if at == Instant::NEVER {
            return at;
        }
        at - self.hosts[host.0].clock
    }

    /// What the host's calendar says.
    pub fn calendar(&self, host: Host, now: Instant) -> Timestamp {
        let nanos = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX / 2);
        Timestamp::from_nanos(EPOCH + nanos + self.hosts[host.0].calendar)
    }

    /// When a write that begins at this moment will be synced: everything that arrives during one
    /// sync is synced together by the next.
    pub fn disk_done(&mut self, host: Host, now: Instant) -> Instant {
        let nanos = 150_000 + self.dice.below(1_500_000);
        let state = &mut self.hosts[host.0];
        let sync = Duration::from_nanos(nanos) * state.disk_factor;
        if let Some(next) = state.next_end
            && now >= state.sync_end
        {
            state.sync_end = next;
            state.next_end = None;
        }
        if now >= state.sync_end {
            state.sync_end = now + sync;
            return state.sync_end;
        }
        *state.next_end.get_or_insert(state.sync_end + sync)
    }

    /// Nothing is written there any more.
    pub fn disk_idle(&mut self, host: Host) {
        self.hosts[host.0].sync_end = Instant::ZERO;
        self.hosts[host.0].next_end = None;
    }
}
