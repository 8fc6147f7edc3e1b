//! The daemon: owns the QUIC connections, the cache and the hashing, so that a game plugin can stay thin.
//!
//! ```text
//! main ► app ► actors ► desks ► pumps ► io ► OS          commands fall, facts rise
//! ```
//!
//! [`actors`] receive messages, [`desks`] decide, and neither carries bytes; [`pumps`] carry and never decide; [`io`]
//! touches the machine. The cache is `fyteclub-store`, mods are `fyteclub-penumbra`'s. Rules that need no machine are in
//! `fyteclub-proto`.

pub mod actors;
pub mod app;
pub mod cli;
pub mod config;
pub mod desks;
pub mod event;
pub mod io;
pub mod ledger;
pub mod logging;
pub mod places;
pub mod program;
pub mod pumps;
pub mod reachable;
pub mod service;
pub mod sharing;
pub mod whereabouts;

pub(crate) use fyteclub_penumbra as penumbra;
