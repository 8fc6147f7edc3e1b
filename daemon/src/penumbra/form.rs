//! The shape of Penumbra's JSON, forgiving where Penumbra and hand-edited mods are: absent, null and numbers that are
//! text have sane defaults, unknown fields are skipped. What the values mean is said elsewhere.

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use std::{fmt, marker::PhantomData};

/// `meta.json`. Since FileVersion 4 it holds the whole mod; before, only its description.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct MetaForm {
    #[serde(deserialize_with = "number")]
    pub file_version: i64,
    #[serde(deserialize_with = "text")]
    pub name: String,
    #[serde(deserialize_with = "text")]
    pub author: String,
    #[serde(deserialize_with = "present")]
    pub default_data: Container,
    #[serde(deserialize_with = "list")]
    pub groups: Vec<GroupForm>,
}

/// `group_*.json`, or one of FileVersion 4's `Groups`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct GroupForm {
    #[serde(deserialize_with = "text")]
    pub name: String,
    #[serde(rename = "Type", deserialize_with = "text")]
    pub kind: String,
    #[serde(deserialize_with = "number")]
    pub priority: i64,
    #[serde(deserialize_with = "number")]
    pub default_settings: i64,
    #[serde(deserialize_with = "list")]
    pub options: Vec<Container>,
    /// Of a Combining group only.
    #[serde(deserialize_with = "list")]
    pub containers: Vec<Container>,
    pub condition: Value,
    /// The rest is of an Imc group only.
    pub identifier: Value,
    pub default_entry: Value,
    #[serde(deserialize_with = "flag")]
    pub all_variants: bool,
    #[serde(deserialize_with = "flag")]
    pub only_attributes: bool,
}

/// What one switch changes: `default_mod.json`, an option, or a container of a Combining group.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Container {
    #[serde(deserialize_with = "text")]
    pub name: String,
    #[serde(deserialize_with = "number")]
    pub priority: i64,
    pub files: Pairs,
    pub file_swaps: Pairs,
    #[serde(deserialize_with = "list")]
    pub manipulations: Vec<Value>,
    /// What conditions call it by.
    #[serde(deserialize_with = "text")]
    pub id: String,
    pub condition: Value,
    /// The rest is of an Imc group's option only.
    #[serde(deserialize_with = "number")]
    pub attribute_mask: i64,
    #[serde(deserialize_with = "flag")]
    pub is_disable_sub_mod: bool,
}

/// An object of texts in the order of the file: of two keys that mean one game path, the first counts.
#[derive(Default)]
pub(super) struct Pairs(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of paths")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    pairs.push((key, as_text(value)));
                }
                Ok(Pairs(pairs))
            }

            fn visit_unit<E>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }

            /// Some tools write an empty object as `[]`.
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pairs, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Pairs::default())
            }
        }

        deserializer.deserialize_any(PairsVisitor)
    }
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The integer in a number or a text; a `u64` keeps its bits, since settings are bit masks.
pub(super) fn as_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_u64().map(u64::cast_signed))
            .or_else(|| number.as_f64().map(|float| float as i64)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| text.parse().ok().map(u64::cast_signed))
        }
        Value::Bool(set) => Some((*set).into()),
        _ => None,
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Value::deserialize(deserializer).map(as_text)
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(as_number(&Value::deserialize(deserializer)?).unwrap_or_default())
}

fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        value => as_number(&value).is_some_and(|number| number != 0),
    })
}

/// Anything but a list is an empty one: before FileVersion 1, `Groups` was an object.
fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct ListVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = seq.next_element::<Option<T>>()? {
                list.extend(item);
            }
            Ok(list)
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<T>, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Vec::new())
        }
    }

    deserializer.deserialize_any(ListVisitor(PhantomData))
}

fn present<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_that_are_something_else_are_read_for_what_they_mean() {
        let form: GroupForm = serde_json::from_str(
            r#"{"Name": 7, "Type": null, "Priority": "3", "DefaultSettings": 18446744073709551615, "Options": null,
                "AllVariants": "True", "Unknown": {"deep": []}}"#,
        )
        .unwrap();
        assert_eq!((form.name.as_str(), form.kind.as_str(), form.priority), ("7", "", 3));
        assert_eq!((form.default_settings, form.options.len(), form.all_variants), (-1, 0, true));
        let form: GroupForm =
            serde_json::from_str(r#"{"Priority": "high", "DefaultSettings": 2.0}"#).unwrap();
        assert_eq!((form.priority, form.default_settings), (0, 2));
    }

    #[test]
    fn files_keep_the_order_of_the_file() {
        let container: Container =
            serde_json::from_str(r#"{"Files": {"z": "1", "a": 2}, "FileSwaps": [], "Manipulations": null}"#)
                .unwrap();
        assert_eq!(container.files.0, [("z".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())]);
        assert!(container.file_swaps.0.is_empty() && container.manipulations.is_empty());
    }
}
