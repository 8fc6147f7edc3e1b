//! The daemon: owns the QUIC connections, the cache and the hashing, so that a game plugin can stay thin.
//!
//! ```text
//! main ► app ► actors ► pumps ► io ► OS          commands fall, facts rise
//! ```
//!
//! [`actors`] decide and never carry bytes; [`pumps`] carry and never decide; [`io`] touches the machine. [`penumbra`]
//! reads and writes mods; [`demo`] shows two daemons to a newcomer. Rules that need no machine are in `fyteclub-proto`.

pub mod actors;
pub mod app;
pub mod cli;
pub mod config;
pub mod consent;
pub mod demo;
pub mod desks;
pub mod event;
pub mod io;
pub mod ledger;
pub mod lending;
pub mod logging;
pub mod offer;
pub mod penumbra;
pub mod places;
pub mod pumps;
pub mod served;
pub mod service;
pub mod whereabouts;
