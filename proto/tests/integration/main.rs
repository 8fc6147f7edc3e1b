//! Tests of proto's public API: the wires, and the transfer machine under virtual time.

mod golden;
mod netsim;
mod roundtrip;
mod transfer;
mod traversal;
