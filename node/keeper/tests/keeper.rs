//! The keeper with real processes. Every wait has a condition and a deadline.

mod harness;

use std::fs;
use std::time::Duration;

use harness::{Keeper, alive, ended, shell, spec};
use shoal_keeper::protocol::{Body, End, Failure, Identity, Request, State};

#[test]
fn exits_are_told_as_they_were() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    for (script, end) in [
        ("true", End::Code(0)),
        ("exit 3", End::Code(3)),
        ("exit 255", End::Code(255)),
        ("kill -9 $$", End::Signal(9)),
        ("kill -TERM $$", End::Signal(15)),
        ("/no/such/binary", End::Code(127)),
    ] {
        assert!(matches!(
            keeper.spawn(&mut client, script, &shell(&keeper, script)),
            State::Running { .. }
        ));
        assert_eq!(ended(&mut client, script), end, "{script}");
    }
}

#[test]
fn a_task_gets_what_its_spec_says() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let script = "pwd; echo \"$A\"; umask; echo \"$0 $1\"; ps -o pgid= -p $$ | tr -d ' '; echo $$; \
                  cat; env | cut -d= -f1 | sort | tr '\\n' ' '; ls -l /proc/self/fd | wc -l; \
                  grep SigBlk /proc/self/status; grep SigIgn /proc/self/status";
    let mut spec = shell(&keeper, script);
    spec.arguments
        .extend(["name".into(), "one argument".into()]);
    spec.environment.push(("A".into(), "a value".into()));
    keeper.spawn(&mut client, "t", &spec);
    assert_eq!(ended(&mut client, "t"), End::Code(0));
    let out = fs::read_to_string(&spec.stdout).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    let folder = fs::canonicalize(&spec.directory).unwrap();
    assert_eq!(lines[0], folder.to_str().unwrap());
    assert_eq!(&lines[1..4], ["a value", "0022", "name one argument"]);
    assert_eq!(lines[4], lines[5], "the leader of its own group");
    assert_eq!(lines[6].split(' ').next(), Some("A"));
    assert!(lines[6].contains("SHOAL_TASK_KEY"), "{}", lines[6]);
    // total, 0, 1, 2 and the folder that `ls` itself reads.
    assert!(lines[6].trim_end().ends_with('5'), "{}", lines[6]);
    for line in &lines[7..9] {
        let (_, mask) = line.split_once('\t').unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        // The C library keeps signals 32 and 33 for itself and lets nobody change them.
        assert_eq!(mask & !0x1_8000_0000, 0, "{line}");
    }
}

#[test]
fn output_is_whole_once_the_end_is_told() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let spec = shell(&keeper, "seq 1 100000; seq 1 1000 >&2");
    keeper.spawn(&mut client, "t", &spec);
    ended(&mut client, "t");
    let lines = |path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!(lines(&spec.stdout), 100_000);
    assert_eq!(lines(&spec.stderr), 1_000);
}

#[test]
fn tasks_survive_their_client() {
    let keeper = Keeper::start();
    let gate = keeper.gate("gate");
    let mut client = keeper.subscribe();
    keeper.spawn(&mut client, "t", &shell(&keeper, "read x < gate; exit 7"));
    drop(client);
    let mut client = keeper.subscribe();
    let listed = keeper.list(&mut client);
    assert!(matches!(listed[0].state, State::Running { .. }));
    gate.open();
    assert_eq!(ended(&mut client, "t"), End::Code(7));
    // And the end waits for a client that was not there.
    drop(client);
    let mut client = keeper.subscribe();
    let listed = keeper.list(&mut client);
    assert!(matches!(
        listed[0].state,
        State::Ended {
            end: End::Code(7),
            ..
        }
    ));
}

