//! Which of the peer's probes came already: a sliding window over their numbers.

/// Numbers below the highest that are still taken.
const WIDTH: u32 = 128;

#[derive(Debug, Default)]
pub(super) struct Window {
    highest: u32,
    /// Bit `n`: `highest - n` came.
    seen: u128,
}

impl Window {
    /// Notes a number; `false` if it came before or is too old to tell.
    pub(super) fn take(&mut self, number: u32) -> bool {
        if number > self.highest {
            let by = number - self.highest;
            self.seen = if by < WIDTH { self.seen << by | 1 } else { 1 };
            self.highest = number;
            return true;
        }
        let age = self.highest - number;
        let bit = 1_u128.checked_shl(age).unwrap_or(0);
        let fresh = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_taken_once() {
        let mut window = Window::default();
        for (number, fresh) in [
            (1, true),
            (1, false),
            (3, true),
            (2, true),
            (2, false),
            (200, true),
            (73, true),
            (73, false),
            (72, false),
            (3, false),
            (u32::MAX, true),
            (u32::MAX, false),
            (200, false),
        ] {
            assert_eq!(window.take(number), fresh, "{number}");
        }
    }
}
