//! Text by others: a close reason, a phone book's message, a name in an archive. It reaches a log, a terminal or an
//! event only as [`Foreign`], which cannot forge a line, turn the reading direction or fill a screen.
//!
//! [`escaped`] applies the same rule to a whole line that may contain such text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt};

/// Most bytes that are shown of one text.
pub const SHOWN_MAX: usize = 100;
/// Marks a cut.
const CUT: char = '…';

/// Another's text, escaped and cut when it is made. Its printed form reads back as itself.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Foreign(String);

impl Foreign {
    /// Reads no more of `text` than is shown.
    pub fn new(text: &str) -> Self {
        let mut shown = String::new();
        for c in text.trim().chars() {
            let before = shown.len();
            push(&mut shown, c, false);
            if shown.len() > SHOWN_MAX {
                shown.truncate(before);
                // The mark counts too.
                while shown.len() + CUT.len_utf8() > SHOWN_MAX {
                    shown.pop();
                }
                shown.push(CUT);
                break;
            }
        }
        Self(shown)
    }

    /// From bytes that need not be UTF-8.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // If all of these are white space, nothing is shown.
        Self::new(&String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN_MAX)]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for Foreign {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Foreign {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(deserializer)?))
    }
}

/// Whether a character does more than show a glyph: a control character, a line break, a mark that turns the reading
/// direction, or an invisible one. Includes `\n`: split lines first.
pub fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // A visible blank, common in Japanese text.
        '\u{3000}' => false,
        _ => c.is_control() || is_direction_mark(c) || is_blank(c),
    }
}

/// `text` with every hidden character escaped, as in a JSON string if `json` is set.
pub fn escaped(text: &str, json: bool) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push(&mut shown, c, json));
    Cow::Owned(shown)
}

/// As [`escaped`], for text of several lines, which stay.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && is_hidden(c)) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<_> = text.split('\n').map(|line| escaped(line, false)).collect();
    Cow::Owned(lines.join("\n"))
}

fn push(shown: &mut String, c: char, json: bool) {
    match c {
        _ if !is_hidden(c) => shown.push(c),
        '\n' if !json => shown.push_str("\\n"),
        _ if json => {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")))
        }
        _ => shown.extend(c.escape_unicode()),
    }
}

/// Invisible characters that turn the reading direction: they can make a name look like another.
pub(crate) fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Invisible characters, and blanks that look like others: they can make a name look like another.
pub(crate) fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{2800}')
        || matches!(c, '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_forged_line_stays_one_line() {
        let forged = "bye\n2026-11-29T15:00:00Z  INFO connected peer=AAAA\r\x1b[2K";
        assert_eq!(
            Foreign::new(forged).to_string(),
            r"bye\n2026-11-29T15:00:00Z  INFO connected peer=AAAA\u{d}\u{1b}[2K"
        );
        assert_eq!(Foreign::new("a\u{202e}b\u{200b}c\u{2028}d").to_string(), r"a\u{202e}b\u{200b}c\u{2028}d");
        assert_eq!(Foreign::new("  トンベリ　ä  ").to_string(), "トンベリ　ä");
        assert_eq!(Foreign::of_bytes(b"a\xff\nb").to_string(), "a\u{fffd}\\nb");
    }

    #[test]
    fn lines_stay_and_hidden_characters_do_not() {
        assert_eq!(escaped_lines("a\n b\u{202e}\r\n\x1b[2Kc\n"), "a\n b\\u{202e}\\u{d}\n\\u{1b}[2Kc\n");
        assert!(matches!(escaped_lines("a\nb\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_json_line_stays_json() {
        let line = serde_json::to_string(&"a\u{202e}b\u{e0041}\u{1}").expect("encodes");
        let shown = escaped(&line, true);
        assert!(!shown.contains(is_hidden), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).expect("JSON"), "a\u{202e}b\u{e0041}\u{1}");
    }

    proptest! {
        #[test]
        fn it_is_short_visible_and_reads_back(text in "\\PC*|[\\x00-\\x20\u{200b}-\u{202e}a\u{1f600}]{0,200}") {
            let shown = Foreign::new(&text);
            prop_assert!(shown.as_str().len() <= SHOWN_MAX);
            prop_assert!(!shown.as_str().contains(is_hidden));
            prop_assert_eq!(Foreign::new(shown.as_str()), shown);
        }
    }
}
