//! How both servers write their logs. Nothing here waits for whoever reads: standard error may be full, closed or gone
//! ([`Stderr`]). One event is one line, whatever text of others is in it (`guard`). What is said again and again is said
//! once a minute with a count ([`Sparse`]). What a program says last or aloud is [`speak`]'s.
//!
//! Which file the log goes to, and what is worth logging, the programs decide.

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
