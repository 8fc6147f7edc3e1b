//! The setting of the operator's listener.

use std::net::SocketAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Off,
    /// Serve there if the port is free.
    IfFree(SocketAddr),
    /// Serve there, or do not start.
    At(SocketAddr),
}
