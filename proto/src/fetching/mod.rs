//! Fetching looks: [`fetch`] is the life of each fetch, [`scheduler`] says whose look is fetched now, [`transfer`] what is
//! asked of which source, [`pace`] how fast bytes may flow, [`stage`] how long each stage of a fetch may last, [`speed`] how
//! fast one goes.

pub mod fetch;
pub mod pace;
pub mod scheduler;
pub mod speed;
pub mod stage;
pub mod transfer;
