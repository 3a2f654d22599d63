//! What the kernel says about this process, read when somebody asks.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric as Sample, MetricFamily, MetricType};

use super::catalogue::{self, Metric};

/// What a node tells once about itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Its roles, by comma.
    pub roles: String,
    /// Where its data is.
    pub data: PathBuf,
}

static ABOUT: OnceLock<About> = OnceLock::new();

/// Says which node this process is; the first word counts.
pub fn introduce(about: About) {
    // A process is one node; only tests open several after each other.
    drop(ABOUT.set(about));
}

/// The collector.
pub struct Process {
    descriptions: Vec<Desc>,
    started: Option<f64>,
}

const METRICS: [Metric; 10] = [
    catalogue::NODE_INFO,
    catalogue::DATA_SIZE,
    catalogue::DATA_AVAILABLE,
    catalogue::PROCESS_WRITTEN,
    catalogue::PROCESS_MAX_FILES,
    catalogue::BUILD_INFO,
    catalogue::PROCESS_START,
    catalogue::PROCESS_CPU,
    catalogue::PROCESS_MEMORY,
    catalogue::PROCESS_FILES,
];

impl Process {
    /// Reads what does not change.
    pub fn new() -> Process {
        let describe = |metric: &Metric| {
            let labels = metric
                .labels
                .iter()
                .map(|label| (*label).to_owned())
                .collect();
            Desc::new(
                metric.name.to_owned(),
                metric.help.to_owned(),
                labels,
                HashMap::new(),
            )
            .expect("a metric of the catalogue is valid")
        };
        Process {
            descriptions: METRICS.iter().map(describe).collect(),
            started: started(),
        }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let stat = Stat::read();
        let about = ABOUT.get();
        let named =
            about.map(|about| vec![label("name", &about.name), label("roles", &about.roles)]);
        let room = about.and_then(|about| rustix::fs::statvfs(&about.data).ok());
        let blocks = |count: u64, room: &rustix::fs::StatVfs| (count * room.f_frsize) as f64;
        let size = room.as_ref().map(|room| blocks(room.f_blocks, room));
        let available = room.as_ref().map(|room| blocks(room.f_bavail, room));
        let version = label("version", env!("CARGO_PKG_VERSION"));
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let files = fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        let values = [
            (named.as_ref().map(|_| 1.0), named.unwrap_or_default()),
            (size, Vec::new()),
            (available, Vec::new()),
            (written(), Vec::new()),
            (most.map(|most| most as f64), Vec::new()),
            (Some(1.0), vec![version]),
            (self.started, Vec::new()),
            (stat.as_ref().map(|stat| stat.cpu_seconds), Vec::new()),
            (stat.as_ref().map(|stat| stat.resident_bytes), Vec::new()),
            (files.map(|count| count as f64), Vec::new()),
        ];
        let families = METRICS.iter().zip(values);
        families
            .filter_map(|(metric, (value, labels))| Some(family(metric, value?, labels)))
            .collect()
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// What this process wrote, as far as it went to a disk.
fn written() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix("write_bytes: "))?
        .parse()
        .ok()
}

fn family(metric: &Metric, value: f64, labels: Vec<LabelPair>) -> MetricFamily {
    let mut sample = Sample::from_label(labels);
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    if metric.name.ends_with("_total") {
        let mut counter = Counter::default();
        counter.set_value(value);
        sample.set_counter(counter);
        family.set_field_type(MetricType::COUNTER);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        sample.set_gauge(gauge);
        family.set_field_type(MetricType::GAUGE);
    }
    family.set_metric(vec![sample]);
    family
}

/// What `/proc/self/stat` says, in base units.
struct Stat {
    cpu_seconds: f64,
    resident_bytes: f64,
    start_ticks: f64,
}

impl Stat {
    fn read() -> Option<Stat> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        let after = text.rsplit_once(") ")?.1;
        let field: Vec<&str> = after.split(' ').collect();
        // Fields are numbered from 1 in proc(5), and the third is the first one here.
        let number = |n: usize| field.get(n - 3)?.parse::<f64>().ok();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        Some(Stat {
            cpu_seconds: (number(14)? + number(15)?) / ticks,
            resident_bytes: number(24)? * rustix::param::page_size() as f64,
            start_ticks: number(22)? / ticks,
        })
    }
}

/// The start of the process in calendar time.
fn started() -> Option<f64> {
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(boot + Stat::read()?.start_ticks)
}
