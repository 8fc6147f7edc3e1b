//! Access to the machine and the network. Nothing here knows an actor, a pump or a rule.

pub mod book_clock;
pub mod contacts;
pub mod host_address;
pub mod http_date;
pub mod identity;
pub mod ipc;
pub mod keeper;
pub mod last_log;
pub mod limits;
pub mod mapping_sockets;
pub mod mappings;
pub mod mdns;
pub mod phonebook_http;
pub mod phonebook_live;
pub mod published;
pub mod quic;
pub mod relay_socket;
pub mod sleep;
pub mod subnets;
pub mod uplinks;
pub mod wall_clock;

pub(crate) use fyteclub_files::{private, regular, trouble};
pub(crate) use fyteclub_store::{self as store, chunk_buffer};
