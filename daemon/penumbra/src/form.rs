//! The structure of Penumbra's JSON, as lenient as Penumbra: absent, null and textual numbers have defaults, unknown
//! fields are skipped. Other modules interpret the values.
//!
//! Everything is read as a stream into a [`Sheet`], whose limits end the reading: no tree of unbounded size is made.

use super::{
    condition::{Condition, ReadCondition, skip},
    scalar::Scalar,
    sheet::{Over, Sheet, Stretch, Text},
    transcode::Transcode,
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};

/// `group_*.json`, or one of FileVersion 4's `Groups`.
#[derive(Default)]
pub(super) struct GroupForm {
    pub name: Box<str>,
    pub kind: Box<str>,
    pub priority: i64,
    pub default_settings: i64,
    pub options: Vec<Container>,
    /// Of a Combining group only.
    pub containers: Vec<Container>,
    pub condition: Condition,
    /// The rest is of an Imc group only. JSON.
    pub identifier: Text,
    pub default_entry: Text,
    pub all_variants: bool,
    pub only_attributes: bool,
}

/// The changes of one option: `default_mod.json`, an option, or a container of a Combining group.
#[derive(Default)]
pub(super) struct Container {
    pub name: Box<str>,
    pub priority: i64,
    /// Pairs of the sheet, in the order of the file: of two keys that mean one game path, the first counts.
    pub files: Stretch,
    pub file_swaps: Stretch,
    pub manipulations: Stretch,
    /// Its id in conditions.
    pub id: Box<str>,
    pub condition: Condition,
    /// The rest is of an Imc group's option only.
    pub attribute_mask: i64,
    pub is_disable_sub_mod: bool,
}

/// An object that is read into a sheet.
pub(super) trait Form: Sized {
    const WHAT: &'static str;

    fn read<'de, A: MapAccess<'de>>(sheet: &mut Sheet, map: A) -> Result<Self, A::Error>;
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "PascalCase")]
enum GroupKey {
    Name,
    Type,
    Priority,
    DefaultSettings,
    Options,
    Containers,
    Condition,
    Identifier,
    DefaultEntry,
    AllVariants,
    OnlyAttributes,
    #[serde(other)]
    Other,
}

impl Form for GroupForm {
    const WHAT: &'static str = "a group";

    fn read<'de, A: MapAccess<'de>>(sheet: &mut Sheet, mut map: A) -> Result<Self, A::Error> {
        let mut form = Self::default();
        while let Some(key) = map.next_key()? {
            match key {
                GroupKey::Name => form.name = name(sheet, &mut map)?,
                GroupKey::Type => form.kind = name(sheet, &mut map)?,
                GroupKey::Priority => form.priority = map.next_value::<Scalar>()?.number(),
                GroupKey::DefaultSettings => form.default_settings = map.next_value::<Scalar>()?.number(),
                GroupKey::Options => form.options = containers(sheet, &mut map)?,
                GroupKey::Containers => form.containers = containers(sheet, &mut map)?,
                GroupKey::Condition => form.condition = map.next_value_seed(ReadCondition(sheet))?,
                GroupKey::Identifier => form.identifier = map.next_value_seed(Transcode(sheet))?,
                GroupKey::DefaultEntry => form.default_entry = map.next_value_seed(Transcode(sheet))?,
                GroupKey::AllVariants => form.all_variants = map.next_value::<Scalar>()?.flag(),
                GroupKey::OnlyAttributes => form.only_attributes = map.next_value::<Scalar>()?.flag(),
                GroupKey::Other => skip(&mut map)?,
            }
        }
        Ok(form)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "PascalCase")]
enum ContainerKey {
    Name,
    Priority,
    Files,
    FileSwaps,
    Manipulations,
    Id,
    Condition,
    AttributeMask,
    IsDisableSubMod,
    #[serde(other)]
    Other,
}

impl Form for Container {
    const WHAT: &'static str = "an object of files, swaps and manipulations";

    fn read<'de, A: MapAccess<'de>>(sheet: &mut Sheet, mut map: A) -> Result<Self, A::Error> {
        sheet.count_options(1).map_err(Error::custom)?;
        let mut form = Self::default();
        while let Some(key) = map.next_key()? {
            match key {
                ContainerKey::Name => form.name = name(sheet, &mut map)?,
                ContainerKey::Priority => form.priority = map.next_value::<Scalar>()?.number(),
                ContainerKey::Files => form.files = map.next_value_seed(Pairs(sheet))?,
                ContainerKey::FileSwaps => form.file_swaps = map.next_value_seed(Pairs(sheet))?,
                ContainerKey::Manipulations => {
                    form.manipulations = map.next_value_seed(Manipulations(sheet))?;
                }
                ContainerKey::Id => form.id = name(sheet, &mut map)?,
                ContainerKey::Condition => form.condition = map.next_value_seed(ReadCondition(sheet))?,
                ContainerKey::AttributeMask => form.attribute_mask = map.next_value::<Scalar>()?.number(),
                ContainerKey::IsDisableSubMod => form.is_disable_sub_mod = map.next_value::<Scalar>()?.flag(),
                ContainerKey::Other => skip(&mut map)?,
            }
        }
        Ok(form)
    }
}

