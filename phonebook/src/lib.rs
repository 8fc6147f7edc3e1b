//! The phone book: helps two players find each other, and stores nothing else.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | settings |
//! | `server` | a running phone book: [`Server`], [`Handle`], [`Running`] |
//! | `admission`, `caller`, `limits` | middleware around every request: budgets and password before, counters and audit after |
//! | `routes` | one file per verb; `compat`: the original's contract |
//! | `auth`, `body`, `address`, `problem` | signatures, bodies, client addresses, refusals |
//! | [`book`] | names, addresses, lifetimes, owners: a table under virtual time |
//! | `records`, `shared` | where names are stored: the local book, or a Redis shared by several phone books |
//! | `signaling` | presence and introductions: a state machine under virtual time |
//! | `live` | its clients: WebSockets and long polls |
//! | `datagrams` | UDP: STUN and the relay's frames, which also come over WebSockets |
//! | [`relay`] | who may send to whom through the relay: a state machine under virtual time |
//! | `accounts` | the ledger: what each network holds and sends |
//! | `metrics`, `operator`, `audit`, `health` | numbers, the operator's page, security events, degradations |
//! | `preflight`, `tls` | listeners and certificate, checked before it serves |
//! | `maintenance`, `io` | sweeps; connections and their deadlines |
//!
//! ```no_run
//! use fyteclub_phonebook::{Config, Server};
//!
//! let config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
//! let phonebook = Server::build(config)?.spawn()?;
//! println!("http://{}", phonebook.addr());
//! phonebook.stop()?;
//! # std::io::Result::Ok(())
//! ```

#![cfg_attr(test, allow(clippy::as_conversions, reason = "numbers of tests are small"))]

mod accounts;
mod address;
mod admission;
mod app_state;
mod audit;
mod auth;
mod body;
pub mod book;
mod caller;
mod clock;
pub mod config;
mod datagrams;
mod health;
mod io;
mod limits;
mod live;
mod maintenance;
mod metrics;
mod operator;
mod preflight;
mod problem;
mod records;
pub mod relay;
mod routes;
mod server;
#[cfg_attr(not(feature = "redis"), path = "shared/absent.rs")]
mod shared;
mod signaling;
mod tls;

pub use address::{AddressBlock, NotABlock};
pub use clock::Moment;
pub use config::{AuditFile, Config, ConfigError, NotAPlace, Operator, Place, TlsFiles};
pub use limits::{NotARate, Rate, Rates};
pub use preflight::StartError;
pub use server::{Handle, Running, Server};
pub use tls::TlsError;
