//! Manipulations: Penumbra's changes to the game's tables. They are opaque but for the question which two change the
//! same thing. They are JSON texts of bounded length, so that one at a time may be parsed into a tree.

use super::form::Container;
use fyteclub_proto::{limit::EXT_BYTES_MAX, number::integer};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// The new value in a manipulation; all other fields identify what is changed.
const VALUES: [&str; 2] = ["Entry", "ShiftedEntry"];

/// Manipulations, of which the first for each thing counts.
#[derive(Default)]
pub(super) struct Manipulations {
    /// The list as JSON, without its end; empty when it exceeds the limit of a look.
    list: String,
    bytes: usize,
    /// Hashes of what is changed already.
    seen: HashSet<[u8; 16]>,
}

impl Manipulations {
    /// Does nothing when the same thing is changed already, or when this is no manipulation.
    pub(super) fn add(&mut self, json: &str) {
        if let Ok(manipulation) = serde_json::from_str(json) {
            self.add_value(&manipulation);
        }
    }

    pub(super) fn add_value(&mut self, manipulation: &Value) {
        let Some(subject) = subject(manipulation) else { return };
        let hash = fyteclub_proto::id::BlobHash::of(subject.as_bytes());
        let Some(short) = hash.as_bytes().first_chunk() else { return };
        if !self.seen.insert(*short) {
            return;
        }
        let text = manipulation.to_string();
        self.bytes += text.len() + 1;
        if self.bytes < EXT_BYTES_MAX {
            self.list.push(if self.list.is_empty() { '[' } else { ',' });
            self.list.push_str(&text);
        } else {
            self.list = String::new();
        }
    }

    /// The list as JSON and its length; no text when there is none, or when it exceeds the limit of a look.
    pub(super) fn into_json(mut self) -> (String, usize) {
        if !self.list.is_empty() {
            self.list.push(']');
        }
        (self.list, if self.bytes == 0 { 0 } else { self.bytes + 1 })
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
    subject.sort_unstable();
    Some(format!("{kind} {}", subject.join(" ")))
}

/// The integer in a number or a text; a `u64` keeps its bits, since settings are bit masks.
pub(super) fn as_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_u64().map(u64::cast_signed))
            .or_else(|| number.as_f64().map(integer)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().map(u64::cast_signed))
        }
        Value::Bool(set) => Some((*set).into()),
        _ => None,
    }
}

/// An Imc group's effect: one entry whose attributes the options flip. `None` when an option disables it.
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
