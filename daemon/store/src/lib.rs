//! The store: blobs as ordinary files, the player's own files in place, and an index beside them. Blocking, cheap to
//! clone, called from pumps through `spawn_blocking`. Who wants which blob, and who may have it, is decided elsewhere.
//!
//! ```text
//! blobs/<hex>.<ext>            complete and right, always; its name is given once and never again while it is there
//! partial/<hex>.<size>.<ext>.part   a blob of several chunks on its way; .have beside it says which chunks are there
//! partial/new.<time>/<n>.tmp   a file before it has its name, in a folder of this process; gone after a start
//! origins                      which owner each cached blob came from
//! index/                       sled: what spares the start a pass over all bytes; index.lock is held by its user
//! cache.json                   where `blobs/` and `partial/` are, when they were moved away from beside it
//! checked                      how far the patrol is
//! ```
//!
//! The order of a write: bytes into a file in `partial/` → rename into `blobs/` → memory → (at a checkpoint) sync of the
//! files → row in the index → sync of the index. So a row says "these bytes were safe", with the size and time by which
//! it knows them, and needs no flag: a file without its row, after a kill or a loss of power, is hashed at the next
//! start, and then it is kept or removed. `blobs/` is the truth, memory its picture, the index a hint.
//!
//! Whoever gives or takes a name in `blobs/` or `partial/` holds that name's stripe of `names`; the lock on the state
//! is inside it, and never held during IO. Whoever moves the cache holds them all, for seconds if it must. The order is
//! checkpoint, partials, names, then place or state, and nobody who must not wait takes any of the first three: whoever
//! lets a partial go leaves a taken name to a thread.

mod activity;
mod checkpoint;
mod collect;
mod disk;
mod error;
mod evict;
mod free;
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
mod patrol;
mod pin;
mod place;
mod prove;
mod put;
mod reader;
mod recover;
pub mod room;
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
pub use index::IndexHealth;
pub use moving::{MoveError, MoveProgress, Moved};
pub use own::Source;
pub use partial::{Partial, Progress};
pub use patrol::{Damage, Patrol};
pub use pin::Pin;
pub use place::cache_dir;
pub use reader::BlobReader;
pub use recover::Opened;
pub use state::Obstacle;
pub use stats::Stats;
pub use store::Store;
pub use verify::Verified;
