//! What may be sent to whom, as it is at this moment: the coordinator writes it, pumps read it without asking an actor.

pub mod access;
pub mod lending;
pub mod published;
pub mod served;
