//! Manipulations: Penumbra's changes to the game's tables. They stay opaque; all that is known here is which two of
//! them change the same thing.

use super::form::{Container, as_number};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// The new value in a manipulation; every other field says what is changed.
const VALUES: [&str; 2] = ["Entry", "ShiftedEntry"];

/// Manipulations of which the first one for each thing counts.
#[derive(Default)]
pub(super) struct Manipulations {
    list: Vec<Value>,
    seen: HashSet<String>,
}

impl Manipulations {
    /// Does nothing when the same thing is changed already, or when this is no manipulation.
    pub(super) fn add(&mut self, manipulation: &Value) {
        if let Some(subject) = subject(manipulation)
            && self.seen.insert(subject)
        {
            self.list.push(manipulation.clone());
        }
    }

    pub(super) fn into_list(self) -> Vec<Value> {
        self.list
    }
}

/// What a manipulation changes: its type and all of its fields but the value.
fn subject(manipulation: &Value) -> Option<String> {
    let kind = manipulation.get("Type")?.as_str()?;
    let fields = manipulation.get("Manipulation")?.as_object()?;
    let mut subject: Vec<String> = fields
        .iter()
        .filter(|(name, value)| !VALUES.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| match as_number(value) {
            Some(number) => format!("{name}={number}"),
            None => format!("{name}={value}"),
        })
        .collect();
    subject.sort();
    Some(format!("{kind} {}", subject.join(" ")))
}

/// What an Imc group does: one entry whose attributes the options flip. `None` when an option switches it off.
pub(super) fn imc<'a>(
    identifier: &Map<String, Value>,
    entry: &Map<String, Value>,
    on: impl Iterator<Item = &'a Container>,
) -> Option<Value> {
    let mut mask = entry.get("AttributeMask").and_then(as_number).unwrap_or_default();
    for option in on {
        if option.is_disable_sub_mod {
            return None;
        }
        mask ^= option.attribute_mask;
    }
    let mut entry = entry.clone();
    entry.insert("AttributeMask".to_owned(), mask.into());
    let mut manipulation = identifier.clone();
    manipulation.insert("Entry".to_owned(), entry.into());
    Some(json!({ "Type": "Imc", "Manipulation": manipulation }))
}
