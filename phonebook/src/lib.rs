//! The phone book: helps two players find each other, and stores nothing else.
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | what an operator can choose |
//! | `server` | a running phone book: [`Server`], [`Handle`], [`Running`] |
//! | `routes` | one file per verb; `compat`: the original's contract |
//! | `admission`, `caller`, `limits` | around every request: budgets before, counters and audit after |
//! | `accounts` | the ledger: what each network holds and sends |
//! | `auth`, `body`, `address`, `problem` | who may, what was sent, from where, and why not |
//! | [`book`] | names, addresses, lifetimes, owners; a plain table under virtual time |
//! | `records`, `shared` | whether names are in the own book, or in a Redis that several phone books share |
//! | `metrics`, `operator`, `audit`, `condition` | what the operator sees: numbers, a page, security events, troubles |
//! | `start`, `tls` | what must be so before it serves: listeners, the own certificate |
//! | `signaling` | who is present, which introductions run; a machine under virtual time |
//! | `live` | the signaling's clients: WebSockets, and polls where none gets through |
//! | `sweep`, `io::connections` | chores: what has ended goes, who blocks is cut off |
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
mod routes;
mod server;
mod shared;
mod signaling;
mod tls;

pub use address::{Network, NotANetwork};
pub use clock::Moment;
pub use config::{AuditFile, Config, ConfigError, NotAPlace, Operator, Place, TlsFiles};
pub use limits::{NotARate, Rate, Rates};
pub use preflight::StartError;
pub use server::{Handle, Running, Server};
pub use tls::TlsError;
