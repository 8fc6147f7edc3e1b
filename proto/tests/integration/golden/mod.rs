//! The wires, pinned: one file per message and version in `proto/golden`, as hex or JSON.
//!
//! Each file is written by one example and must still decode to it. A file without an example is an older build's
//! message, and must still decode. The plugin's tests read the same JSON.

mod datagram;
mod live;
mod local;
mod peer;
mod phonebook;
mod router;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::{Debug, Write},
    fs,
    path::{Path, PathBuf},
};

/// A file's expected content, and its decoder.
struct Example {
    name: String,
    /// This build's encoding.
    text: String,
    /// The name of the value's type.
    shape: &'static str,
    /// Whether a file's text means the example's value.
    same: Box<Meaning>,
}

/// Whether a text means one value.
type Meaning = dyn Fn(&str) -> Result<(), String>;

/// Decodes any file of one kind of message.
type Reader = fn(&str) -> Result<(), String>;

impl Example {
    /// A message in bytes, with its decoder.
    fn hex<T, E>(name: &str, value: T, bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, E> + 'static) -> Self
    where
        T: PartialEq + Debug + 'static,
        E: Debug,
    {
        Self {
            name: format!("{name}.hex"),
            text: hex(bytes),
            shape: "",
            same: Box::new(move |text| {
                let read = decode(&unhex(text)).map_err(|error| format!("does not decode: {error:?}"))?;
                if read == value { Ok(()) } else { Err(format!("reads as {read:?}, not as {value:?}")) }
            }),
        }
    }

    /// A message in JSON.
    fn json<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(name: &str, value: T) -> Self {
        Self {
            name: format!("{name}.json"),
            text: serde_json::to_string_pretty(&value).expect("encodes") + "\n",
            shape: "",
            same: Box::new(move |text| {
                let read: T =
                    serde_json::from_str(text).map_err(|error| format!("does not decode: {error}"))?;
                if read == value { Ok(()) } else { Err(format!("reads as {read:?}, not as {value:?}")) }
            }),
        }
    }
}

/// Sixteen bytes a line.
fn hex(bytes: &[u8]) -> String {
    bytes.chunks(16).fold(String::new(), |mut text, line| {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes all"));
        text + "\n"
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect()
}

fn json<T: DeserializeOwned>(text: &str) -> Result<(), String> {
    serde_json::from_str::<T>(text).map(drop).map_err(|error| error.to_string())
}

fn dir(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(folder)
}

/// The order of keys in JSON does not matter.
fn alike(golden: &str, text: &str) -> bool {
    let value = |text| serde_json::from_str::<Value>(text).ok();
    golden == text || value(golden).is_some_and(|golden| Some(golden) == value(text))
}

/// Line ends of a checkout on Windows do not matter.
fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.replace("\r\n", "\n"))
}

/// Compares a folder with its examples; `readers` decode files without one, by the beginning of their names.
fn check(folder: &str, examples: Vec<Example>, readers: &[(&str, Reader)]) {
    let dir = dir(folder);
    let mut wrong = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for Example { name, text, same, .. } in examples {
        let path = dir.join(&name);
        if env::var_os("BLESS").is_some() {
            fs::create_dir_all(&dir).expect("a writable checkout");
            fs::write(&path, &text).expect("a writable checkout");
        }
        let problem = match read(&path) {
            None => Some("is missing".to_owned()),
            Some(golden) => match same(&golden) {
                Err(error) => Some(error),
                Ok(()) if !alike(&golden, &text) => {
                    Some(format!("holds\n{golden}and this build writes\n{text}"))
                }
                Ok(()) => None,
            },
        };
        assert!(seen.insert(name.clone()), "{name} has two examples");
        wrong.extend(problem.map(|problem| (name, problem)));
    }
    for entry in fs::read_dir(&dir).expect("the goldens are in the repository") {
        let path = entry.expect("readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if seen.contains(&name) {
            continue;
        }
        let text = read(&path).unwrap_or_default();
        let result = match readers.iter().find(|(prefix, _)| name.starts_with(prefix)) {
            Some((_, reader)) => reader(&text).map_err(|error| format!("of an older build: {error}")),
            None => Err("belongs to no kind of message".to_owned()),
        };
        wrong.extend(result.err().map(|problem| (name, problem)));
    }
    let list: String = wrong.iter().map(|(name, problem)| format!("{folder}/{name} {problem}\n")).collect();
    assert!(
        wrong.is_empty(),
        "{list}\nA golden is a promise to programs that are out there: a change of meaning needs a new version beside the \
         old one. Where the example is new, or nothing was released yet:\n  BLESS=1 cargo test -p fyteclub-proto --test integration golden"
    );
}
