//! Checks of a signature's time and sequence.

use crate::{clock::Moment, problem::Problem};
use fyteclub_proto::{limit, phonebook};

pub(crate) fn check_time(time: u64, now: Moment) -> Result<(), Problem> {
    let offset = i64::try_from(i128::from(time) - i128::from(now.unix_millis())).unwrap_or(i64::MAX);
    if u128::from(offset.unsigned_abs()) > limit::PROOF_TIME_WINDOW.as_millis() {
        return Err(Problem::ClockSkew { offset });
    }
    Ok(())
}

/// Rejects sequences near `u64::MAX`, after which a key could sign nothing.
pub(crate) fn check_sequence(sequence: u64, now: Moment) -> Result<(), Problem> {
    let ahead = phonebook::is_sequence_ahead(sequence, now.unix_millis());
    if ahead { Err(Problem::SequenceAhead) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_proof_is_good_for_the_window_on_both_sides() {
        let window = limit::PROOF_TIME_WINDOW.as_millis() as u64;
        let now = Moment { steady: Duration::ZERO, unix: Duration::from_secs(1_700_000_000) };
        let unix = now.unix_millis();
        for good in [unix, unix - window, unix + window] {
            assert_eq!(check_time(good, now), Ok(()));
        }
        let problem = check_time(unix - window - 500, now).unwrap_err();
        assert_eq!(problem, Problem::ClockSkew { offset: -(window as i64) - 500 });
        assert_eq!(problem.to_string(), "your clock is off by 121 s");
        assert_eq!(check_time(u64::MAX, now), Err(Problem::ClockSkew { offset: i64::MAX }));
        assert!(check_time(0, now).is_err());
    }
}
