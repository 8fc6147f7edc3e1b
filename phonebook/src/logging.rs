//! The log goes to stderr; stdout is for the one line that says where the server listens.
//!
//! At INFO and above nothing names a player or a client's address: operators should have nothing to hand over.

use crate::cli::LogFormat;
use std::io::stderr;
use tracing_subscriber::EnvFilter;

pub(crate) fn start(format: LogFormat) {
    // actix tells at INFO how many workers it starts, and at ERROR of each head that is not HTTP or too large: the first
    // is of no use to an operator, and with the second any stranger could fill a disk.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,actix_http=off"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(false);
    match format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.init(),
    }
}
