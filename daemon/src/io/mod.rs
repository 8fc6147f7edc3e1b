//! The hands: everything that touches the operating system. Nothing here knows an actor, a pump or a machine.

pub mod store;
