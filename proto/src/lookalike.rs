//! Names that look like another: Cyrillic letters among Latin ones, full-width letters, accents. A name is compared exactly
//! everywhere else; here it is compared as an eye does it, so that a person is warned.
//!
//! The tables are Unicode's (UTS 39, confusables and scripts), of the crate `unicode-security`.

use crate::id::PlayerName;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::{MixedScript, skeleton};

/// What is left of a name for a quick eye: names with the same shape can be taken for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(String);

impl Shape {
    pub fn of(name: &PlayerName) -> Self {
        // Full-width and other forms of compatibility are the letters that they stand for.
        let plain: String = name.as_str().nfkc().collect();
        let bare: String = skeleton(&plain).filter(|c| !is_combining_mark(*c)).collect();
        // Once more: letters that only become alike when they are small.
        Self(skeleton(&bare.to_lowercase()).filter(|c| !is_combining_mark(*c)).collect())
    }
}

/// Whether one word of a name has letters of several scripts, which no language does. A Japanese name in front of a Latin
/// world is none.
pub fn mixes_scripts(name: &PlayerName) -> bool {
    name.as_str().split([' ', '@', '-', '\'']).any(|word| !word.is_single_script())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> PlayerName {
        text.parse().expect(text)
    }

    #[test]
    fn lookalikes_have_one_shape() {
        let shape = |text: &str| Shape::of(&name(text));
        for (real, false_one) in [
            ("Bert Beta@Omega", "Bert Вeta@Omega"),
            ("Bert Beta@Omega", "Bert Beta@Ｏmega"),
            ("Bert Beta@Omega", "Bert Beta@Omega\u{301}"),
            ("Alice Ashe@Gilgamesh", "AIice Ashe@Gilgamesh"),
            ("Alice Ashe@Gilgamesh", "alice ashe@Gilgamesh"),
            ("Alice Ashe@Gilgamesh", "Αlice Ashe@Gilgamesh"),
            ("Y'shtola Rhul@Omega", "Y’shtola Rhul@Omega"),
        ] {
            assert_ne!(real, false_one);
            assert_eq!(shape(real), shape(false_one), "{false_one}");
        }
        for (one, other) in [
            ("Bert Beta@Omega", "Bert Beta@Zodiark"),
            ("Bert Beta@Omega", "Bart Beta@Omega"),
            ("光の 戦士@トンベリ", "闇の 戦士@トンベリ"),
        ] {
            assert_ne!(shape(one), shape(other));
        }
    }

    #[test]
    fn scripts_are_mixed_within_a_word_only() {
        for mixed in ["Bert Вeta@Omega", "Аlice Ashe@Gilgamesh", "Alice Ashe@Gilgαmesh"] {
            assert!(mixes_scripts(&name(mixed)), "{mixed}");
        }
        for plain in [
            "Alice Ashe@Gilgamesh",
            "光の 戦士@Gilgamesh",
            "トンベリ さん@トンベリ",
            "Y'shtola Rhul@Omega",
            "Анна Ли@Omega",
        ] {
            assert!(!mixes_scripts(&name(plain)), "{plain}");
        }
    }
}