#[test]
fn one_key_runs_once() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let spec = shell(&keeper, "echo x >> mark");
    for _ in 0..3 {
        keeper.spawn(&mut client, "t", &spec);
    }
    ended(&mut client, "t");
    assert!(matches!(
        keeper.spawn(&mut client, "t", &spec),
        State::Ended { .. }
    ));
    let mark = keeper.dir().join("mark");
    assert_eq!(fs::read_to_string(&mark).unwrap(), "x\n");
    // Forgotten, the key is free.
    let forget = Request::Forget { key: "t".into() };
    assert_eq!(client.ask(&forget).unwrap(), Body::Done);
    assert!(keeper.list(&mut client).is_empty());
    keeper.spawn(&mut client, "t", &spec);
    ended(&mut client, "t");
    assert_eq!(fs::read_to_string(&mark).unwrap(), "x\nx\n");
}

#[test]
fn signals_reach_the_whole_group() {
    let keeper = Keeper::start();
    let gate = keeper.gate("ready");
    let mut client = keeper.subscribe();
    let script = "sleep 1000 & echo $! > child; echo > ready; wait";
    keeper.spawn(&mut client, "t", &shell(&keeper, script));
    gate.wait();
    let child: u32 = keeper.read("child").trim().parse().unwrap();
    assert!(alive(child));
    assert_eq!(keeper.signal(&mut client, "t", 15), Body::Done);
    assert_eq!(ended(&mut client, "t"), End::Signal(15));
    keeper.until("the child is gone", || !alive(child));
    assert_eq!(keeper.signal(&mut client, "t", 15), Body::NoSuchTask);
    assert_eq!(keeper.signal(&mut client, "u", 15), Body::NoSuchTask);
}

#[test]
fn what_a_task_leaves_in_its_group_ends_with_it() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let script = "(trap '' TERM HUP; sleep 1000) & echo $! > child";
    keeper.spawn(&mut client, "t", &shell(&keeper, script));
    assert_eq!(ended(&mut client, "t"), End::Code(0));
    let child: u32 = keeper.read("child").trim().parse().unwrap();
    keeper.until("the child is gone", || !alive(child));
}

#[test]
fn what_cannot_start_says_why() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let missing = spec(&keeper, "/no/such/binary", &[]);
    let State::NotStarted { failure, .. } = keeper.spawn(&mut client, "a", &missing) else {
        panic!("it was started");
    };
    assert!(matches!(&failure, Failure::Exec(why) if why.contains("/no/such/binary")));
    assert!(
        fs::read_to_string(&missing.stderr)
            .unwrap()
            .contains("/no/such/binary")
    );
    let unfound = spec(&keeper, "no-such-word-in-path", &[]);
    assert!(matches!(
        keeper.spawn(&mut client, "b", &unfound),
        State::NotStarted {
            failure: Failure::Exec(_),
            ..
        }
    ));
    let mut nowhere = shell(&keeper, "true");
    nowhere.directory = "/no/such/folder".into();
    assert!(matches!(
        keeper.spawn(&mut client, "c", &nowhere),
        State::NotStarted { failure: Failure::Setup(why), .. } if why.contains("/no/such/folder")
    ));
    let mut unwritable = shell(&keeper, "true");
    unwritable.stdout = "/no/such/folder/stdout".into();
    assert!(matches!(
        keeper.spawn(&mut client, "d", &unwritable),
        State::NotStarted {
            failure: Failure::Setup(_),
            ..
        }
    ));
    let nul = shell(&keeper, "true\0");
    assert!(matches!(
        keeper.spawn(&mut client, "e", &nul),
        State::NotStarted {
            failure: Failure::Setup(_),
            ..
        }
    ));
    let long = shell(&keeper, &format!(": {}", "x".repeat(200_000)));
    assert!(matches!(
        keeper.spawn(&mut client, "f", &long),
        State::NotStarted {
            failure: Failure::Exec(_),
            ..
        }
    ));
}

#[test]
fn a_script_without_a_first_line_is_given_to_the_shell() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let script = keeper.dir().join("script");
    fs::write(&script, "echo \"got $1\"\n").unwrap();
    keeper.executable(&script);
    let spec = spec(&keeper, script.to_str().unwrap(), &["script", "it"]);
    keeper.spawn(&mut client, "t", &spec);
    assert_eq!(ended(&mut client, "t"), End::Code(0));
    assert_eq!(fs::read_to_string(&spec.stdout).unwrap(), "got it\n");
}

