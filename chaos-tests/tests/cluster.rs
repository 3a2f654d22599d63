//! Whole clusters, simulated: their promises hold under all faults, and runs repeat.

use std::time::Duration;

use chaos_tests::worlds::World;

const FAULTY: Duration = Duration::from_secs(60);

#[test]
fn promises_hold_under_all_faults() {
    for seed in 1..=10 {
        let report = World::Cluster.run(seed, FAULTY, None);
        assert_eq!(report.violation, None, "seed {seed}");
        let processes = report.counts.iter().find(|(name, _)| *name == "processes");
        assert!(
            processes.is_some_and(|(_, count)| *count > 20),
            "seed {seed}: {:?}",
            report.counts
        );
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in [3, 4] {
        let first = World::Cluster.run(seed, FAULTY, None);
        assert_eq!(first.trace, World::Cluster.run(seed, FAULTY, None).trace);
        assert_ne!(
            first.trace,
            World::Cluster.run(seed + 10, FAULTY, None).trace
        );
    }
}

/// Seeds that found a defect once, with the minutes of faults that it took.
const FOUND: [(u64, u64, &str); 5] = [
    (
        11,
        3,
        "a stream stayed open that the ledger had ended, as its holder was believed dead",
    ),
    (
        71,
        3,
        "a hello undid what was told beside it in the older session",
    ),
    (
        12,
        3,
        "a hello left out a task whose launch was not on disk, which then ran unknown",
    ),
    (
        3,
        3,
        "a snapshot was marked with an index that its image had not reached",
    ),
    (
        5091,
        20,
        "a hello that was overtaken by a newer one ended tasks that ran",
    ),
];

#[test]
fn what_was_found_once_stays_away() {
    for (seed, minutes, what) in FOUND {
        let report = World::Cluster.run(seed, Duration::from_secs(minutes * 60), None);
        assert_eq!(report.violation, None, "seed {seed}: {what}");
    }
}
