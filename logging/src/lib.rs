//! Logs of both servers. The log never blocks the program: standard error may be full, closed or gone ([`Stderr`]). One
//! event is one line (`guard`). A repeated event is written once a minute with a count ([`Sparse`]). [`speak`] writes a
//! program's first and last lines.
//!
//! The programs choose the log file and the events.

#![warn(unreachable_pub, clippy::let_underscore_must_use, clippy::match_bool)]
#![cfg_attr(not(test), warn(clippy::as_conversions))]

mod guard;
pub mod io;
mod panics;
mod sparse;
pub mod speak;
mod stderr;

pub use guard::{Form, Guarded, guarded};
pub use panics::log_panics;
pub use sparse::{Sparse, Teller};
pub use stderr::Stderr;
