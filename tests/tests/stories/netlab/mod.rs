//! An internet with homes behind kernel NATs of every kind.

mod routers;
