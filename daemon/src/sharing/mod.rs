//! Permissions and published state: the coordinator writes them, pumps read them without a message to an actor.

pub mod access;
pub mod lending;
pub mod means;
pub mod published;
pub mod served;
