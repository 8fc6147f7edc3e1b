//! The names of this phone book. Signatures contain one, so that they are invalid at other phone books.

use actix_web::{HttpRequest, http::header};

/// As configured, in lower case.
#[derive(Debug)]
pub(crate) struct ServerNames {
    names: Vec<String>,
}

impl ServerNames {
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| name.to_lowercase()).collect() }
    }

    /// Whether `server` is a configured name, or, if there are none, the request's own `Host`. Only configured names
    /// stop a phone book that forwards others' greetings: it writes the `Host`.
    pub(crate) fn contain(&self, server: &str, host: Option<&str>) -> bool {
        if self.names.is_empty() {
            host == Some(server)
        } else {
            self.names.iter().any(|name| name == server)
        }
    }
}

/// The request's `Host` in lower case.
pub(crate) fn requested_host(request: &HttpRequest) -> Option<String> {
    request.headers().get(header::HOST)?.to_str().ok().map(str::to_lowercase)
}
