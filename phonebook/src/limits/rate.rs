//! Rates in the operator's notation: `100/s burst 1000`, `1/5s burst 10`, `off`.

use super::class::Class;
use governor::Quota;
use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// Most seconds until a used up budget is whole; longer ones are mistakes, and would outlive a pin.
const RECOVERY_MAX: u64 = 7 * 86_400;
const COUNT_MAX: u32 = 1_000_000;
const PERIOD_MAX: u64 = 86_400;

/// `count` per `seconds`, and `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: NonZeroU32,
    seconds: u64,
    burst: NonZeroU32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rate reads `100/s burst 1000` or `1/5s burst 10`, and a used up burst must be whole again within a week"
)]
pub struct NotARate;

impl Rate {
    /// `None` for zeros, and for a recovery of more than a week.
    pub fn new(count: u32, seconds: u64, burst: u32) -> Option<Self> {
        let rate = Self { count: NonZeroU32::new(count)?, seconds, burst: NonZeroU32::new(burst)? };
        let recovery = u64::from(burst).checked_mul(seconds)? / u64::from(count);
        let sane = count <= COUNT_MAX && (1..=PERIOD_MAX).contains(&seconds) && recovery <= RECOVERY_MAX;
        sane.then_some(rate)
    }

    pub(crate) fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// Time until one more is allowed.
    pub(crate) fn each(&self) -> Duration {
        Duration::from_secs(self.seconds) / self.count.get()
    }

    pub(super) fn quota(&self) -> Quota {
        Quota::with_period(self.each())
            .expect("at least a microsecond, see COUNT_MAX")
            .allow_burst(self.burst)
    }
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let mut words = text.split_ascii_whitespace();
        let (count, period) = words.next().and_then(|word| word.split_once('/')).ok_or(NotARate)?;
        let count = number(count)?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => count,
            (Some("burst"), Some(burst), None) => number(burst)?,
            _ => return Err(NotARate),
        };
        Self::new(count, period_of(period)?, burst).ok_or(NotARate)
    }
}

/// Digits only: `parse` would accept a sign.
fn number<T: FromStr>(text: &str) -> Result<T, NotARate> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| NotARate)
    } else {
        Err(NotARate)
    }
}

/// `s`, `5s`, `min`, `2h`.
fn period_of(text: &str) -> Result<u64, NotARate> {
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (times, unit) = text.split_at(digits);
    let times = if times.is_empty() { 1 } else { number(times)? };
    let unit: u64 = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return Err(NotARate),
    };
    unit.checked_mul(times).ok_or(NotARate)
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seconds {
            1 => write!(f, "{}/s burst {}", self.count, self.burst),
            seconds => write!(f, "{}/{seconds}s burst {}", self.count, self.burst),
        }
    }
}

/// The rate of each class; `None`: unlimited. Decision 0011 explains the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    pub register: Option<Rate>,
    pub lookup: Option<Rate>,
    pub introduce: Option<Rate>,
    pub socket: Option<Rate>,
    pub other: Option<Rate>,
    pub datagram: Option<Rate>,
    pub register_key: Option<Rate>,
    pub introduce_key: Option<Rate>,
}

impl Rates {
    /// Unlimited, for measurements.
    pub const OFF: Self = Self {
        register: None,
        lookup: None,
        introduce: None,
        socket: None,
        other: None,
        datagram: None,
        register_key: None,
        introduce_key: None,
    };

    pub(crate) fn by_address(&self, class: Class) -> Option<Rate> {
        match class {
            Class::Registration => self.register,
            Class::Lookup => self.lookup,
            Class::Introduction => self.introduce,
            Class::Socket => self.socket,
            Class::Other => self.other,
            Class::Datagram => self.datagram,
        }
    }

    pub(crate) fn by_key(&self, class: Class) -> Option<Rate> {
        match class {
            Class::Registration => self.register_key,
            Class::Introduction => self.introduce_key,
            Class::Lookup | Class::Socket | Class::Other | Class::Datagram => None,
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            register: Rate::new(10, 1, 300),
            lookup: Rate::new(100, 1, 1000),
            introduce: Rate::new(10, 1, 200),
            socket: Rate::new(4, 1, 100),
            other: Rate::new(20, 1, 200),
            datagram: Rate::new(100, 1, 1000),
            register_key: Rate::new(2, 1, 20),
            introduce_key: Rate::new(1, 1, 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_the_manual_are_understood() {
        for (text, rate) in [
            ("100/s burst 1000", Rate::new(100, 1, 1000)),
            ("1/5s burst 10", Rate::new(1, 5, 10)),
            ("30/min", Rate::new(30, 60, 30)),
            ("  2/2h   burst  1 ", Rate::new(2, 7200, 1)),
        ] {
            assert_eq!(text.parse().ok(), rate, "{text}");
            assert!(rate.is_some(), "{text}");
        }
        for bad in [
            "",
            "/",
            "1",
            "1/",
            "0/s",
            "1/0s",
            "1/s burst 0",
            "1/s burst",
            "1/s burst 1 1",
            "1/s bust 1",
            "+1/s",
            "-1/s",
            "1/d",
            "1.5/s",
            "1/s burst 604801",
            "1000001/s",
            "1/99999999999999999999h",
            "1/18446744073709551615h",
            "off",
        ] {
            assert_eq!(bad.parse::<Rate>(), Err(NotARate), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "[0-9a-z/ +.-]{0,24}") {
            if let Ok(rate) = text.parse::<Rate>() {
                prop_assert_eq!(rate.to_string().parse(), Ok(rate));
                rate.quota();
            }
        }

        #[test]
        fn every_rate_that_can_be_made_reads_back(count: u32, seconds in 0u64..100_000, burst: u32) {
            if let Some(rate) = Rate::new(count, seconds, burst) {
                prop_assert_eq!(rate.to_string().parse(), Ok(rate));
                rate.quota();
            }
        }
    }
}
