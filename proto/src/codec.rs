//! bincode, the encoding between daemons and in the index, where both ends are ours.
//!
//! Every decode has a limit and must use all input; signed or hashed bytes are never re-encoded. bincode 2 is
//! unmaintained (RUSTSEC-2025-0141), so no other file may name it: replacing it means this file and new goldens.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Why bytes do not decode. For logs, not for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    #[error("malformed: {0}")]
    Malformed(String),
    #[error("{0} bytes follow the end")]
    Trailing(usize),
}

/// Most bytes that one decode may allocate. The reader of the bytes limits the bytes.
const ALLOCATION_MAX: usize = 64 * 1024 * 1024;

/// bincode allocates a text's announced length before it checks the input, and counts an integer as up to eight bytes
/// where one may be sent. So short inputs may announce eight times their class.
const SHORT: usize = 64 * 1024;
const MIDDLE: usize = 1024 * 1024;

fn config<const LIMIT: usize>() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Encodes a value. Cannot fail for the types of this crate: none borrows a lock or has an unsized map.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config::<ALLOCATION_MAX>()).expect("our wire types always encode")
}

/// # Errors
/// Anything but exactly one value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    use bincode::serde::decode_from_slice;
    let decoded = if bytes.len() <= SHORT {
        decode_from_slice(bytes, config::<{ 8 * SHORT }>())
    } else if bytes.len() <= MIDDLE {
        decode_from_slice(bytes, config::<{ 8 * MIDDLE }>())
    } else {
        decode_from_slice(bytes, config::<ALLOCATION_MAX>())
    };
    let (value, used) = decoded.map_err(|error| CodecError::Malformed(error.to_string()))?;
    if used < bytes.len() { Err(CodecError::Trailing(bytes.len() - used)) } else { Ok(value) }
}

/// As [`decode`], for a type that borrows from the bytes: allocates nothing for texts and bytes.
///
/// # Errors Anything but exactly one value.
pub fn borrow<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    let decoded = bincode::serde::borrow_decode_from_slice(bytes, config::<ALLOCATION_MAX>());
    let (value, used) = decoded.map_err(|error| CodecError::Malformed(error.to_string()))?;
    if used < bytes.len() { Err(CodecError::Trailing(bytes.len() - used)) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_claims_and_leftovers_are_errors() {
        assert_eq!(decode::<u32>(&encode(&7u32)), Ok(7));
        assert_eq!(decode::<u32>(&[7, 0]), Err(CodecError::Trailing(1)));
        let claims_64_gib = [253, 0, 0, 0, 0, 16, 0, 0, 0];
        assert!(decode::<Vec<u8>>(&claims_64_gib).is_err());
        assert!(decode::<String>(&claims_64_gib).is_err());
    }

    #[test]
    fn integers_of_one_byte_each_fit_every_class() {
        for count in [1, SHORT - 3, SHORT - 2, MIDDLE - 5, MIDDLE, ALLOCATION_MAX / 8 - 10] {
            let many = vec![7u64; count];
            assert_eq!(decode(&encode(&many)), Ok(many), "{count}");
        }
    }
}
