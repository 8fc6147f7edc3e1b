//! Opaque JSON, copied from the parser into a sheet as compact text while it is read.

use super::sheet::{Over, Sheet, Text};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads any value.
pub(super) struct Transcode<'a>(pub &'a mut Sheet);

impl<'de> DeserializeSeed<'de> for Transcode<'_> {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        let mark = self.0.mark();
        deserializer.deserialize_any(Copy(&mut *self.0))?;
        Ok(self.0.text_since(mark))
    }
}

struct Copy<'a>(&'a mut Sheet);

impl<'de> DeserializeSeed<'de> for Copy<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Copy<'_> {
    fn push<E: Error>(&mut self, text: &str) -> Result<(), E> {
        self.0.push(text).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Copy<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.push("null")
    }

    fn visit_bool<E: Error>(mut self, set: bool) -> Result<(), E> {
        self.push(if set { "true" } else { "false" })
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.push(&number.to_string())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.push(&number.to_string())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.push(
            &serde_json::Number::from_f64(number).map_or("null".to_owned(), |number| number.to_string()),
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        quote(self.0, text).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let mut before = "[";
        loop {
            let mark = self.0.mark();
            self.push(before)?;
            if seq.next_element_seed(Copy(&mut *self.0))?.is_none() {
                self.0.cut(mark);
                break;
            }
            before = ",";
        }
        self.push(if before == "[" { "[]" } else { "]" })
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut before = "{";
        while let Some(key) = map.next_key::<Key>()? {
            self.push(before)?;
            quote(self.0, &key.0).map_err(Error::custom)?;
            self.push(":")?;
            map.next_value_seed(Copy(&mut *self.0))?;
            before = ",";
        }
        self.push(if before == "{" { "{}" } else { "}" })
    }
}

struct Key(Box<str>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<str>::deserialize(deserializer).map(Self)
    }
}

fn quote(sheet: &mut Sheet, text: &str) -> Result<(), Over> {
    sheet.push("\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| matches!(c, '"' | '\\') || c < ' ') {
        let (plain, special) = rest.split_at(at);
        sheet.push(plain)?;
        let mut chars = special.chars();
        match chars.next() {
            Some(c @ ('"' | '\\')) => sheet.push(if c == '"' { "\\\"" } else { "\\\\" })?,
            c => sheet.push(&format!("\\u{:04x}", c.map_or(0, u32::from)))?,
        }
        rest = chars.as_str();
    }
    sheet.push(rest)?;
    sheet.push("\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn copied_json_keeps_its_meaning() {
        for text in [
            r#"{"a": [1, -2, 3.5, 1e300, true, null, "x\"\\\n\u0001é"], "b\n": {}, "c": [], "d": [[]]}"#,
            "18446744073709551615",
            "\"\"",
            "[{}, {\"a\": {\"b\": []}}]",
        ] {
            let mut sheet = Sheet::default();
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let copy = Transcode(&mut sheet).deserialize(&mut deserializer).unwrap();
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(read(sheet.get(copy)), read(text), "{}", sheet.get(copy));
        }
    }
}
