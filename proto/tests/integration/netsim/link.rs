//! Repeatable random numbers, and lines that lose, delay, reorder and duplicate packets.

use fyteclub_proto::number::{f64_of, u64_of, usize_of};
use std::time::{Duration, Instant};

/// SplitMix64: the same numbers for the same seed, on every machine.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// An index of a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        usize_of(self.below(u64_of(length)))
    }

    pub fn byte(&mut self) -> u8 {
        self.draw().to_le_bytes()[0]
    }

    /// From 0 up to, but not, 1.
    pub fn unit(&mut self) -> f64 {
        f64_of(self.draw() >> 11) / f64_of(1_u64 << 53)
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A port from 1024 on.
    pub fn port(&mut self) -> u16 {
        1024 + u16::try_from(self.below(64_512)).expect("below 64,512")
    }
}

/// One line, the same in both directions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Link {
    pub delay: Duration,
    /// The most that is added to the delay of a packet.
    pub jitter: Duration,
    pub loss: f64,
    pub duplicate: f64,
    /// The share of packets that come up to twice the delay later.
    pub reorder: f64,
    /// Loses everything.
    pub cut: bool,
}

impl Link {
    pub fn of_ms(delay: u64) -> Self {
        Self { delay: Duration::from_millis(delay), ..Self::default() }
    }

    /// When the copies of a packet arrive that is sent now: none, one or two.
    pub fn arrivals(&self, now: Instant, dice: &mut Dice) -> Vec<Instant> {
        if self.cut || dice.chance(self.loss) {
            return Vec::new();
        }
        let copies = if dice.chance(self.duplicate) { 2 } else { 1 };
        let arrival = |dice: &mut Dice| {
            let late = if dice.chance(self.reorder) {
                self.delay.mul_f64(2.0 * dice.unit())
            } else {
                Duration::ZERO
            };
            now + self.delay + self.jitter.mul_f64(dice.unit()) + late
        };
        (0..copies).map(|_| arrival(dice)).collect()
    }
}
