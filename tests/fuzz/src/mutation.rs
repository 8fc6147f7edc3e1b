//! Mutates an input: a few small changes, of the kinds that break decoders.

/// Longest input.
pub const INPUT_MAX: usize = 8192;

/// SplitMix64: repeatable, and enough for this.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The same for the same text, on every machine.
    pub fn named(name: &str) -> Self {
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("a length");
        usize::try_from(self.draw().checked_rem(end).unwrap_or(0)).expect("below a length")
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Values that break decoders: bincode's length markers, edges of integers, JSON's corners, special paths and names.
const WORDS: &[&[u8]] = &[
    &[0],
    &[0xff],
    &[251, 0xff, 0xff],
    &[252, 0xff, 0xff, 0xff, 0xff],
    &[252, 0, 0, 0xf0, 3],
    &[253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[253, 0, 0, 0, 0, 16, 0, 0, 0],
    &[254],
    &[0, 0, 0, 0x80],
    &[0xff, 0xff, 0xff, 0x7f],
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"0.1",
    b"18446744073709551616",
    b"65536",
    b"\"\"",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"{}",
    b"[]",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":",
    b",\"a\":1",
    b"..",
    b"/../",
    b"\\",
    b"c:",
    b"nul.tex",
    b".tex",
    b" ",
    b"@",
    b"\n",
    b"\xc3\x9f",
    b"\xc4\xb0",
    b"\xce\xa3",
    b"\xe2\x84\xaa",
    b"\xed\xa0\x80",
];

/// A new input: one of the seeds, changed in one to six places, or sometimes pure noise.
pub fn mutated(seeds: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input = match chance.below(16) {
        0 => (0..chance.below(96)).map(|_| chance.draw().to_le_bytes()[0]).collect(),
        _ => chance.of(seeds).clone(),
    };
    for _ in 0..=chance.below(6) {
        bend(&mut input, seeds, chance);
    }
    input.truncate(INPUT_MAX);
    input
}

fn bend(input: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Chance) {
    let at = chance.below(input.len());
    let some = at..(at + 1 + chance.below(8)).min(input.len());
    match chance.below(9) {
        0 if !input.is_empty() => input[at] ^= 1 << chance.below(8),
        1 if !input.is_empty() => input[at] = chance.draw().to_le_bytes()[0],
        2 if !input.is_empty() => drop(input.drain(some)),
        3 if !input.is_empty() => input.truncate(at),
        4 if !input.is_empty() => {
            let copy = input[some].to_vec();
            let to = chance.below(input.len());
            input.splice(to..to, copy);
        }
        5 => {
            let other = chance.of(seeds);
            let from = chance.below(other.len());
            let piece = &other[from..(from + chance.below(64)).min(other.len())];
            input.splice(at..at, piece.iter().copied());
        }
        6 if !input.is_empty() => {
            let word = *chance.of(WORDS);
            input.splice(some, word.iter().copied());
        }
        7 => input.push(chance.draw().to_le_bytes()[0]),
        _ => {
            let word = *chance.of(WORDS);
            input.splice(at..at, word.iter().copied());
        }
    }
}
