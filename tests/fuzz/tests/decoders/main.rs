//! One target per decoder of proto and reader of the daemon: no panic, and the properties of every accepted input.

mod appearance;
mod blobs;
mod contacts;
mod datagrams;
mod doors;
mod live;
mod local;
mod mods;
mod names;
mod peer;
mod phonebook;
mod routers;

use fyteclub_fuzz::heap::{self, Counted};

#[global_allocator]
static HEAP: Counted = Counted;

/// The memory of a decode: a fixed part for announced lengths, and some bytes for each input byte.
fn modest<T>(input: &[u8], decode: impl FnOnce() -> T) -> T {
    const ANNOUNCED: usize = 2 << 20;
    let (result, peak) = heap::peak(decode);
    assert!(peak <= ANNOUNCED + 256 * input.len(), "{peak} bytes were allocated for {}", input.len());
    result
}
