//! The quorum with a trivial ledger, simulated: its promises hold, and runs repeat.

use std::time::Duration;

use chaos_tests::worlds::World;

const FAULTY: Duration = Duration::from_secs(60);

#[test]
fn promises_hold_under_all_faults() {
    for seed in 1..=12 {
        let report = World::Replicas.run(seed, FAULTY, None);
        assert_eq!(report.violation, None, "seed {seed}");
        let writes = report.counts.iter().find(|(name, _)| *name == "writes");
        assert!(
            writes.is_some_and(|(_, count)| *count > 500),
            "seed {seed}: {:?}",
            report.counts
        );
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in [3, 4] {
        let (first, again) = (
            World::Replicas.run(seed, FAULTY, None),
            World::Replicas.run(seed, FAULTY, None),
        );
        assert_eq!(first.trace, again.trace);
        assert_ne!(
            first.trace,
            World::Replicas.run(seed + 10, FAULTY, None).trace
        );
    }
}
