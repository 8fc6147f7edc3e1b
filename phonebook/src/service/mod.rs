//! The binary's process: signals, systemd, descriptors.

pub(crate) mod descriptors;
pub(crate) mod signals;
pub(crate) mod systemd;
