//! A log's filter as text: levels and targets. It has no spans and fields, which [`Targets`] cannot honour.

use fyteclub_proto::foreign::Foreign;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// What a filter may be, as the end of a sentence.
pub const ALLOWED: &str =
    "it must be off, error, warn, info, debug or trace, or TARGET=LEVEL, separated by commas";

/// A part of a filter is neither a level nor `TARGET=LEVEL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` in it is neither a level nor TARGET=LEVEL: {ALLOWED}")]
pub struct WrongFilter(Foreign);

/// Parses a filter as [`Targets`] does, but refuses what that would take for the name of a target: a misspelt level, a
/// span, a field. White space around names does not count. Without a level alone, other targets are off.
///
/// # Errors
/// The first part that is not allowed.
pub fn targets(filter: &str) -> Result<Targets, WrongFilter> {
    filter.split(',').try_fold(Targets::new(), |targets, part| {
        let wrong = || WrongFilter(Foreign::new(part));
        match part.split_once('=') {
            None => Ok(targets.with_default(level(part).ok_or_else(wrong)?)),
            Some((target, level_of_it)) if is_target(target.trim()) => {
                Ok(targets.with_target(target.trim(), level(level_of_it).ok_or_else(wrong)?))
            }
            Some(_) => Err(wrong()),
        }
    })
}

/// An empty text is a level to the parser: `error`.
fn level(text: &str) -> Option<LevelFilter> {
    Some(text.trim()).filter(|text| !text.is_empty())?.parse().ok()
}

/// A module's path, or a name that a crate has chosen.
fn is_target(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_-:./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn levels_and_targets_are_honoured() {
        let filter = targets("warn, fyteclub_daemon = debug ,h2=off").expect("a filter");
        assert!(filter.would_enable("any", &Level::WARN) && !filter.would_enable("any", &Level::INFO));
        assert!(filter.would_enable("fyteclub_daemon::app", &Level::DEBUG));
        assert!(!filter.would_enable("h2", &Level::ERROR));
        assert!(targets("TRACE").expect("a level").would_enable("any", &Level::TRACE));
        assert!(!targets("a=info").expect("a target").would_enable("b", &Level::ERROR));
    }

    #[test]
    fn part_that_would_not_be_honoured_is_named() {
        for (filter, part) in [
            ("", ""),
            ("loud", "loud"),
            ("info,", ""),
            ("info,loud", "loud"),
            ("fyteclub_daemon", "fyteclub_daemon"),
            ("info[span]=debug", "info[span]=debug"),
            ("warn,a[{field}]=debug", "a[{field}]=debug"),
            ("[span]=debug", "[span]=debug"),
            ("info,TARGET=", "TARGET="),
            ("=debug", "=debug"),
            ("a=b=c", "a=b=c"),
            ("a b=info", "a b=info"),
        ] {
            let told = targets(filter).expect_err(filter).to_string();
            assert!(told.starts_with(&format!("`{part}` in it is neither ")), "{filter}: {told}");
            assert!(told.contains("off, error, warn, info, debug or trace, or TARGET=LEVEL"), "{told}");
        }
    }
}
