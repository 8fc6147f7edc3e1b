//! The daemon: has the QUIC connections, the cache and the hashing, so that a game plugin stays small.
//!
//! ```text
//! main ► app ► actors ► desks ► pumps ► io ► OS          commands go down, facts go up
//! ```
//!
//! [`actors`] receive messages and [`desks`] decide; neither moves bytes. [`pumps`] move bytes and decide nothing.
//! [`io`] accesses the machine. The cache is `fyteclub-store`, mods are `fyteclub-penumbra`'s. Rules that need no
//! machine are in `fyteclub-proto`.

pub mod actors;
mod address_changes;
pub mod app;
pub mod cli;
pub mod config;
pub mod contact_addresses;
mod data_folder;
pub mod desks;
pub mod event;
pub mod io;
pub mod ledger;
pub mod logging;
mod memory;
pub mod places;
pub mod program;
pub mod pumps;
pub mod reachable;
pub mod service;
pub mod sharing;

pub(crate) use fyteclub_penumbra as penumbra;
