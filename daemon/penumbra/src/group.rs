//! A group of options, in every version.

use super::{condition::Condition, form::Container};
use serde_json::{Map, Value};

pub(super) struct Group {
    pub name: Box<str>,
    pub priority: i64,
    pub defaults: u64,
    pub options: Vec<Container>,
    pub condition: Condition,
    pub kind: Kind,
}

pub(super) enum Kind {
    /// Exactly one option.
    Single,
    /// Any options, each with a priority of its own.
    Multi,
    /// Any options, and one container for each set of them; a container's number has the options' bits.
    Combining { containers: Vec<Container> },
    /// Any options, each flipping attributes of one IMC entry. No files.
    Imc { identifier: Map<String, Value>, entry: Map<String, Value> },
}
