//! Conversions of numbers where std has no `From`, because of machines that this never runs on, or because of a loss.
//! Each name is the result's type, each comment says what happens at the limits.

#![expect(clippy::as_conversions, reason = "here and nowhere else")]

use std::time::Duration;

const _: () = assert!(usize::BITS >= u32::BITS && usize::BITS <= u64::BITS, "a length is between these two");

/// A length; lossless.
pub const fn u64_of(length: usize) -> u64 {
    length as u64
}

/// An index or count of the wire; lossless.
pub const fn index(number: u32) -> usize {
    number as usize
}

/// A number that is known to be small; saturates.
pub const fn usize_of(number: u64) -> usize {
    if number > usize::MAX as u64 { usize::MAX } else { number as usize }
}

/// A number that is known to be small; saturates.
pub const fn u32_of(length: usize) -> u32 {
    if length > u32::MAX as usize { u32::MAX } else { length as u32 }
}

/// For calculations: exact up to 2^53, rounded above.
pub const fn f64_of(number: u64) -> f64 {
    number as f64
}

/// Truncates; 0 for negative numbers and NaN, saturates above.
pub const fn whole(number: f64) -> u64 {
    number as u64
}

/// Truncates; 0 for NaN, saturates at both ends.
pub const fn integer(number: f64) -> i64 {
    number as i64
}

/// The lower half of the bits.
pub const fn low_half(number: u64) -> u32 {
    number as u32
}

/// Milliseconds; saturates.
pub const fn millis(duration: Duration) -> u64 {
    let millis = duration.as_millis();
    if millis > u64::MAX as u128 { u64::MAX } else { millis as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_range_numbers_saturate() {
        assert_eq!((u32_of(7), u32_of(usize::MAX), usize_of(7)), (7, u32::MAX, 7));
        assert_eq!([7.9, -1.0, f64::NAN, f64::INFINITY].map(whole), [7, 0, 0, u64::MAX]);
        assert_eq!([-7.9, f64::NAN, f64::INFINITY].map(integer), [-7, 0, i64::MAX]);
        assert_eq!((low_half(0x1_0000_0002), f64_of(1 << 53)), (2, 9_007_199_254_740_992.0));
        assert_eq!([Duration::from_micros(1999), Duration::MAX].map(millis), [1, u64::MAX]);
    }
}
