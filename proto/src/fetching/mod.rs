//! Fetching looks: [`fetch`] has every fetch and its stages, [`scheduler`] gives turns, [`transfer`] assigns requests
//! to sources, [`pace`] limits speed, [`stage`] limits the time of each stage, [`speed`] measures rates.

pub mod fetch;
pub mod pace;
pub mod scheduler;
pub mod speed;
pub mod stage;
pub mod transfer;
