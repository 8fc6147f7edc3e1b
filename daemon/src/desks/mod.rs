//! Desks: each owns one part of the daemon's state and decides over it.
//!
//! A desk takes inputs, changes its own state, answers, and adds what else follows to [`orders::Orders`]. The coordinator
//! routes inputs to desks and carries out their orders. A desk names neither an actor nor another desk, and time is an
//! argument: so each is tested alone.

pub mod cache;
pub mod contacts;
pub mod faults;
pub mod fetching;
pub mod limits;
pub mod orders;
pub mod own_look;
pub mod sessions;
pub mod uploads;
