//! A single value, interpreted whatever its type is.

use super::caps::PATH_BYTES_MAX;
use fyteclub_proto::number::integer;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// Longest text that is kept, in bytes: longer than any valid path or name, so the rest changes nothing.
const TEXT_BYTES_MAX: usize = 2 * PATH_BYTES_MAX;

/// A value that is no list and no object.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Box<str>),
    /// A list or an object; its content is dropped.
    Other,
}

impl Scalar {
    pub(super) fn text(self) -> Box<str> {
        match self {
            Self::Text(text) => text,
            Self::Bool(set) => set.to_string().into(),
            Self::Signed(number) => number.to_string().into(),
            Self::Unsigned(number) => number.to_string().into(),
            Self::Float(number) => format!("{number:?}").into(),
            Self::Null | Self::Other => "".into(),
        }
    }

    pub(super) fn into_text(self) -> Option<Box<str>> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The integer in a number or a text, or 0; a `u64` keeps its bits, since settings are bit masks.
    pub(super) fn number(&self) -> i64 {
        match self {
            Self::Signed(number) => *number,
            Self::Unsigned(number) => number.cast_signed(),
            Self::Float(number) => integer(*number),
            Self::Text(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse().ok().map(u64::cast_signed)).unwrap_or_default()
            }
            Self::Bool(set) => (*set).into(),
            Self::Null | Self::Other => 0,
        }
    }

    pub(super) fn flag(&self) -> bool {
        match self {
            Self::Text(text) => text.eq_ignore_ascii_case("true"),
            other => other.number() != 0,
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Null)
            }

            fn visit_bool<E>(self, set: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(set))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
                Ok(Scalar::Signed(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(Scalar::Unsigned(number))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                let end = text.floor_char_boundary(TEXT_BYTES_MAX);
                Ok(Scalar::Text(text[..end].into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}
