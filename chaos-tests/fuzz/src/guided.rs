//! The guided engine: libFuzzer over the same targets; `SHOAL_FUZZ_TARGET` names the one. Built by the
//! script `guided`, with the crates of this repository instrumented.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use shoal_fuzz::{TARGETS, Target, check};

static CHOSEN: OnceLock<&'static Target> = OnceLock::new();

fn choose() {
    let name = std::env::var("SHOAL_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    let found = found.unwrap_or_else(|| panic!("SHOAL_FUZZ_TARGET={name} is no target"));
    assert!(CHOSEN.set(found).is_ok(), "it is chosen once");
}

fuzz_target!(init: choose(), |input: &[u8]| -> Corpus {
    let target = CHOSEN.get().expect("the target is chosen first");
    let _held = check(target, input);
    Corpus::Keep
});
