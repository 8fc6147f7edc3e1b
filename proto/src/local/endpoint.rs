//! The rule for the daemon's local socket; the environment is an argument.

/// The kinds of systems, by their sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    Unix,
    Windows,
}

/// Longest path of a Unix socket on every supported system, in bytes: the shortest `sun_path`, macOS's, without its
/// final zero. Linux takes four more.
pub const SOCKET_PATH_MAX: usize = 103;

/// The default: `FYTECLUB_IPC`; else on Unix `$XDG_RUNTIME_DIR/fyteclub/fyteclubd.sock`, or the same under
/// `/tmp/fyteclub-USER` if there is no runtime folder or its path is too long for a socket; on Windows the pipe
/// `fyteclub-USER`.
///
/// `env` looks up one environment variable. A file path on Unix, never an abstract name: .NET cannot connect to those.
pub fn default_endpoint(platform: Platform, env: impl Fn(&str) -> Option<String>) -> String {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    if let Some(chosen) = set("FYTECLUB_IPC") {
        return chosen;
    }
    let user =
        set("USER").or_else(|| set("USERNAME")).or_else(|| set("LOGNAME")).unwrap_or_else(|| "user".into());
    let user: String = user.chars().filter(|c| c.is_alphanumeric() || "-_.".contains(*c)).collect();
    match platform {
        Platform::Windows => format!("fyteclub-{user}"),
        Platform::Unix => {
            let runtime = set("XDG_RUNTIME_DIR");
            let path = runtime.map(|dir| format!("{}/fyteclub/fyteclubd.sock", dir.trim_end_matches('/')));
            let fits = path.filter(|path| path.len() <= SOCKET_PATH_MAX);
            fits.unwrap_or_else(|| format!("/tmp/fyteclub-{user}/fyteclubd.sock"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_in_order() {
        let env = |pairs: &'static [(&str, &str)]| {
            move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        use Platform::*;
        assert_eq!(
            default_endpoint(Unix, env(&[("FYTECLUB_IPC", "/x.sock"), ("XDG_RUNTIME_DIR", "/run")])),
            "/x.sock"
        );
        assert_eq!(default_endpoint(Windows, env(&[("USERNAME", "Al ice")])), "fyteclub-Alice");
        assert_eq!(
            default_endpoint(Unix, env(&[("XDG_RUNTIME_DIR", "/run/user/1")])),
            "/run/user/1/fyteclub/fyteclubd.sock"
        );
        assert_eq!(default_endpoint(Unix, env(&[("USER", "../al")])), "/tmp/fyteclub-..al/fyteclubd.sock");
    }

    #[test]
    fn a_runtime_folder_too_deep_is_passed_over() {
        let deep = format!("/{}", "d".repeat(100));
        let env = |name: &str| match name {
            "XDG_RUNTIME_DIR" => Some(deep.clone()),
            "USER" => Some("al".to_owned()),
            _ => None,
        };
        assert_eq!(default_endpoint(Platform::Unix, env), "/tmp/fyteclub-al/fyteclubd.sock");
    }
}
