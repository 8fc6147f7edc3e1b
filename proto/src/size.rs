//! Byte counts, as people write them in a configuration or on a command line, and counts with their noun.

use crate::number::f64_of;
use std::fmt::Display;

/// `70000000`, `20 GiB`, `512m`; units are powers of 1024. `None` for anything else.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// In the form that [`parse`] reads: `2 MiB`, `1.5 MiB` if not even, `900 B`.
pub fn words(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) if bytes.trailing_zeros() >= shift => format!("{} {unit}", bytes >> shift),
        Some((shift, unit)) => format!("{:.1} {unit}", f64_of(bytes) / f64_of(1 << shift)),
        None => format!("{bytes} B"),
    }
}

/// `1 file`, `2 files`: a noun whose plural ends in `s`.
pub fn count<N: PartialEq + From<u8> + Display>(number: N, one: &str) -> String {
    let end = if number == N::from(1) { "" } else { "s" };
    format!("{number} {one}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("20 GiB", Some(20 << 30)),
            ("512m", Some(512 << 20)),
            ("70000000", Some(70_000_000)),
            ("-1", None),
            ("1.5 MiB", None),
            ("", None),
            ("99999999999 TiB", None),
        ] {
            assert_eq!(parse(text), bytes, "{text}");
        }
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for bytes in [0, 900, 16 << 10, 2 << 20, 20 << 30] {
            assert_eq!(parse(&words(bytes)), Some(bytes));
        }
        assert_eq!(words(1_572_864), "1.5 MiB");
    }

    #[test]
    fn one_of_a_kind_has_no_plural() {
        assert_eq!([0, 1, 2].map(|number| count(number, "file")), ["0 files", "1 file", "2 files"]);
    }
}
