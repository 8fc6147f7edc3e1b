//! Bytes of a fixed length: unpadded base64url in JSON, raw in bincode.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// `N` bytes without a meaning of their own: nonces, attempt numbers, ephemeral keys, signatures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes<const N: usize>(pub [u8; N]);

impl<const N: usize> Bytes<N> {
    pub const fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> fmt::Display for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serde_bytes::Bytes::new(&self.0).serialize(serializer)
        }
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = long::deserialize(deserializer)?;
        let len = bytes.len();
        bytes.try_into().map(Self).map_err(|_| de::Error::invalid_length(len, &"another number of bytes"))
    }
}

/// For `#[serde(with = "…")]` on a `Vec<u8>` of any length.
pub mod long {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&URL_SAFE_NO_PAD.encode(bytes))
        } else {
            serde_bytes::serialize(bytes, serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| de::Error::custom("not unpadded base64url"))
        } else {
            serde_bytes::deserialize(deserializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_where_people_read_and_bytes_where_daemons_do() {
        let bytes = Bytes([1, 2, 3, 255]);
        assert_eq!(serde_json::to_string(&bytes).expect("text"), r#""AQID_w""#);
        assert_eq!(serde_json::from_str::<Bytes<4>>(r#""AQID_w""#).expect("bytes"), bytes);
        for bad in [r#""AQID""#, r#""AQID_w==""#, r#""AQID+w""#, "[1,2,3,255]", r#""""#] {
            assert!(serde_json::from_str::<Bytes<4>>(bad).is_err(), "{bad}");
        }
        let encoded = crate::codec::encode(&bytes);
        assert_eq!(encoded, [4, 1, 2, 3, 255]);
        assert_eq!(crate::codec::decode::<Bytes<4>>(&encoded), Ok(bytes));
        assert!(crate::codec::decode::<Bytes<3>>(&encoded).is_err());
    }
}
