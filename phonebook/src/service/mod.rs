//! The process as the system sees it: signals, systemd, descriptors. The binary's; nothing of the book is here.

pub mod descriptors;
pub mod signals;
pub mod systemd;
