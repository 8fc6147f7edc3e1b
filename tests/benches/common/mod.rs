//! Shared by all benches: rounds, spreads, floors.
//!
//! Each bench runs our side and its reference in the same rounds and compares inside a round: on a busy machine only
//! ratios mean anything. Nothing here fails because something was slow.
//!
//! `FYTECLUB_BENCH_ROUNDS` (counted rounds after a warm-up round, 5) and `FYTECLUB_BENCH_SCALE` (1.0) shorten a run.

#![allow(unreachable_pub, reason = "a benchmark exports nothing")]
// Each bench uses a part.
#![allow(dead_code)]

pub(crate) mod book;
pub(crate) mod coturn;
pub(crate) mod echo;
pub(crate) mod flow;
pub(crate) mod forward;
#[cfg(target_os = "linux")]
pub(crate) mod link;
pub(crate) mod look;
pub(crate) mod raw;
pub(crate) mod roles;
pub(crate) mod town;
pub(crate) mod usage;

use fyteclub_proto::number::{f64_of, u64_of, usize_of, whole};
use std::{env, fmt, str::FromStr};

/// Runs a bench, unless this process was started as one of its helpers.
pub(crate) fn main(bench: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    match roles::asked() {
        Some(role) => role.run(),
        None => bench(),
    }
}

pub(crate) fn env_or<T: FromStr>(key: &str, default: T) -> T {
    env::var(key).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Counted rounds; a warm-up round precedes them.
pub(crate) fn rounds() -> usize {
    env_or("FYTECLUB_BENCH_ROUNDS", 5).max(1)
}

/// `full` at scale 1, at least one.
pub(crate) fn scaled(full: usize) -> usize {
    usize_of(whole(f64_of(u64_of(full)) * env_or("FYTECLUB_BENCH_SCALE", 1.0))).max(1)
}

/// Runs the rounds; returns the counted ones.
pub(crate) fn measured<T>(mut round: impl FnMut(usize) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
    round(0)?;
    (1..=rounds()).map(round).collect()
}

/// One figure over all rounds: its median and its range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let index = usize_of(whole(f64_of(u64_of(values.len().saturating_sub(1))) * part));
            values.get(index).copied().unwrap_or(f64::NAN)
        };
        let even = values.len().is_multiple_of(2) && !values.is_empty();
        let upper = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
        let median = if even { (at(0.5) + upper) / 2.0 } else { upper };
        Self { median, min: at(0.0), max: at(1.0) }
    }

    /// Whether the median meets the floor.
    pub(crate) fn holds(&self, floor: Floor) -> bool {
        match floor {
            Floor::AtLeast(bound) => self.median >= bound,
            Floor::AtMost(bound) => self.median <= bound,
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.median.abs() {
            large if large >= 1000.0 => 0,
            middle if middle >= 20.0 => 1,
            _ => 2,
        };
        if self.median.is_nan() {
            return f.pad("-");
        }
        f.pad(&format!("{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.min, self.max))
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Floor {
    AtLeast(f64),
    AtMost(f64),
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "at least {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// Prints a line that compares the medians with the floor.
pub(crate) fn judge(what: &str, spread: Spread, floor: Floor) {
    let verdict = if spread.median.is_nan() {
        "not measured"
    } else if spread.holds(floor) {
        "holds"
    } else {
        "misses"
    };
    println!("  {verdict:6}  {what}: {spread}, {floor}");
}

/// A table with a heading and aligned columns, printed when it is dropped.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        println!("\n{title}");
        Self { rows: vec![columns.iter().map(ToString::to_string).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl ToString>) {
        self.rows.push(cells.into_iter().map(|cell| cell.to_string()).collect());
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |n: usize| self.rows.iter().filter_map(|row| row.get(n)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|n| width(n).unwrap_or(0)).collect();
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            println!("  {}", cells.join("  ").trim_end());
        }
    }
}