#[test]
fn a_thousand_tasks_leave_nothing_behind() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let spec = spec(&keeper, "true", &["true"]);
    keeper.spawn(&mut client, "first", &spec);
    ended(&mut client, "first");
    let descriptors = keeper.descriptors();
    let mut journal = 0;
    for round in 0..10 {
        for n in 0..100 {
            keeper.spawn(&mut client, &format!("{round}-{n}"), &spec);
        }
        for _ in 0..100 {
            let change = client.change().unwrap();
            let State::Ended { end, .. } = change.state else {
                panic!("{change:?}");
            };
            assert_eq!(end, End::Code(0));
            let forget = Request::Forget { key: change.key };
            assert_eq!(client.ask(&forget).unwrap(), Body::Done);
        }
        journal = fs::metadata(keeper.home().join("journal")).unwrap().len();
    }
    assert_eq!(keeper.descriptors(), descriptors);
    assert_eq!(keeper.children(), 0);
    assert_eq!(keeper.list(&mut client).len(), 1);
    assert!(journal < 2 * shoal_keeper::limits::JOURNAL_BYTES);
}

#[test]
fn orphans_are_reaped() {
    let keeper = Keeper::start();
    let gate = keeper.gate("gate");
    let mut client = keeper.subscribe();
    let script = "setsid sh -c 'echo $$ > orphan; echo > ready; read x < gate' & read x < ready";
    let ready = keeper.gate("ready");
    keeper.spawn(&mut client, "t", &shell(&keeper, script));
    assert_eq!(ended(&mut client, "t"), End::Code(0));
    drop(ready);
    let orphan: u32 = keeper.read("orphan").trim().parse().unwrap();
    keeper.until("the orphan is the keeper's", || keeper.children() == 1);
    gate.open();
    keeper.until("the orphan is reaped", || keeper.children() == 0);
    assert!(!alive(orphan));
}

#[test]
fn a_terminals_signals_mean_nothing_to_it() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    keeper.kill("HUP");
    keeper.kill("INT");
    assert!(keeper.list(&mut client).is_empty());
}

#[test]
fn shutdown_ends_everything() {
    let mut keeper = Keeper::start();
    let (one, two, three) = (keeper.gate("one"), keeper.gate("two"), keeper.gate("three"));
    let mut client = keeper.subscribe();
    let stubborn = "trap '' TERM; echo > one; while true; do sleep 1000; done";
    let polite = "trap 'echo bye; exit 0' TERM; echo > two; while true; do sleep 1000 & wait; done";
    let hidden = "setsid sh -c 'echo $$ > orphan; echo > three; exec sleep 1000' & wait";
    let polite = shell(&keeper, polite);
    keeper.spawn(&mut client, "stubborn", &shell(&keeper, stubborn));
    keeper.spawn(&mut client, "polite", &polite);
    keeper.spawn(&mut client, "hidden", &shell(&keeper, hidden));
    for gate in [one, two, three] {
        gate.wait();
    }
    let orphan: u32 = keeper.read("orphan").trim().parse().unwrap();
    let shutdown = Request::Shutdown { grace_ms: 300 };
    assert_eq!(client.ask(&shutdown).unwrap(), Body::Done);
    client.wait_for_end().unwrap();
    keeper.wait();
    assert!(!alive(orphan));
    assert_eq!(fs::read_to_string(&polite.stdout).unwrap(), "bye\n");
    // What ended then is known to the next keeper.
    let keeper = keeper.again();
    let mut client = keeper.subscribe();
    let ends: Vec<_> = keeper
        .list(&mut client)
        .into_iter()
        .map(|t| t.state)
        .collect();
    assert_eq!(ends.len(), 3);
    assert!(
        ends.iter().all(|state| matches!(
            state,
            State::Ended {
                end: End::Code(0) | End::Signal(_),
                ..
            }
        )),
        "{ends:?}"
    );
}

