//! The phone book over real sockets, and its binary: one module for each subject.

#![allow(clippy::unwrap_used, reason = "clippy.toml knows functions of tests alone, not their helpers")]
#![allow(unreachable_pub, reason = "a program of tests exports nothing")]

mod common;

mod abuse;
mod compat;
mod limits;
mod live;
mod operator;
mod poll;
mod process;
#[cfg(feature = "redis")]
mod redis;
mod relay;
mod signed;
mod stun;
mod tls;
mod visibility;
