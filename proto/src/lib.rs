//! FyteClub's wire types and rules.
//!
//! Types: [`id`], [`game_path`], [`appearance`], [`phonebook`], [`local`], [`proof`], [`frame`], [`codec`], with every
//! number in [`limit`] and [`version`]. Rules are machines of one shape — `new(args, now)`, `handle(now, Input)`,
//! `poll() -> Option<Output>`, `deadline() -> Option<(Instant, Why)>` — that know no socket, file, clock, thread or
//! `async`: time and randomness are arguments.

#![cfg_attr(test, allow(clippy::as_conversions, reason = "numbers of tests are small"))]

pub mod appearance;
pub mod backoff;
pub mod blob;
pub mod bytes;
pub mod chunk_tree;
pub mod codec;
pub mod contact;
pub mod fetching;
pub mod foreign;
pub mod frame;
pub mod game_path;
pub mod grant;
pub mod id;
pub mod invitation;
pub mod knock;
pub mod ledger;
pub mod letter;
pub mod limit;
pub mod live;
pub mod local;
pub mod lookalike;
pub mod number;
pub mod peer;
pub mod phonebook;
pub mod possession;
pub mod presence;
pub mod proof;
pub mod reaching;
pub mod redact;
pub mod repeats;
pub mod seal;
pub mod share_rule;
pub mod size;
pub mod version;

#[cfg(test)]
mod tests;
