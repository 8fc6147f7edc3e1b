//! Small mods: each test makes one, reads it and states the result.

mod archive;
mod choice;
mod folder;
mod priority;
mod real;
mod write;

use super::{Choice, LeftOutReason, ModError, Resolved, Scratch, read};
use fyteclub_proto::{id::BlobHash, number::u64_of};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A mod in a temporary folder.
struct Mod {
    dir: TempDir,
}

impl Mod {
    /// `default_mod.json` with these `Files`, and a file for each of them that contains its own name.
    fn with_files(files: Value) -> Self {
        let new = Self { dir: tempfile::tempdir().unwrap() };
        for file in files.as_object().unwrap().values() {
            new.file(file.as_str().unwrap());
        }
        new.text("default_mod.json", &json!({ "Files": files }).to_string())
    }

    fn new() -> Self {
        Self::with_files(json!({}))
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("mod")
    }

    fn text(self, name: &str, text: &str) -> Self {
        self.bytes(name, text.as_bytes())
    }

    fn bytes(self, name: &str, bytes: &[u8]) -> Self {
        fs::create_dir_all(self.path()).unwrap();
        fs::write(self.path().join(name), bytes).unwrap();
        self
    }

    /// A file that contains its own name.
    fn file(&self, name: &str) {
        let path = self.path().join(name.replace('\\', "/"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }

    /// `group_<number>.json`, and the files that its options and containers name.
    fn group(self, number: usize, group: Value) -> Self {
        for list in ["Options", "Containers"] {
            for option in group[list].as_array().into_iter().flatten() {
                for file in option["Files"].as_object().into_iter().flat_map(|files| files.values()) {
                    self.file(file.as_str().unwrap());
                }
            }
        }
        self.text(&format!("group_{number:03}_g.json"), &group.to_string())
    }

    fn read(&self, choices: &[&str]) -> Result<Resolved, ModError> {
        let choices: Vec<Choice> = choices.iter().map(|choice| choice.parse().unwrap()).collect();
        read(&self.path(), &choices, &self.dir.path().join("scratch"))
    }

    /// Game path → content of its file.
    fn look(&self, choices: &[&str]) -> BTreeMap<String, String> {
        content(&self.read(choices).unwrap())
    }
}

/// A scratch folder on a disk with free space.
fn scratch(dir: &Path) -> Scratch<'_> {
    Scratch { dir, space: &|_| Ok(()) }
}

fn manipulations(resolved: &Resolved) -> Vec<Value> {
    match resolved.manipulations.as_str() {
        "" => Vec::new(),
        list => serde_json::from_str(list).unwrap(),
    }
}

fn content(resolved: &Resolved) -> BTreeMap<String, String> {
    let mut content = BTreeMap::new();
    for file in &resolved.files {
        let bytes = fs::read(file.source.path()).unwrap();
        assert_eq!(u64_of(bytes.len()), file.size);
        for game_path in &file.game_paths {
            content.insert(game_path.to_string(), String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    content
}

/// (game path, why) of everything left out.
fn reasons(resolved: &Resolved) -> Vec<(&str, &LeftOutReason)> {
    resolved.left_out.iter().map(|left_out| (left_out.game_path.as_str(), &left_out.reason)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// An option with one file for one game path.
fn option(name: &str, game_path: &str, file: &str) -> Value {
    json!({ "Name": name, "Files": { game_path: file } })
}

fn write_file(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
