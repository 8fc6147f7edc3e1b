//! How the index was found at the start.

use std::{fmt, path::PathBuf};

/// What was found at start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexHealth {
    Created,
    Healthy,
    /// It was damaged; its remains are in this folder, and it is rebuilt from the files.
    SetAside(PathBuf),
    /// It can be neither used nor replaced now; the store works without it and tries again at every checkpoint.
    Unavailable(String),
}

/// As the end of a sentence.
impl fmt::Display for IndexHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("new"),
            Self::Healthy => f.write_str("in order"),
            Self::SetAside(remains) => {
                write!(f, "built again from the files; the damaged one is {}", remains.display())
            }
            Self::Unavailable(why) => write!(f, "not used: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_in_words() {
        for (health, words) in [
            (IndexHealth::Created, "new"),
            (IndexHealth::Healthy, "in order"),
            (
                IndexHealth::SetAside("/d/index.broken-1".into()),
                "built again from the files; the damaged one is /d/index.broken-1",
            ),
            (IndexHealth::Unavailable("it is damaged".into()), "not used: it is damaged"),
        ] {
            assert_eq!(health.to_string(), words);
        }
    }
}