#[test]
fn its_life_hangs_on_a_line() {
    let (mut keeper, line) = Keeper::start_on_a_line();
    let gate = keeper.gate("gate");
    let mut client = keeper.subscribe();
    let script = "echo $$ > pid; cat; echo > gate; exec sleep 1000";
    keeper.spawn(&mut client, "t", &shell(&keeper, script));
    gate.wait();
    let task: u32 = keeper.read("pid").trim().parse().unwrap();
    drop(line);
    client.wait_for_end().unwrap();
    keeper.wait();
    assert!(!alive(task));
}

#[test]
fn a_folder_has_one_keeper() {
    let keeper = Keeper::start();
    let mut second = keeper.command().spawn().unwrap();
    assert!(!second.wait().unwrap().success());
    assert!(keeper.list(&mut keeper.subscribe()).is_empty());
}

#[test]
fn a_new_keeper_finds_what_the_dead_one_started() {
    let mut keeper = Keeper::start();
    let gate = keeper.gate("gate");
    let ready = keeper.gate("ready");
    let late = keeper.gate("late");
    let mut client = keeper.subscribe();
    let running = shell(&keeper, "echo > ready; read x < gate; echo done");
    let before = keeper.spawn(&mut client, "runs", &running);
    keeper.spawn(&mut client, "ended", &shell(&keeper, "exit 4"));
    assert_eq!(ended(&mut client, "ended"), End::Code(4));
    keeper.spawn(
        &mut client,
        "unseen",
        &shell(&keeper, "echo $$ > pid; read x < late"),
    );
    ready.wait();
    keeper.kill("KILL");
    keeper.wait();
    late.open();
    keeper.until("the unseen end", || {
        !fs::read_to_string(keeper.dir().join("pid"))
            .is_ok_and(|pid| alive(pid.trim().parse().unwrap()))
    });
    let keeper = keeper.again();
    let mut client = keeper.subscribe();
    let state = |client: &mut _, key: &str| {
        let all = keeper.list(client);
        all.into_iter().find(|t| t.key == key).unwrap().state
    };
    assert_eq!(state(&mut client, "runs"), before);
    assert!(matches!(
        state(&mut client, "ended"),
        State::Ended {
            end: End::Code(4),
            ..
        }
    ));
    assert!(matches!(
        state(&mut client, "unseen"),
        State::Ended {
            end: End::Unknown,
            ..
        }
    ));
    gate.open();
    assert_eq!(ended(&mut client, "runs"), End::Unknown);
    assert_eq!(fs::read_to_string(&running.stdout).unwrap(), "done\n");
}

#[test]
fn nonsense_ends_only_its_own_connection() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xff; 8],
        &[1, 0, 0, 0, 0x7f],
    ] {
        keeper.send_raw(garbage);
    }
    assert!(matches!(
        keeper.raw(&Request::List),
        Body::Refused(why) if why.contains("hello")
    ));
    assert!(keeper.list(&mut client).is_empty());
}

#[test]
fn a_task_runs_as_its_user() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: changing the user needs root");
        return;
    }
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let mut spec = shell(&keeper, "id -u; id -g; id -G; echo x >> /proc/self/fd/1");
    spec.identity = Some(Identity {
        uid: 65_534,
        gid: 65_533,
        groups: vec![65_533, 65_532],
    });
    keeper.spawn(&mut client, "t", &spec);
    assert_eq!(ended(&mut client, "t"), End::Code(0));
    assert_eq!(
        fs::read_to_string(&spec.stdout).unwrap(),
        "65534\n65533\n65533 65532\nx\n"
    );
}

#[test]
fn starts_stay_fast() {
    let keeper = Keeper::start();
    let mut client = keeper.subscribe();
    let spec = spec(&keeper, "true", &["true"]);
    let begin = std::time::Instant::now();
    for n in 0..200 {
        keeper.spawn(&mut client, &n.to_string(), &spec);
    }
    // A generous bound: it is a few milliseconds each on a machine that is busy with other tests.
    assert!(begin.elapsed() < Duration::from_secs(20));
}
