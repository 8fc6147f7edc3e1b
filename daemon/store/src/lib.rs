//! The store: blobs as ordinary files, the player's own files in place, and an index beside them. Blocking, cheap to
//! clone, called from pumps through `spawn_blocking`. Which blobs are fetched, and to whom they are sent, is decided
//! elsewhere.
//!
//! ```text
//! blobs/<hex>.<ext>            complete and right, always; its name is given once and never again while it is there
//! partial/<hex>.<size>.<ext>.part   a blob of several chunks on its way; .have beside it says which chunks are there
//! partial/new.<time>/<n>.tmp   a file before it has its name, in a folder of this process; gone after a start
//! origins                      which owner each cached blob came from
//! index/                       sled: what spares the start a pass over all bytes; index.lock is held by its user
//! cache.json                   where `blobs/` and `partial/` are, when they were moved away from beside it
//! checked                      how far the scrub is
//! ```
//!
//! The order of a write: bytes into a file in `partial/` → rename into `blobs/` → memory → (at a checkpoint) sync of
//! the files → row in the index → sync of the index. So a row says "these bytes were safe", with the stamp by which it
//! knows them, and needs no flag: a file without its row, after a kill or a loss of power, is hashed at the next start,
//! and then it is kept or removed. `blobs/` is the truth, memory its picture, the index a hint.
//!
//! A thread that gives or takes a name in `blobs/` or `partial/` holds the lock of that name's stripe (`site`). The
//! lock on the state is taken inside it, and never held during IO. A move of the cache holds all stripes, for seconds
//! if it must. The order of locks is checkpoint, partials, names, then place or state. A thread that must not wait
//! takes none of the first three: a dropped partial leaves a taken name to a thread of its own.
//!
//! `store` is the handle with every operation. Below it are the operations, one file a subject, as functions over
//! `inner`, which has one owner for each state. Files import downwards only.

#![cfg_attr(test, allow(clippy::as_conversions, reason = "numbers of tests are small"))]

mod activity;
mod checkpoint;
pub mod chunk_buffer;
mod collect;
mod disk;
mod error;
mod evict;
mod free;
mod health;
mod index;
mod inner;
mod moving;
mod name;
mod naming;
mod origin;
mod origins;
mod os;
mod own;
mod owners;
mod partial;
mod pin;
mod place;
mod prove;
mod put;
mod reader;
mod recover;
mod scrub;
mod site;
mod state;
mod stats;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod trust;
mod verify;

pub use collect::{Collected, Wish};
pub use disk::{Disk, MIN_FREE, MIN_FREE_SHARE, StoreConfig};
pub use error::{ReadError, StoreError};
pub use evict::Evicted;
pub use health::IndexHealth;
pub use moving::{MoveError, MoveProgress, Moved};
pub use own::Source;
pub use partial::{Partial, Progress};
pub use pin::Pin;
pub use place::cache_dir;
pub use reader::BlobReader;
pub use recover::Opened;
pub use scrub::{Damage, Scrub};
pub use state::Obstacle;
pub use stats::Stats;
pub use store::Store;
pub use verify::Verified;
