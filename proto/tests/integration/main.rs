//! Tests of proto's public API: the wires, and the transfer machine under virtual time.

#![allow(unreachable_pub, reason = "a program of tests exports nothing")]

mod golden;
mod netsim;
mod roundtrip;
mod transfer;
mod traversal;
