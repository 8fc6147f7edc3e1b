//! UPnP routers of a local network: [`search()`] finds them and reads their descriptions, a [`Router`] carries out one
//! request at a time.
//!
//! proto's `reaching::mapping` decides when to search, which request is sent, and what follows from an answer; nothing
//! here repeats a request. Any machine of the network can answer a search. Therefore an answer counts only from a
//! neighbour; its URL must have the sender's address, never a name; each answer has a limit of bytes and time; and no
//! connection is made to any other machine. The readers ([`ssdp`], [`description`], [`soap`]) accept any bytes.

pub mod description;
mod http;
mod place;
mod router;
mod search;
pub mod soap;
pub mod ssdp;
#[cfg(test)]
mod tests;
mod xml;

pub use place::Place;
pub use router::Router;
pub use search::search;
