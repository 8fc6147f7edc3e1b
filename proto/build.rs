//! Packs Unicode's table of letters that look alike for `src/lookalike.rs`. The crate's own table is 6,355 slices, which a
//! position-independent program keeps at seven times the size, most of it addresses.

use std::{collections::HashMap, env, fmt::Write, fs, path::Path};
use unicode_normalization::UnicodeNormalization;
use unicode_security::skeleton;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let (mut ignored, mut rows, mut text) = (Vec::<(char, char)>::new(), String::new(), String::new());
    let mut places = HashMap::new();
    // Others are decomposed before they are looked up.
    for letter in (char::MIN..=char::MAX).filter(|letter| [*letter].into_iter().nfd().eq([*letter])) {
        let like: String = skeleton(letter.encode_utf8(&mut [0; 4])).collect();
        if like.is_empty() {
            match ignored.last_mut() {
                Some((_, last)) if (*last..letter).nth(1).is_none() => *last = letter,
                _ => ignored.push((letter, letter)),
            }
        } else if !like.chars().eq([letter]) {
            let length = like.len();
            let start = *places.entry(like).or_insert_with_key(|like| {
                text.push_str(like);
                text.len() - length
            });
            writeln!(rows, "({letter:?}, {start}, {length}),").expect("a string takes everything");
        }
    }
    let source = format!(
        "static IGNORED: &[(char, char)] = &{ignored:?};\n\
         static ALIKE: &[(char, u16, u8)] = &[\n{rows}];\n\
         static LIKE_WHAT: &str = {text:?};\n"
    );
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&folder).join("alike.rs"), source).expect("the build folder is writable");
}
