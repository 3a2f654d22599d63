//! Targets of the fuzzer: what this crate reads and keeps private otherwise.
//!
//! Each says whether its input was accepted, and panics if a promise is broken.

use std::path::Path;

pub use crate::peer::fuzzing::{peer_frames, peer_streams};

use crate::config::flags::NodeFlags;
use crate::config::layers::Layers;
use crate::config::settings::{Settings, arguments};
use crate::config::{checked, file};

/// A configuration file's text: settings that it gives are the same when they are given as flags, as
/// `shoal dev` does.
pub fn configuration(text: &str) -> bool {
    let path = Path::new("shoal.toml");
    let found = file::parse(path, text);
    let layers = Layers::of_entries(path, found);
    let settings = match checked(layers) {
        Ok(loaded) => loaded.settings,
        Err(problems) => {
            assert!(!problems.0.is_empty(), "what is refused has a reason");
            assert!(!problems.to_string().is_empty(), "a reason is a text");
            return false;
        }
    };
    let given = arguments(&settings);
    let given: Vec<&str> = std::iter::once("--config=")
        .chain(given.iter().map(String::as_str))
        .collect();
    let flags = NodeFlags::of(&given);
    let again = match Settings::of(&Layers::gather(&flags, |_| None)) {
        Ok(again) => again,
        Err(problems) => panic!("{given:?} are refused: {problems:?}"),
    };
    assert_eq!(
        again.texts(),
        settings.texts(),
        "flags say what a file says"
    );
    true
}

/// Configuration files.
pub const CONFIGURATIONS: &[&str] = &[
    "# a node\nname = \"a\"\njoin = [\"b:1\", \"[::1]:2\"]\nroles = \"master, agent\"\n\
     bootstrap_expect = 3\nresources = \"cpus:4;mem:1024;ports:[31000-32000]\"\n\
     attributes = \"rack:a;weight:1.5\"\nlog_level = \"warn,gossip=debug\"\nlog_format = \"json\"\n",
    "gossip = \"0.0.0.0:7946\"\nadvertise_gossip = \"10.0.0.1:7946\"\npeer = \"0.0.0.0:7947\"\n\
     advertise_peer = \"host:7947\"\ninsecure = true\nreplace_dead = 0\noffer_timeout = 30\n\
     cluster = \"lab\"\ndata = '/var/lib/shoal'\n",
    "[node]\nname = { x = 1979-05-27T07:32:00Z, \"y\" = 0x1F, z = [1.5, true, \"\"\"a\"\"\"] }\n",
];

/// The body of a request for a run: what is created can be kept in the ledger.
pub fn run(body: &[u8]) -> bool {
    let Some(spec) = crate::api::read_run(body) else {
        return false;
    };
    let kept = postcard::to_allocvec(&spec).expect("memory takes every run");
    let again = postcard::from_bytes(&kept).expect("what is written can be read");
    assert_eq!(spec, again, "the ledger keeps what it was given");
    true
}
