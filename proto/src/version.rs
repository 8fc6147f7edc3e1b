//! Every version number of a wire.
//!
//! After an increment the goldens of the old number stay, and still decode.

/// ALPN of the peer protocol. Incompatible daemons would have another.
pub const PEER_ALPN: &[u8] = b"fyteclub";

/// Peer wire versions that this build speaks, newest first. Both sides send theirs in `Hello`.
pub const PEER_VERSIONS: &[u16] = &[1];

/// Local API versions that this build speaks, newest first.
pub const LOCAL_VERSIONS: &[u16] = &[1];

/// Version of the signed phone-book bodies; part of what is signed.
pub const PROOF_VERSION: u8 = 1;

/// The same, for registrations and unregistrations. Version 1 did not name the server.
pub const WRITE_PROOF_VERSION: u8 = 2;

/// Version of the appearance document.
pub const APPEARANCE_VERSION: u8 = 1;

/// Layout of the data folder. A daemon refuses a newer one.
pub const STORE_VERSION: u32 = 1;

/// Versions of the phone book's live connection, newest first.
pub const LIVE_VERSIONS: &[u16] = &[1];

/// Version of the probes between two peers, in four bits of each.
pub const PROBE_VERSION: u8 = 1;

/// Version of the frames between a daemon and a relay, in four bits of each.
pub const RELAY_VERSION: u8 = 1;
