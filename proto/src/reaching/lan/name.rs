//! The name under which a daemon is announced in the local network: a random number, and a hash of it that is keyed by
//! the player's key. Who knows the key can tell whose name it is; for others it is random, and another one each day.

use crate::id::PeerId;
use std::fmt;

const NONCE: usize = 8;
const TAG: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    nonce: [u8; NONCE],
    tag: [u8; TAG],
}

impl Name {
    /// `nonce` is random.
    pub fn new(of: &PeerId, nonce: [u8; NONCE]) -> Self {
        Self { nonce, tag: tag(of, &nonce) }
    }

    /// Reads 48 hexadecimal digits; `None` for anything else, as other programs and forgers announce it.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 2 * (NONCE + TAG) {
            return None;
        }
        let mut bytes = [0; NONCE + TAG];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            // `from_str_radix` would read a sign.
            let pair = std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        let (nonce, tag) = bytes.split_first_chunk()?;
        Some(Self { nonce: *nonce, tag: tag.try_into().ok()? })
    }

    pub fn is_of(&self, key: &PeerId) -> bool {
        self.tag == tag(key, &self.nonce)
    }
}

fn tag(of: &PeerId, nonce: &[u8; NONCE]) -> [u8; TAG] {
    let mut hasher = blake3::Hasher::new_derive_key("fyteclub name in a local network v1");
    hasher.update(of.as_bytes());
    hasher.update(nonce);
    let mut tag = [0; TAG];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.nonce.iter().chain(&self.tag).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: PeerId = PeerId::from_bytes([1; 32]);

    #[test]
    fn only_the_key_matches_its_names() {
        let name = Name::new(&ALICE, [7; 8]);
        assert!(name.is_of(&ALICE) && !name.is_of(&PeerId::from_bytes([2; 32])));
        let other = Name::new(&ALICE, [8; 8]);
        assert!(other.is_of(&ALICE) && other.tag != name.tag);
        // Contacts of other builds must find it.
        assert_eq!(name.to_string(), "07070707070707072868ae92af2a1cf3bff75c5d2772aaf3");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = Name::new(&ALICE, [0xab; 8]);
        let text = name.to_string();
        assert_eq!((Name::parse(&text), Name::parse(&text.to_uppercase())), (Some(name), Some(name)));
        let signed = format!("+{}", &text[1..]);
        for bad in
            ["", "0", &text[1..], &format!("{text}0"), &text.replace('a', "g"), &signed, &"é".repeat(24)]
        {
            assert_eq!(Name::parse(bad), None, "{bad}");
        }
    }
}
