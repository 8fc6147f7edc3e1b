//! Logs of both servers. The log never blocks the program: standard error may be full, closed or gone, and the disk slow ([`LogWriter`]). One
//! event is one line (`guard`). A repeated event is written once a minute with a count ([`Sparse`]). [`speak`] writes a
//! program's first and last lines.
//!
//! The programs choose the log folder and the events.

mod daily;
pub mod filter;
mod guard;
pub mod io;
mod panics;
mod sparse;
pub mod speak;
mod writer;

pub use daily::DailyFile;
pub use guard::{Form, Guarded, guarded};
pub use panics::log_panics;
pub use sparse::{SELDOM, Sparse, Teller};
pub use writer::LogWriter;
