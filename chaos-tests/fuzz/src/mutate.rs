//! The blind engine: changes inputs by chance, one seed one sequence.
//!
//! It knows nothing of formats but what all have: bytes, numbers in several forms, words, repetition.
//! Guidance is what was accepted: such an input is changed further.

use shoal_api::Dice;

use crate::limits;

/// Numbers at which decoders break.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    3,
    16,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 53,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Pieces of the texts that our decoders read.
const TEXTS: [&str; 24] = [
    "{", "}", "[", "]", "\"", ":", ",", ";", "null", "true", "{}", "[]", "\\ud800", "\\u0000",
    "1e999", "-0", "NaN", "%00", "%2f", "\r\n", "\u{0}", "=", "-1", "é",
];

/// Draws inputs.
#[derive(Debug)]
pub struct Mutator {
    dice: Dice,
    /// What was there at the start, never empty.
    roots: Vec<Vec<u8>>,
    offspring: Vec<Vec<u8>>,
    replaced: usize,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// Starts from these inputs, of which there must be one.
    pub fn new(seed: u64, roots: Vec<Vec<u8>>) -> Mutator {
        assert!(!roots.is_empty(), "there is nothing to mutate");
        Mutator {
            dice: Dice::new(seed).child("mutations"),
            words: words(&roots),
            roots,
            offspring: Vec::new(),
            replaced: 0,
        }
    }

    /// The next input.
    pub fn draw(&mut self) -> Vec<u8> {
        let mut input = self.pick().clone();
        for _ in 0..=self.dice.below(limits::CHANGES) {
            self.change(&mut input);
        }
        input.truncate(limits::INPUT_BYTES);
        input
    }

    /// Keeps an input that was drawn, to change it further.
    pub fn keep(&mut self, input: Vec<u8>) {
        if self.offspring.len() < limits::OFFSPRING {
            self.offspring.push(input);
            return;
        }
        self.offspring[self.replaced] = input;
        self.replaced = (self.replaced + 1) % limits::OFFSPRING;
    }

    fn pick(&mut self) -> &Vec<u8> {
        let young = !self.offspring.is_empty() && self.dice.chance(400);
        let from = if young { &self.offspring } else { &self.roots };
        &from[self.dice.below(from.len() as u64) as usize]
    }

    fn up_to(&mut self, most: usize) -> usize {
        self.dice.below(most as u64 + 1) as usize
    }

    /// A range within so many bytes, more often a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let begin = self.up_to(length);
        let most = match self.dice.below(4) {
            0 => length - begin,
            _ => (length - begin).min(16),
        };
        begin..begin + self.up_to(most)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        match self.dice.below(10) {
            0 => self.flip(input),
            1 => self.overwrite(input),
            2 => {
                let range = self.range(input.len());
                input.drain(range);
            }
            3 => {
                let piece = input[self.range(input.len())].to_vec();
                self.insert(input, &piece);
            }
            4 => {
                let other = self.pick().clone();
                let range = self.range(other.len());
                let piece = other[range].to_vec();
                match self.dice.chance(500) {
                    true => self.insert(input, &piece),
                    false => self.replace(input, &piece),
                }
            }
            5 => self.number(input),
            6 => {
                let piece = self.word();
                self.insert(input, &piece);
            }
            7 => self.repeat(input),
            8 => self.digits(input),
            _ => {
                let piece = self.word();
                self.replace(input, &piece);
            }
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        if input.is_empty() {
            return;
        }
        let at = self.dice.below(input.len() as u64) as usize;
        input[at] ^= 1 << self.dice.below(8);
    }

    fn overwrite(&mut self, input: &mut Vec<u8>) {
        let byte = self.dice.next_u64() as u8;
        if input.is_empty() {
            input.push(byte);
            return;
        }
        let at = self.dice.below(input.len() as u64) as usize;
        input[at] = byte;
    }

    fn insert(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.up_to(input.len());
        input.splice(at..at, piece.iter().copied());
    }

    fn replace(&mut self, input: &mut Vec<u8>, piece: &[u8]) {
        let at = self.up_to(input.len());
        let end = (at + piece.len()).min(input.len());
        input.splice(at..end, piece.iter().copied());
    }

    /// A number at an edge, in one of the forms that formats have.
    fn number(&mut self, input: &mut Vec<u8>) {
        let number = EDGES[self.dice.below(EDGES.len() as u64) as usize];
        let (big, little) = (number.to_be_bytes(), number.to_le_bytes());
        let piece = match self.dice.below(6) {
            0 => little[..2].to_vec(),
            1 => little[..4].to_vec(),
            2 => big[4..].to_vec(),
            3 => little.to_vec(),
            4 => big[6..].to_vec(),
            _ => varint(number),
        };
        match self.dice.chance(300) {
            true => self.insert(input, &piece),
            false => self.replace(input, &piece),
        }
    }

    /// Another number where digits are.
    fn digits(&mut self, input: &mut Vec<u8>) {
        let from = self.up_to(input.len());
        let Some(begin) = input[from..].iter().position(u8::is_ascii_digit) else {
            return;
        };
        let begin = from + begin;
        let rest = input[begin..]
            .iter()
            .position(|byte| !byte.is_ascii_digit());
        let end = rest.map_or(input.len(), |rest| begin + rest);
        let number = EDGES[self.dice.below(EDGES.len() as u64) as usize];
        input.splice(begin..end, number.to_string().into_bytes());
    }

    /// A piece of it many times.
    fn repeat(&mut self, input: &mut Vec<u8>) {
        let range = self.range(input.len());
        if range.is_empty() {
            return;
        }
        let most = 1 << self.dice.below(8);
        let times = 1 + self.dice.below(most) as usize;
        let fits = limits::INPUT_BYTES / range.len();
        let piece = input[range.clone()].repeat(times.min(fits));
        input.splice(range.end..range.end, piece);
    }

    fn word(&mut self) -> Vec<u8> {
        let known = self.words.len() as u64;
        let at = self.dice.below(known + TEXTS.len() as u64);
        match self.words.get(at as usize) {
            Some(word) => word.clone(),
            None => TEXTS[(at - known) as usize].as_bytes().to_vec(),
        }
    }
}

/// The words in some inputs, each once, in order.
fn words(inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for input in inputs {
        let pieces = input.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        for piece in pieces.filter(|piece| (3..=40).contains(&piece.len())) {
            if found.len() < limits::WORDS && !found.iter().any(|known| known == piece) {
                found.push(piece.to_vec());
            }
        }
    }
    found
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<Vec<u8>> {
        let mut mutator = Mutator::new(seed, vec![b"{\"name\": 12}".to_vec(), Vec::new()]);
        (0..2_000)
            .map(|at| {
                let input = mutator.draw();
                if at % 7 == 0 {
                    mutator.keep(input.clone());
                }
                input
            })
            .collect()
    }

    #[test]
    fn one_seed_is_one_sequence_of_bounded_inputs() {
        let inputs = drawn(1);
        assert_eq!(inputs, drawn(1));
        assert_ne!(inputs, drawn(2));
        assert!(
            inputs
                .iter()
                .all(|input| input.len() <= limits::INPUT_BYTES)
        );
        let mut different = inputs.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > 1_000, "{}", different.len());
        assert!(inputs.iter().any(|input| input.len() > 1_000));
    }

    #[test]
    fn words_are_taken_from_the_corpus() {
        let found = words(&[b"{\"name\": 12, \"name\": abcd}".to_vec()]);
        assert_eq!(found, [b"name".to_vec(), b"abcd".to_vec()]);
        assert_eq!(varint(300), [0xac, 2]);
    }
}
