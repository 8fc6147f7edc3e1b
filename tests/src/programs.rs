//! The binaries under test: built beside the test executable, once for each test process.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The stories' target.
const TARGET: &str = env!("FYTECLUB_TARGET");

/// The path of `fyteclubd`, `fyteclub-phonebook`, `fyteclubctl`, or of an example of the SDK, as in `examples/watch`.
///
/// # Panics They cannot be built.
pub fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(folder).join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// `FYTECLUB_TEST_BINARIES` names a folder to use instead, for another machine or another build.
fn folder() -> PathBuf {
    if let Some(folder) = env::var_os("FYTECLUB_TEST_BINARIES") {
        return folder.into();
    }
    // TARGET/[TRIPLE/]PROFILE/deps/stories-HASH
    let story = env::current_exe().expect("a test knows where it lies");
    let folder = story.ancestors().nth(2).expect("a test lies in deps").to_owned();
    let lock = File::create(folder.join("fyteclub-tests.lock")).expect("the target folder is writable");
    lock.lock().expect("the lock is free one day");
    build(&folder);
    folder
}

fn build(folder: &Path) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo sets variables about the test's package; they would make another cargo run build scripts again.
    for (key, _) in env::vars_os() {
        let key = key.to_string_lossy().into_owned();
        if ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
            .iter()
            .any(|start| key.starts_with(start))
        {
            cargo.env_remove(key);
        }
    }
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--examples", "--manifest-path"]);
    cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match name(folder).as_deref() {
        Some("debug") | None => {}
        Some(profile) => {
            cargo.args(["--profile", profile]);
        }
    }
    let above = folder.parent().expect("a profile lies in a target folder");
    // Only with `--target`, a folder of that name is between.
    let target = if above.file_name().is_some_and(|name| name == TARGET) {
        cargo.args(["--target", TARGET]);
        above.parent().expect("a target's folder lies in a target folder")
    } else {
        above
    };
    let status = cargo.arg("--target-dir").arg(target).status().expect("cargo runs");
    assert!(status.success(), "the programs under test cannot be built");
}
