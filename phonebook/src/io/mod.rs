//! What touches the operating system below HTTP.

pub mod door;
pub mod patience;
pub mod private;
pub mod process;