fn name<'de, A: MapAccess<'de>>(sheet: &mut Sheet, map: &mut A) -> Result<Box<str>, A::Error> {
    let name = map.next_value::<Scalar>()?.text();
    sheet.count_name(&name).map_err(Error::custom)?;
    Ok(name)
}

fn containers<'de, A: MapAccess<'de>>(sheet: &mut Sheet, map: &mut A) -> Result<Vec<Container>, A::Error> {
    let mut list = Vec::new();
    map.next_value_seed(Each(sheet, &mut |_: &mut Sheet, container| {
        list.push(container);
        Ok(())
    }))?;
    Ok(list)
}

/// Reads one object into a sheet; `None` where there is `null`.
pub(super) struct One<'a, T>(pub &'a mut Sheet, pub PhantomData<T>);

impl<'de, T: Form> DeserializeSeed<'de> for One<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Form> Visitor<'de> for One<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
        T::read(self.0, map).map(Some)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

/// Called with each object of a list as soon as it is read.
type Taker<'a, T> = &'a mut dyn FnMut(&mut Sheet, T) -> Result<(), Over>;

/// Reads a list of objects. Any other value is an empty list: before FileVersion 1, `Groups` was an object.
pub(super) struct Each<'a, 'b, T>(pub &'a mut Sheet, pub Taker<'b, T>);

impl<'de, T: Form> DeserializeSeed<'de> for Each<'_, '_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Form> Visitor<'de> for Each<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self(sheet, take) = self;
        while let Some(item) = seq.next_element_seed(One(&mut *sheet, PhantomData))? {
            if let Some(item) = item {
                take(sheet, item).map_err(Error::custom)?;
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// An object of texts. Some tools write an empty one as `[]`.
struct Pairs<'a>(&'a mut Sheet);

impl<'de> DeserializeSeed<'de> for Pairs<'_> {
    type Value = Stretch;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Stretch, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pairs<'_> {
    type Value = Stretch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of paths")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stretch, A::Error> {
        let start = self.0.lengths().0;
        while let Some(key) = map.next_key_seed(Put(&mut *self.0))? {
            let value = map.next_value_seed(Put(&mut *self.0))?;
            self.0.put_pair((key, value)).map_err(Error::custom)?;
        }
        Ok(Stretch { start, end: self.0.lengths().0 })
    }

    fn visit_unit<E>(self) -> Result<Stretch, E> {
        Ok(Stretch::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Stretch, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Stretch::default())
    }
}

/// Reads a text into the sheet.
struct Put<'a>(&'a mut Sheet);

impl<'de> DeserializeSeed<'de> for Put<'_> {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        let text = Scalar::deserialize(deserializer)?.text();
        self.0.put(&text).map_err(Error::custom)
    }
}

/// A list of anything, each as JSON text.
struct Manipulations<'a>(&'a mut Sheet);

impl<'de> DeserializeSeed<'de> for Manipulations<'_> {
    type Value = Stretch;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Stretch, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Manipulations<'_> {
    type Value = Stretch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of manipulations")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Stretch, A::Error> {
        let start = self.0.lengths().1;
        while let Some(text) = seq.next_element_seed(Transcode(&mut *self.0))? {
            self.0.put_manipulation(text).map_err(Error::custom)?;
        }
        Ok(Stretch { start, end: self.0.lengths().1 })
    }

    fn visit_unit<E>(self) -> Result<Stretch, E> {
        Ok(Stretch::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Stretch, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Stretch::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form<T: Form>(text: &str) -> (T, Sheet) {
        let mut sheet = Sheet::default();
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let form = One(&mut sheet, PhantomData).deserialize(&mut deserializer).unwrap().unwrap();
        (form, sheet)
    }

    #[test]
    fn numbers_and_texts_of_other_types_are_converted() {
        let (group, _) = form::<GroupForm>(
            r#"{"Name": 7, "Type": null, "Priority": "3", "DefaultSettings": 18446744073709551615, "Options": null,
                "AllVariants": "True", "Unknown": {"deep": []}}"#,
        );
        assert_eq!((&*group.name, &*group.kind, group.priority), ("7", "", 3));
        assert_eq!((group.default_settings, group.options.len(), group.all_variants), (-1, 0, true));
        let (group, _) = form::<GroupForm>(r#"{"Priority": "high", "DefaultSettings": 2.0}"#);
        assert_eq!((group.priority, group.default_settings), (0, 2));
    }

    #[test]
    fn files_keep_the_order_of_the_file() {
        let (container, sheet) = form::<Container>(
            r#"{"Files": {"y": "0"}, "Files": {"z": "1", "a": 2}, "FileSwaps": [], "Manipulations": null}"#,
        );
        let pairs: Vec<_> =
            sheet.pairs(container.files).iter().map(|(a, b)| (sheet.get(*a), sheet.get(*b))).collect();
        assert_eq!(pairs, [("z", "1"), ("a", "2")], "of two lists the last one counts");
        assert!(sheet.pairs(container.file_swaps).is_empty());
        assert!(sheet.manipulations(container.manipulations).is_empty());
    }
}
