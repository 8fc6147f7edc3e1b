//! Desks: each has state of its own, takes inputs and returns orders, which the coordinator carries out. A desk knows no
//! actor, and time is an argument.

pub mod fetching;
