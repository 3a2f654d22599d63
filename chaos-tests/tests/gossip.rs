//! The gossip's figures, small: what `gossip` prints for many members holds for a few.

use std::time::Duration;

use chaos_tests::gossip::measures;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_crash_is_known_to_all_in_seconds() {
    for (loss, most) in [(0, 4), (250, 8)] {
        let times = measures::crashes(50, loss, 5);
        let median = times[2].expect("it is seen");
        assert!(median < most * SECOND, "{times:?}");
    }
}

#[test]
fn loss_fails_nobody() {
    for loss in [100, 250] {
        let mut world = measures::settled(3, 50, loss);
        let quiet = measures::quiet(&mut world, 150 * SECOND);
        assert_eq!((quiet.wronged, quiet.sums.renewals), (0, 0), "{quiet:?}");
        assert!(quiet.sums.vouched > 0, "nobody was even doubted");
    }
}

#[test]
fn a_join_is_known_at_once() {
    let mut world = measures::settled(4, 50, 0);
    let (seen, sees) = measures::join(&mut world);
    assert!(seen.is_some_and(|time| time < SECOND), "{seen:?}");
    assert!(sees.is_some_and(|time| time < SECOND / 2), "{sees:?}");
}

#[test]
fn an_idle_member_is_nearly_silent() {
    let mut world = measures::settled(5, 50, 0);
    let quiet = measures::quiet(&mut world, 60 * SECOND);
    assert!(quiet.bytes() < 393.0, "{} B/s", quiet.bytes());
}

#[test]
fn many_start_at_once_and_halves_meet_again() {
    let time = measures::cold_start(6, 150);
    assert!(time.is_some_and(|time| time < 10 * SECOND), "{time:?}");
    let time = measures::halves(7, 60, 60 * SECOND);
    assert!(time.is_some_and(|time| time < 60 * SECOND), "{time:?}");
}

#[test]
fn who_hears_nothing_removes_nobody() {
    for deaf in [true, false] {
        let quiet = measures::one_way(8, 60, deaf, 60 * SECOND);
        assert_eq!((quiet.wronged, quiet.sums.renewals), (0, 0), "{quiet:?}");
    }
}
