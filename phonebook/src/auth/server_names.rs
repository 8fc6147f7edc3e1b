//! What this phone book is called: signed bodies, polls and greetings name it, so that none is good elsewhere.

use actix_web::{HttpRequest, http::header};

/// The names that the operator gave this phone book, in lower case.
#[derive(Debug)]
pub(crate) struct ServerNames {
    names: Vec<String>,
}

impl ServerNames {
    pub(crate) fn new(names: &[String]) -> Self {
        Self { names: names.iter().map(|name| name.to_lowercase()).collect() }
    }

    /// Whether `server` means this phone book: one of its names, or, if it was given none, what the request calls it.
    /// Only names help against a phone book that passes greetings on: it writes the request.
    pub(crate) fn contain(&self, server: &str, host: Option<&str>) -> bool {
        match self.names.is_empty() {
            true => host == Some(server),
            false => self.names.iter().any(|name| name == server),
        }
    }
}

/// The `Host` of a request, as a name is compared.
pub(crate) fn requested_host(request: &HttpRequest) -> Option<String> {
    request.headers().get(header::HOST)?.to_str().ok().map(str::to_lowercase)
}
