//! Fetching looks: [`scheduler`] says whose look is fetched now, [`transfer`] what is asked of which source, [`pace`] how
//! fast bytes may flow, [`stage`] how long each stage of a fetch may last.

pub mod pace;
pub mod scheduler;
pub mod stage;
pub mod transfer;
