//! The background daemon, as a library: each room is a module, and `fyteclubd` only starts it.

pub mod penumbra;
