//! What an operator chooses of the page for operators.

use std::net::SocketAddr;

/// Where the operator's page is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Off,
    /// There, unless something else is; then the phone book goes on without.
    IfFree(SocketAddr),
    /// There, or the phone book does not start.
    At(SocketAddr),
}
