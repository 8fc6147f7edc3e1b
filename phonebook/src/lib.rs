//! The phone book: helps two players find each other, and stores nothing else.
//!
//! | room | what lives there |
//! |---|---|
//! | [`config`] | what an operator can choose |
//! | `server` | a running phone book: [`Server`], [`Handle`], [`Running`] |
//! | `routes` | one file per verb |
//! | `guard`, `body`, `address`, `problem` | who may, what was sent, from where, and why not |
//! | [`book`] | names, addresses, lifetimes, owners; a plain table under virtual time |
//! | `switchboard` | who is present, which introductions run; a machine under virtual time |
//! | `live` | the switchboard's clients: WebSockets, and polls where none gets through |
//! | `sweep`, `io::patience` | chores: what has ended goes, who blocks is cut off |
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

mod address;
mod body;
pub mod book;
mod clock;
pub mod config;
mod desk;
mod guard;
mod io;
mod live;
mod problem;
mod routes;
mod server;
mod sweep;
mod switchboard;

pub use address::{Network, NotANetwork};
pub use clock::Moment;
pub use config::{Config, ConfigError};
pub use server::{Handle, Running, Server};
