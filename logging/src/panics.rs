//! Panics go to the log. The standard library's own words would be written to standard error by whoever panicked, which
//! waits where nobody reads and panics once more where it is gone.

use crate::Stderr;
use std::backtrace::{Backtrace, BacktraceStatus};

/// From now on; `RUST_BACKTRACE` has the backtrace follow on standard error.
pub fn log_panics(stderr: Stderr) {
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("a part of the program panicked, which is a defect: {panic}");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            stderr.send(format!("{backtrace}\n").into_bytes());
        }
    }));
}
