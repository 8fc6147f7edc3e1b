//! The binary's process: signals, systemd, descriptors.

pub mod descriptors;
pub mod signals;
pub mod systemd;
