//! Names that look like another: Cyrillic letters among Latin ones, full-width letters, accents. Names are compared
//! exactly everywhere else; here they are compared by appearance, to warn a person.
//!
//! The tables are Unicode's (UTS 39, confusables and scripts), from the crate `unicode-security`.

use crate::id::PlayerName;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};
use unicode_security::MixedScript;

include!(concat!(env!("OUT_DIR"), "/alike.rs"));

/// A name's visual skeleton: names with the same shape can be confused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(String);

impl Shape {
    pub fn of(name: &PlayerName) -> Self {
        // Full-width and other compatibility forms become plain letters.
        let plain: String = name.as_str().nfkc().collect();
        let bare: String = skeleton(&plain).filter(|c| !is_combining_mark(*c)).collect();
        // Again: some letters become alike only in lower case.
        Self(skeleton(&bare.to_lowercase()).filter(|c| !is_combining_mark(*c)).collect())
    }
}

/// Whether a name looks made to imitate another, as no language writes it: one word mixes several scripts, or begins
/// with a combining mark, which is drawn on whatever is shown before it. A Japanese name before a Latin world does not.
pub fn may_imitate(name: &PlayerName) -> bool {
    let is_made_up = |word: &str| !word.is_single_script() || word.starts_with(is_combining_mark);
    name.as_str().split([' ', '@', '-', '\'']).any(is_made_up)
}

/// UTS 39's skeleton, as the crate's own, by the packed table of `build.rs`.
fn skeleton(text: &str) -> impl Iterator<Item = char> {
    let known = |letter| like_what(letter).map_or((Some(letter), ""), |like| (None, like));
    text.nfd().map(known).flat_map(|(same, like)| same.into_iter().chain(like.chars())).nfd()
}

/// What a decomposed letter looks like, if that is something else, or nothing at all.
fn like_what(letter: char) -> Option<&'static str> {
    let next = IGNORED.partition_point(|(_, last)| *last < letter);
    if IGNORED.get(next).is_some_and(|(first, _)| *first <= letter) {
        return Some("");
    }
    let row = ALIKE.binary_search_by_key(&letter, |(alike, ..)| *alike).ok()?;
    let (_, start, length) = ALIKE[row];
    let start = usize::from(start);
    Some(&LIKE_WHAT[start..start + usize::from(length)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_skeleton_of_each_letter_is_the_crates() {
        let every = (char::MIN..=char::MAX).map(String::from);
        for text in every.chain(["ﬁ\u{34f}É\u{2d}ﷺ\u{323}\u{307}a\u{e0001}".into(), String::new()]) {
            assert!(skeleton(&text).eq(unicode_security::skeleton(&text)), "{text:?}");
        }
    }

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
            assert!(may_imitate(&name(mixed)), "{mixed}");
        }
        for plain in [
            "Alice Ashe@Gilgamesh",
            "光の 戦士@Gilgamesh",
            "トンベリ さん@トンベリ",
            "Y'shtola Rhul@Omega",
            "Анна Ли@Omega",
        ] {
            assert!(!may_imitate(&name(plain)), "{plain}");
        }
    }

    #[test]
    fn mark_before_the_first_letter_is_made_up() {
        for (marked, spelt) in [
            ("\u{301}Alice Ashe@Gilgamesh", "A\u{301}lice Ashe@Gilgamesh"),
            ("Alice \u{323}Ashe@Gilgamesh", "Alice A\u{323}she@Gilgamesh"),
            ("Alice Ashe@\u{20dd}Gilgamesh", "Alice Ashe@G\u{301}ilgamesh"),
            ("\u{93e}क ख@Omega", "का ख@Omega"),
        ] {
            assert!(may_imitate(&name(marked)), "{marked}");
            assert!(!may_imitate(&name(spelt)), "{spelt}");
        }
    }
}
