//! How many files, and so connections, the process may have open.

/// As many as the system lets it have: a connection takes two, and the usual soft limit is 1024. Failing is no reason
/// not to serve, there are only fewer connections then.
#[cfg(unix)]
pub(crate) fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
    {
        tracing::debug!(%error, ?limit, "the limit of open files stays as it is");
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_limit() {}
