//! The Rust client of the FyteClub daemon's local API.
//!
//! [`Client`] has one async function per request, [`Events`] are pushed by the daemon, [`Error`] says what to do about
//! a failure, and [`pipe`] has the systems' sockets. The types of the wire are re-exported here, so that a program
//! needs this crate alone.
//!
//! ```no_run
//! use fyteclub_client::{Client, Error, Event, PlayerName};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect_default().await?;
//! let mut events = client.watch().await?;
//! let alice: PlayerName = "Alice Ashe@Gilgamesh".parse()?;
//! let fetch = tokio::spawn({
//!     let client = client.clone();
//!     async move { client.peer_fetch(&alice, None).await }
//! });
//! while let Some(event) = events.next().await {
//!     match event? {
//!         Event::TransferProgress(now) => println!("{} of {} bytes", now.bytes_done, now.bytes_total),
//!         Event::AppearanceReady { .. } | Event::TransferFailed { .. } => break,
//!         _ => {}
//!     }
//! }
//! println!("{} files", fetch.await??.files.len());
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs, reason = "authors of plugins read them")]

mod client;
mod connection;
mod error;
mod events;

pub use client::Client;
pub use error::{Error, Garbled, Side};
pub use events::Events;
/// The daemon's socket, and the connection to it.
pub use fyteclub_pipe as pipe;

pub use fyteclub_proto::{
    appearance::{ObjectKind, Swap},
    fetching::{
        pace::{Rate, RateError},
        scheduler::{Distance, DistanceError, Reason},
    },
    foreign::escaped,
    game_path::GamePath,
    id::{BlobHash, IdError, PeerId, PlayerName},
    local::{
        CacheWork, Event, Fault, FaultCode,
        reply::{
            Bundle, CacheGced, CacheMoved, CacheObstacle, CacheStats, CacheVerified, Charged, Contact,
            Contacts, Diagnosis, Fetched, FetchedFile, FetchedObject, Finding, FindingCode, Hello, Invited,
            LeftOut, Limits, MappingCounts, MappingState, NatKind, NearContact, Nearby, NetworkStatus,
            PathKind, PathStatus, PeerState, PeerStatus, Peers, PhonebookStatus, PortMapping, Published,
            Severity, SourceStatus, Standing, Status, Sureness, TransferStatus, Transfers, UploadStatus,
            WaitingStatus,
        },
        request::{
            AppearancePublish, CacheGc, ContactsSet, LimitsSet, LocalFile, LocalObject, LocalSwap,
            NearPlayer, NearbySet, OptionChoice, Strings, Who,
        },
    },
    reaching::relay_use::RelayUse,
};
