//! The one UDP socket of the daemon: QUIC, STUN, probes and frames of relays share it.
//!
//! QUIC sees each peer that is reached by NAT traversal at one [`VirtualAddr`] for as long as its [`VirtualPeer`] lives.
//! The socket sends packets for that address over the path of [`VirtualPeer::use_path`], and gives QUIC the packets from
//! that path and from accepted addresses as coming from it. So a path changes and the connection stays. Peers that are
//! dialled at a real address pass through unchanged.
//!
//! Datagrams that are not QUIC's ([`Kind`](fyteclub_proto::reaching::wire::Kind)) are decoded here; forgeries and junk are
//! counted and dropped. The rest goes to the channel of [`Aside`]; what the channel has no space for is dropped and counted.
//!
//! `kernel` does the system calls, `table` knows the paths, `sorter` sorts what arrives, `queue` holds datagrams that did not
//! come from the kernel's socket, `socket` is what QUIC uses, and `peer` what the daemon uses.

mod kernel;
mod peer;
mod queue;
mod socket;
mod sorter;
mod table;
#[cfg(test)]
mod tests;
mod virtual_addr;

pub use peer::VirtualPeer;
pub use socket::{Dropped, PeerSocket};
pub use sorter::Aside;
pub use table::Moves;
pub use virtual_addr::VirtualAddr;
