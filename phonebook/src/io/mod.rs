//! Access to the operating system.

pub mod accept;
pub mod connections;
pub mod private;
pub mod process;
