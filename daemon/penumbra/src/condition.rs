//! Conditions of newer mods: a group or an option that applies only while others are on.

use super::{scalar::Scalar, sheet::Sheet};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::{collections::HashSet, fmt};

/// The id of an option; `None` for a value of another type, which is never on.
type Id = Option<Box<str>>;

/// No condition counts as met, and so does one of an unknown kind: Penumbra drops those too.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Condition {
    #[default]
    Always,
    Never,
    AllOn(Vec<Id>),
    AnyOn(Vec<Id>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Vec<Condition>),
}

impl Condition {
    /// Whether it is met when the options of these ids are on.
    pub(super) fn is_met(&self, on: &HashSet<&str>) -> bool {
        let is_on = |id: &Id| id.as_deref().is_some_and(|id| on.contains(id));
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::AllOn(ids) => ids.iter().all(is_on),
            Self::AnyOn(ids) => ids.iter().any(is_on),
            Self::And(inner) => inner.iter().all(|inner| inner.is_met(on)),
            Self::Or(inner) => inner.iter().any(|inner| inner.is_met(on)),
            Self::Not(inner) => !inner.iter().all(|inner| inner.is_met(on)),
        }
    }

    /// The number of its conditions and ids.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Always | Self::Never => 0,
            Self::AllOn(ids) | Self::AnyOn(ids) => 1 + ids.len(),
            Self::And(inner) | Self::Or(inner) | Self::Not(inner) => {
                1 + inner.iter().map(Self::count).sum::<usize>()
            }
        }
    }

    fn read<'de, A: MapAccess<'de>>(sheet: &mut Sheet, mut map: A) -> Result<Self, A::Error> {
        sheet.count_conditions(1).map_err(Error::custom)?;
        let (mut kind, mut setting, mut options) = (None, None, Vec::new());
        // Nested conditions, under any key: the key differs between versions.
        let mut nested = Vec::new();
        while let Some(key) = map.next_key::<Box<str>>()? {
            match &*key {
                "Type" => kind = map.next_value::<Scalar>()?.into_text(),
                "Setting" => {
                    let mut ids = Vec::new();
                    map.next_value_seed(Part { sheet, ids: &mut ids, nested: &mut nested })?;
                    setting = Some(ids.into_iter().next().flatten());
                }
                "Options" => {
                    options.clear();
                    map.next_value_seed(Part { sheet, ids: &mut options, nested: &mut nested })?;
                }
                _ => map.next_value_seed(Part { sheet, ids: &mut Vec::new(), nested: &mut nested })?,
            }
        }
        Ok(match kind.as_deref().unwrap_or_default() {
            "Setting" => Self::AllOn(setting.into_iter().collect()),
            "AllSettings" => Self::AllOn(options),
            "AnySetting" => Self::AnyOn(options),
            "And" => Self::And(nested),
            "Or" => Self::Or(nested),
            "Not" => Self::Not(nested),
            "False" => Self::Never,
            _ => Self::Always,
        })
    }
}

/// Reads one condition; any value but an object is no condition.
pub(super) struct ReadCondition<'a>(pub &'a mut Sheet);

impl<'de> DeserializeSeed<'de> for ReadCondition<'_> {
    type Value = Condition;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Condition, D::Error> {
        let mut conditions = Vec::new();
        let part = Part { sheet: self.0, ids: &mut Vec::new(), nested: &mut conditions };
        part.deserialize(deserializer)?;
        Ok(conditions.into_iter().next().unwrap_or_default())
    }
}

/// One field of a condition: ids, conditions, or a list of them.
struct Part<'a> {
    sheet: &'a mut Sheet,
    ids: &'a mut Vec<Id>,
    nested: &'a mut Vec<Condition>,
}

impl Part<'_> {
    fn id<E: Error>(self, id: Id) -> Result<(), E> {
        self.sheet.count_conditions(1).map_err(E::custom)?;
        self.sheet.count_name(id.as_deref().unwrap_or_default()).map_err(E::custom)?;
        self.ids.push(id);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a part of a condition")
    }

    fn visit_str<E: Error>(self, id: &str) -> Result<(), E> {
        // No option has such an id.
        self.id((id.len() <= super::caps::PATH_BYTES_MAX).then(|| id.into()))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.id(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.id(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.id(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.id(None)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.id(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        self.nested.push(Condition::read(self.sheet, map)?);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { sheet, ids, nested } = self;
        while seq.next_element_seed(Part { sheet: &mut *sheet, ids, nested })?.is_some() {}
        Ok(())
    }
}

/// Reads anything and keeps nothing.
pub(super) fn skip<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    map.next_value::<IgnoredAny>().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn conditions_combine() {
        let on = HashSet::from(["a", "b"]);
        let a = json!({"Type": "Setting", "Setting": "a"});
        let c = json!({"Type": "Setting", "Setting": "c"});
        for (condition, met) in [
            (Value::Null, true),
            (json!({"Type": "FromTheFuture"}), true),
            (json!({"Type": "False"}), false),
            (a.clone(), true),
            (c.clone(), false),
            (json!({"Type": "Setting", "Setting": 7}), false),
            (json!({"Type": "Setting"}), true),
            (json!({"Type": "Not", "Condition": c}), true),
            (json!({"Type": "And", "Conditions": [a, c]}), false),
            (json!({"Conditions": [a, c], "Type": "And"}), false),
            (json!({"Type": "Or", "Conditions": [a, c]}), true),
            (json!({"Type": "AllSettings", "Options": ["a", "b"]}), true),
            (json!({"Type": "AllSettings", "Options": ["a", "c"]}), false),
            (json!({"Type": "AnySetting", "Options": ["c", "b"]}), true),
            (json!({"Type": "AnySetting", "Options": []}), false),
        ] {
            let mut sheet = Sheet::default();
            let read = ReadCondition(&mut sheet).deserialize(&condition).expect("a condition");
            assert_eq!(read.is_met(&on), met, "{condition}");
        }
    }
}
