//! Actors have one machine or one table each, and decide. Their handlers are synchronous: message → machine → outputs.
//! No message carries file bytes.
//!
//! ```text
//! ipc (one per client) ─► coordinator ─► phone_book · mod_cache · upnp · outside · lan · peer (one per peer)
//!                                          listener ┄┄ facts ┄┄► coordinator ◄┄┄┄┄┄┘
//! ```
//!
//! Commands go down by `Addr`. Facts go up by a `Recipient` that the actor gets when it is made; their type is declared
//! in its file. No actor has its owner's `Addr`, and results return through the actor's own context.

pub mod coordinator;
pub mod doctor;
pub mod ipc;
mod jobs;
pub mod lan;
pub mod listener;
pub mod mod_cache;
pub mod outside;
mod path_verbs;
pub mod peer;
pub mod phone_book;
mod roster;
pub mod server;
mod status;
pub mod traversal;
pub mod upnp;

use crate::io::wall_clock::unix_millis;

/// In 0..1, for jitter.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, and all else works.
    getrandom::fill(&mut bytes).ok();
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
