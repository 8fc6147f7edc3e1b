//! Errors about a command line repeat what was typed, which may be another's words: a name, a link. All programs show
//! them by this.

use clap::error::ContextValue;
use fyteclub_proto::foreign::{escaped, escaped_lines, is_hidden};
use std::ffi::OsString;

/// The error's text with the hidden characters of what was typed escaped. The error's own line breaks stay. `None` where
/// nothing hidden was typed: then the error may be printed as it is, with colours.
pub fn shown(error: &mut clap::Error, mut typed: impl Iterator<Item = OsString>) -> Option<String> {
    if !typed.any(|typed| typed.to_string_lossy().contains(is_hidden)) {
        return None;
    }
    escape_typed(error);
    Some(escaped_lines(error.render().to_string().trim_end()).into_owned())
}

/// Before it is rendered: clap would drop an ESC with what follows it.
fn escape_typed(error: &mut clap::Error) {
    let shown = |text: &String| escaped(text, false).into_owned();
    let values: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in values {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(shown(&text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(shown).collect()),
            // Numbers, and what clap itself says.
            _ => continue,
        };
        error.insert(kind, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(typed: &str) -> Option<String> {
        let command = clap::Command::new("program").arg(clap::arg!(--port <PORT>));
        let typed = ["program", typed].map(OsString::from);
        let mut error = command.try_get_matches_from(&typed).expect_err("no such flag");
        shown(&mut error, typed.into_iter())
    }

    #[test]
    fn typed_hidden_characters_are_escaped_in_errors() {
        let told = told("--po\x1b[31mrt\nerror: \u{202e}forged").expect("hidden ones");
        assert!(told.contains("--po\\u{1b}[31mrt\\nerror: \\u{202e}forged"), "{told}");
        assert!(told.lines().count() > 1 && !told.contains(|c| c != '\n' && is_hidden(c)), "{told}");
    }

    #[test]
    fn plain_errors_are_left_as_they_are() {
        assert_eq!(told("--prot"), None);
    }
}
