//! Access to the operating system.

pub(crate) mod accept;
pub(crate) mod connections;
pub(crate) mod private;
pub(crate) mod process;
