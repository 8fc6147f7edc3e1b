//! One target per decoder of proto and reader of the daemon: not only that nothing panics, but what must be true of whatever is accepted.

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

use fyteclub_fuzz::heap::{self, Counted};

#[global_allocator]
static HEAP: Counted = Counted;

/// What a decode may hold at once: a fixed room for what lengths announce, and some bytes for each byte that was paid.
fn modest<T>(input: &[u8], decode: impl FnOnce() -> T) -> T {
    const ANNOUNCED: usize = 2 << 20;
    let (result, peak) = heap::peak(decode);
    assert!(peak <= ANNOUNCED + 256 * input.len(), "{peak} bytes were allocated for {}", input.len());
    result
}
