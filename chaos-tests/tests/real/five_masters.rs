//! Five masters lose one, two, three of them, and a spare takes the place of one that stays dead.

use rustix::process::Signal;

use crate::cluster::said;
use crate::nodes::Nodes;
use crate::wait::{check, until};

/// Long enough that no master is replaced while a test looks, short enough to wait for.
const REPLACE: &str = "--replace-dead=15";

#[test]
fn two_may_be_lost_and_a_spare_replaces_the_dead() {
    let mut nodes = Nodes::cluster(5, 1, &[REPLACE]);
    let all = ["m1", "m2", "m3", "m4", "m5"];
    nodes.until_voters("m1", &all);
    nodes.stop("m4", Signal::KILL);
    nodes.stop("m5", Signal::KILL);
    assert_eq!(
        nodes.run("m1", &["run", "--", "echo", "three are enough"]),
        "three are enough\n"
    );

    nodes.stop("m3", Signal::KILL);
    let refused = nodes.output("m1", &["run", "--detach", "--", "true"]);
    let text = said(&refused);
    assert_eq!(
        refused.status.code(),
        Some(125),
        "two of five commit nothing: {text}"
    );
    assert!(text.contains("leader"), "it says why: {text}");
    let stale = nodes.output("m1", &["quorum", "list"]);
    assert_eq!(stale.status.code(), Some(3), "{}", said(&stale));

    nodes.again("m3");
    until("three of five commit again", crate::nodes::SOON, || {
        let output = nodes.output("m1", &["run", "--", "echo", "again"]);
        check(output.stdout == b"again\n", || said(&output))
    });
    nodes.again("m4");
    nodes.start("spare", &["--roles=master", REPLACE]);
    nodes.until_voters("m1", &["m1", "m2", "m3", "m4", "spare"]);

    // The dead one was replaced for ever, and says so.
    let refused = nodes.refused("m5");
    let text = said(&refused);
    assert!(text.contains("out of the quorum"), "{text}");
    let folder = nodes.data("m5");
    let folder = folder.to_str().expect("the folder has a name");
    nodes.run("m1", &["quorum", "reset", folder]);
    nodes.again("m5");
    nodes.until_usable("m5", 1);
    until("the new master is promoted", crate::nodes::SOON, || {
        let output = nodes.output("m1", &["quorum", "promote", "m5"]);
        check(output.status.success(), || said(&output))
    });
    nodes.until_voters("m5", &["m1", "m2", "m3", "m4", "m5", "spare"]);
    nodes.end();
}
