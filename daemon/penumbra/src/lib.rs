//! Penumbra's mods, read and written as plain files: a folder or a `.pmp` and the chosen options become a look, and a
//! look becomes a folder that Penumbra loads.
//!
//! Nothing is hashed, sent or stored here. Names, sizes and links of a mod are checked before a byte is opened, and
//! limits end the reading (`caps::Caps`). Modules: `package` reads the JSON (`lenient` makes it strict, `form` has its
//! structure, `sheet` holds it packed), `settings` and `condition` select options, `resolve` applies priorities, `open`
//! and `contents` find the files, `write` is the export.

mod archive;
mod caps;
mod condition;
mod contents;
mod directory;
mod error;
mod folder;
mod form;
mod group;
mod kind;
mod lenient;
mod manipulation;
mod mark;
mod open;
mod package;
mod relative;
mod resolve;
mod resolved;
mod scalar;
mod settings;
mod sheet;
#[cfg(test)]
mod tests;
mod transcode;
mod write;

pub use error::{Count, LeftOut, LeftOutReason, ModError};
pub use resolved::{Choice, Resolved, ResolvedFile, Scratch, Source};
pub use write::{Export, ExportError, ExportFile, Written, check, write};

use std::path::Path;

/// Reads the mod at `path`, a folder or a `.pmp`. [`Resolved::left_out`] lists what cannot be shared; an error means
/// that nothing can. Memory is bounded: about 24 MiB and what the look needs.
pub fn read_into(path: &Path, choices: &[Choice], scratch: Scratch<'_>) -> Result<Resolved, ModError> {
    read_within(path, choices, scratch, caps::Caps::default())
}

/// [`read_into`] a folder on a disk with free space.
pub fn read(path: &Path, choices: &[Choice], scratch_dir: &Path) -> Result<Resolved, ModError> {
    read_into(path, choices, Scratch { dir: scratch_dir, space: &|_| Ok(()) })
}

fn read_within(
    path: &Path,
    choices: &[Choice],
    scratch: Scratch<'_>,
    caps: caps::Caps,
) -> Result<Resolved, ModError> {
    let mut contents = open::open(path, scratch, caps)?;
    let package = package::read(contents.as_mut(), choices, caps)?;
    let on = settings::settle(&package.groups, choices)?;
    resolve::resolve(package, &on, contents.as_mut())
}
