//! The seeds of mutations: proto's golden files.

use std::{fs, path::Path};

/// The content of every golden of `folder` whose name starts with one of `prefixes`, sorted by name. `.hex` files are
/// decoded.
///
/// # Panics There is none: a target without a seed finds nothing.
pub fn goldens(folder: &str, prefixes: &[&str]) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/golden").join(folder);
    let mut paths: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no golden in {} starts with any of {prefixes:?}", dir.display());
    let content = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let hex = |path: &Path| path.extension().is_some_and(|extension| extension == "hex");
    let read = |path: &Path| if hex(path) { unhex(&content(path)) } else { content(path) };
    paths.iter().map(|path| read(path)).collect()
}

/// Texts as seeds.
pub fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// # Panics At anything but hex digits and white space.
pub fn unhex(text: &[u8]) -> Vec<u8> {
    let digit =
        |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).expect("a hex digit")).expect("below 16");
    let digits: Vec<u8> = text.iter().filter(|byte| !byte.is_ascii_whitespace()).map(digit).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
