//! What this machine has, for agents whose flags do not say what to offer.

use std::io;
use std::num::NonZero;
use std::path::Path;

use shoal_api::{Amount, Range, Resource, Resources, Value};

/// Ports that an agent offers unless told otherwise. Source: Mesos.
const PORTS: Range = Range {
    begin: 31_000,
    end: 32_000,
};

/// What a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Processors that this process may use.
    pub cpus: u32,
    /// Main memory, in MB.
    pub mem: u64,
    /// Free space where tasks would write, in MB.
    pub disk: u64,
}

impl Machine {
    /// Looks at the machine; `data` is a path on the disk that counts.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn detect(data: &Path) -> io::Result<Machine> {
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let existing = data
            .ancestors()
            .find(|folder| folder.exists())
            .unwrap_or(Path::new("/"));
        let disk = rustix::fs::statvfs(existing)?;
        Ok(Machine {
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            mem: memory(&std::fs::read_to_string("/proc/meminfo")?)?,
            disk: disk.f_bavail.saturating_mul(disk.f_frsize) >> 20,
        })
    }

    /// The share of one of so many agents, number `at` of them; some memory and disk stays for the
    /// system. Source of what is left over: Mesos.
    pub fn share(self, at: u32, agents: u32) -> Resources {
        assert!(at < agents, "share {at} of {agents} agents");
        let kept = |total: u64, reserve: u64| match total > 2 * reserve {
            true => total - reserve,
            false => total / 2,
        };
        let part = |total: u64| i64::try_from(total / u64::from(agents)).unwrap_or(i64::MAX / 2000);
        let ports = (PORTS.end - PORTS.begin + 1) / u64::from(agents);
        let begin = PORTS.begin + u64::from(at) * ports;
        let end = if at + 1 == agents {
            PORTS.end
        } else {
            begin + ports - 1
        };
        let list = [
            (
                "cpus",
                Value::Scalar(Amount(part(u64::from(self.cpus) * 1000))),
            ),
            (
                "mem",
                Value::Scalar(Amount(part(kept(self.mem, 1024)) * 1000)),
            ),
            (
                "disk",
                Value::Scalar(Amount(part(kept(self.disk, 5 * 1024)) * 1000)),
            ),
            ("ports", Value::Ranges(vec![Range { begin, end }])),
        ];
        let list = list.into_iter();
        let list = list.map(|(name, value)| Resource::plain(name, value));
        Resources::from_list(list).expect("shares of a machine are valid resources")
    }
}

/// `MemTotal` in MB.
fn memory(meminfo: &str) -> io::Result<u64> {
    let kilobytes: Option<u64> = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    kilobytes
        .map(|kb| kb / 1024)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_do_not_overlap_and_fit() {
        let machine = Machine {
            cpus: 2,
            mem: 8192,
            disk: 100_000,
        };
        assert_eq!(
            machine.share(0, 1).to_string(),
            "cpus:2; disk:94880; mem:7168; ports:[31000-32000]"
        );
        let mut all = Resources::new();
        for at in 0..3 {
            all.add(&machine.share(at, 3)).expect("no overlap");
        }
        assert!(machine.share(0, 1).contains(&all));
    }

    #[test]
    fn the_kernel_is_understood() {
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:  2048 kB\n").unwrap(), 2);
        assert!(memory("").is_err());
        assert!(Machine::detect(Path::new("/nowhere/at/all")).unwrap().mem > 0);
    }
}
