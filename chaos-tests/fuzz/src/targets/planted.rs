//! Decoders that are broken on purpose. Each is found in its own way, or an engine is blind.

use super::PLAIN;
use crate::target::{Target, Verdict};

const fn planted(name: &'static str, covers: &'static str, run: fn(&[u8]) -> Verdict) -> Target {
    Target {
        name,
        covers,
        run,
        seeds: || vec![b"fine".to_vec()],
        memory: PLAIN,
    }
}

fn holds(input: &[u8], word: &[u8]) -> bool {
    input.windows(word.len()).any(|window| window == word)
}

pub(super) const PANIC: Target = planted("planted-panic", "panics at a length", |input| {
    assert!(!holds(input, &[0xff, 0xff]), "planted");
    Verdict::Accepted
});

pub(super) const ABORT: Target = planted("planted-abort", "ends the process", |input| {
    if holds(input, b"finefi") {
        std::process::abort();
    }
    Verdict::Accepted
});

pub(super) const STACK: Target = planted("planted-stack", "recurses for each byte", |input| {
    fn deep(input: &[u8]) -> usize {
        let room = std::hint::black_box([0_u8; 512]);
        match input.split_first() {
            Some((_, rest)) => deep(rest) + usize::from(room[0]) + 1,
            None => 0,
        }
    }
    match deep(input) == input.len() {
        true => Verdict::Accepted,
        false => Verdict::Refused,
    }
});

pub(super) const MEMORY: Target = planted("planted-memory", "believes a length", |input| {
    let length = input
        .first_chunk::<4>()
        .map_or(0, |head| u32::from_be_bytes(*head));
    let room: Vec<u64> = Vec::with_capacity(length as usize >> 8);
    std::hint::black_box(room);
    Verdict::Accepted
});

pub(super) const DEAF: Target = planted("planted-deaf", "accepts nothing", |_| Verdict::Refused);
