//! What the arithmetic of resources promises, tried on many of them drawn from a seed.

use std::sync::Arc;

use crate::dice::Dice;
use crate::id::Role;
use crate::resource::{Amount, Range, Resource, Resources, Value};
use crate::terms::{
    Disk, DiskKind, DiskSource, Reservation, ReservationKind, Terms, Volume, is_below,
};

fn role(text: &str) -> Role {
    Role::new(text).expect("a role")
}

fn reservations(dice: &mut Dice) -> Vec<Reservation> {
    let stack = [
        Reservation::fixed(role("web")),
        Reservation {
            kind: ReservationKind::Dynamic,
            ..Reservation::fixed(role("web/front"))
        },
    ];
    stack[..dice.below(3) as usize].to_vec()
}

fn disk(dice: &mut Dice) -> Option<Disk> {
    let kind = match dice.below(4) {
        0 => return None,
        1 => DiskKind::Path,
        2 => DiskKind::Mount,
        _ => DiskKind::Raw,
    };
    let source = DiskSource {
        kind,
        root: Some(Arc::from("/mnt/a")),
        id: None,
        metadata: Vec::new(),
        profile: None,
        vendor: None,
    };
    let volume = dice.chance(500).then(|| Volume {
        id: Arc::from(format!("v{}", dice.below(3))),
        principal: None,
        container_path: Arc::from("data"),
        created: 1,
    });
    Some(Disk {
        source: dice.chance(500).then_some(source),
        volume,
    })
}

fn one(dice: &mut Dice) -> Resource {
    let mut terms = Terms {
        reservations: reservations(dice),
        ..Terms::default()
    };
    match dice.below(6) {
        0 | 1 => {
            let amount = Amount(dice.below(5_000) as i64);
            let name = if dice.chance(500) { "cpus" } else { "mem" };
            terms.revocable = terms.reservations.is_empty() && dice.chance(200);
            Resource::on(Arc::from(name), Value::Scalar(amount), terms)
        }
        2 | 3 => {
            terms.disk = disk(dice).filter(|disk| *disk != Disk::default());
            terms.shared = terms.volume().is_some() && dice.chance(300);
            let amount = Amount(1_000 * (1 + dice.below(3) as i64));
            Resource::on(Arc::from("disk"), Value::Scalar(amount), terms)
        }
        4 => {
            let begin = dice.below(40);
            let end = begin + dice.below(10);
            let value = Value::Ranges(vec![Range { begin, end }]);
            Resource::on(Arc::from("ports"), value, terms)
        }
        _ => {
            let word = Arc::from(format!("w{}", dice.below(5)));
            Resource::on(Arc::from("words"), Value::Set(vec![word]), terms)
        }
    }
}

fn some(dice: &mut Dice) -> Resources {
    let mut sum = Resources::new();
    for _ in 0..dice.below(8) {
        let next = Resources::from_list([one(dice)]).expect("each of them is valid");
        // What overlaps or stands twice is refused, and changes nothing.
        let before = sum.clone();
        if sum.add(&next).is_err() {
            assert_eq!(sum, before);
        }
    }
    sum
}

/// Those that are used up.
fn used_up(resources: &Resources) -> Resources {
    resources.filter(Resource::is_used_up)
}

#[test]
fn addition_commutes_and_what_was_added_can_be_taken() {
    let mut dice = Dice::new(41);
    let mut sums = 0;
    for _ in 0..4_000 {
        let (a, b) = (some(&mut dice), some(&mut dice));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        let (first, second) = (ab.add(&b), ba.add(&a));
        assert_eq!(first.is_ok(), second.is_ok(), "{a} and {b}");
        if first.is_err() {
            assert_eq!((&ab, &ba), (&a, &b), "a refused addition changes nothing");
            continue;
        }
        sums += 1;
        assert_eq!(ab, ba);
        assert!(ab.contains(&a) && ab.contains(&b));
        let mut left = ab.clone();
        left.subtract(&b).expect("it was added");
        assert_eq!(used_up(&left), used_up(&a), "{a} and {b}");
        left.add(&b).expect("it was taken");
        assert_eq!(left, ab, "nothing is lost or made");
        let again = Resources::from_list(ab.iter().cloned()).expect("a sum is valid");
        assert_eq!(again, ab, "a sum is in its normal form");
    }
    assert!(sums > 200, "{sums}");
}

#[test]
fn what_is_not_contained_is_not_taken() {
    let mut dice = Dice::new(42);
    for _ in 0..4_000 {
        let (a, b) = (some(&mut dice), some(&mut dice));
        let mut left = a.clone();
        assert_eq!(left.subtract(&b).is_ok(), a.contains(&b));
        if !a.contains(&b) {
            assert_eq!(left, a);
        }
        let mut gone = a.clone();
        gone.remove(&a).expect("all of it is there");
        assert!(gone.is_empty());
    }
}

#[test]
fn a_volume_is_taken_whole_and_a_shared_one_stays() {
    let of = |shared: bool, amount: i64| {
        let terms = Terms {
            reservations: vec![Reservation::fixed(role("web"))],
            disk: Some(Disk {
                source: None,
                volume: Some(Volume {
                    id: Arc::from("v"),
                    principal: None,
                    container_path: Arc::from("data"),
                    created: 7,
                }),
            }),
            shared,
            ..Terms::default()
        };
        let value = Value::Scalar(Amount(amount));
        Resources::from_list([Resource::on(Arc::from("disk"), value, terms)]).expect("valid")
    };
    let mut own = of(false, 1_000);
    assert!(!own.contains(&of(false, 500)));
    assert!(own.add(&of(false, 1_000)).is_err());
    own.subtract(&of(false, 1_000)).expect("all of it");
    assert!(own.is_empty());
    let mut shared = of(true, 1_000);
    shared.add(&of(true, 1_000)).expect("the same once more");
    shared.subtract(&of(true, 1_000)).expect("it is there");
    assert_eq!(shared, of(true, 1_000));
    shared.remove(&of(true, 1_000)).expect("it is there");
    assert!(shared.is_empty());
}

#[test]
fn reserved_resources_are_for_the_role_and_those_below_it() {
    let for_web = Terms {
        reservations: vec![Reservation::fixed(role("web"))],
        ..Terms::default()
    };
    assert!(for_web.is_for(&role("web")) && for_web.is_for(&role("web/front")));
    assert!(!for_web.is_for(&role("webs")) && !for_web.is_for(&role("*")));
    assert!(Terms::default().is_for(&role("db")));
    assert!(is_below(&role("a/b/c"), &role("a")) && !is_below(&role("a"), &role("a")));
}
