//! Fuzzing on stable: every golden file, and mutations of it, against the properties in `tests/decoders/`, one target
//! per decoder.
//!
//! - `cargo test -p fyteclub-fuzz` — every golden, then a fixed number of mutations of it: the same in every run.
//! - `FYTECLUB_FUZZ_SECONDS=60 cargo test -p fyteclub-fuzz` — that long for each target, new mutations every time. A
//!   failure prints the input; `FYTECLUB_FUZZ_INPUT=<hex> cargo test -p fyteclub-fuzz NAME` runs that input alone.
//! - `cargo bolero test NAME -p fyteclub-fuzz` (`cargo install cargo-bolero`, nightly) — under libFuzzer, with
//!   coverage. Its corpus starts from the goldens after `FYTECLUB_FUZZ_CORPUS=1 cargo test -p fyteclub-fuzz`.
//!
//! A finding becomes a named test beside the code; crashes are not stored here.

pub mod heap;
pub mod mutation;
pub mod seed;
pub mod target;

/// One target: `fuzz!(seeds, |input: &[u8]| …)`, in a test of its own whose path names it. A panic is a finding.
///
/// A macro, because bolero identifies a target by the place of its `check!`.
#[macro_export]
macro_rules! fuzz {
    ($seeds:expr, $property:expr) => {{
        let property = $property;
        let name = $crate::target::name(std::any::type_name_of_val(&property));
        $crate::target::run(name, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decoders"), &$seeds, &property);
        let target = bolero::check!().with_max_len($crate::mutation::INPUT_MAX);
        // Without libFuzzer, bolero replays its corpus; random inputs come from `target::run`, and are repeatable.
        target.with_iterations(0).for_each(move |input: &[u8]| property(input));
    }};
}
