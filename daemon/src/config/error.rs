//! Errors of the configuration, with advice.

use super::paths::HomeError;
use crate::io::trouble::Trouble;
use fyteclub_proto::foreign::Foreign;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("{path} is not a valid config file: {message}")]
    Invalid { path: PathBuf, message: String },
    /// `place`: the layer with the value.
    #[error("{place}: `{key}` is `{value}`, and {expected}")]
    Value { place: String, key: &'static str, value: Foreign, expected: String },
    #[error("no home folder is known, because {0}: choose a data folder with --data-dir DIR")]
    NoHome(#[source] HomeError),
    #[error("{key} is not UTF-8: set it to plain Unicode, or choose a data folder with --data-dir DIR")]
    NotUnicode { key: String },
    #[error(transparent)]
    Unreadable(Trouble),
}

impl ConfigError {
    /// Adds the place of the wrong setting.
    pub(super) fn said_in(self, place: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Value { key, value, expected, .. } => {
                Self::Value { place: place(key), key, value, expected }
            }
            other => other,
        }
    }
}
