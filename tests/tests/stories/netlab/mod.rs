//! An internet with homes behind kernel NATs of every kind.

mod changes;
mod pairs;
mod player;
mod proxies;
mod repairs;
mod routers;
