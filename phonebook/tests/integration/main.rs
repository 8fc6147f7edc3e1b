//! The phone book over real sockets, and its binary: one module for each subject.

#![allow(clippy::unwrap_used)]

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
