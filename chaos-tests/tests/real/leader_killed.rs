//! The leader is killed while a framework that is attached to it runs tasks: none is lost, none runs
//! twice, and the killed master comes back.

use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::framework::{Framework, Job, assert_each_once};
use crate::machine;
use crate::wait::seconds;

const TASKS: usize = 200;

#[test]
fn two_hundred_tasks_run_once_each() {
    let python = match machine::pymesos() {
        Ok(python) => python,
        Err(why) => return machine::skip("two_hundred_tasks_run_once_each", &why),
    };
    let cluster = Cluster::start(3, 3);
    let leader = cluster.leader();
    let marks = cluster.scratch("marks");
    let framework = Framework::start(
        &python,
        &cluster,
        &Job {
            tasks: TASKS,
            command: format!("sleep 1; echo {{number}} >> {}", marks.display()),
            failover_timeout: 60,
            wanted: "TASK_FINISHED",
            first: leader.name.clone(),
        },
    );
    framework.until_count("TASK_FINISHED", 20, seconds(60));
    let dead = cluster.node(&leader.name);
    assert_eq!(dead.pid, leader.pid, "the leader tells its own pid");
    leader.pid.signal(Signal::KILL);
    let finished = framework.count("TASK_FINISHED");
    assert!(finished < TASKS, "the leader died in the middle");

    let heir = cluster.leader_after(&leader);
    assert_ne!(heir.pid, leader.pid);
    let summary = framework.succeed(seconds(180));
    assert_each_once(&marks, TASKS);
    assert_eq!(
        summary.list("stray"),
        Vec::<String>::new(),
        "no given-up attempt speaks again"
    );
    assert!(
        summary.number("subscriptions") >= 2,
        "the framework was attached to the dead leader"
    );
    cluster.until_back(&dead);
    cluster.end();
}
