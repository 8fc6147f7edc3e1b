//! The password's hash.

use std::fmt;

/// Comparing hashes takes constant time, whatever the guess and its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(blake3::Hash);

impl Password {
    pub fn new(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()))
    }

    pub fn is(&self, given: &[u8]) -> bool {
        // `blake3::Hash` compares in constant time.
        self.0 == blake3::hash(given)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
