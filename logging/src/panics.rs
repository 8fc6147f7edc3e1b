//! Panics go to the log. The standard library would write them to standard error on the panicking thread, which blocks
//! without a reader and panics again without a stream.

use crate::LogWriter;
use std::backtrace::{Backtrace, BacktraceStatus};

/// Takes effect at once. With `RUST_BACKTRACE` a backtrace follows on standard error.
pub fn log_panics(stderr: LogWriter) {
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("a part of the program panicked, which is a defect: {panic}");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            stderr.send(format!("{backtrace}\n").into_bytes());
        }
    }));
}
