//! What touches the operating system below HTTP.

pub mod accept;
pub mod connections;
pub mod private;
pub mod process;
