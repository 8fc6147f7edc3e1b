//! An internet with homes behind kernel NATs of every kind.

mod pairs;
mod player;
mod routers;
