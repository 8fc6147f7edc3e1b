//! The log goes to stderr; stdout carries only the line with the listening address. No writer waits for a reader.
//!
//! At INFO and above no line names a player or a client's address.

use crate::cli::LogFormat;
use fyteclub_logging::{Form, Sparse, Stderr, Teller, log_panics};
use std::io;
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Dropping the guard flushes what is still in memory.
///
/// # Errors
/// The process has no thread or handle left.
pub(crate) fn start(format: LogFormat) -> io::Result<Teller> {
    // actix logs worker starts at INFO and every malformed or oversized head at ERROR: the first is useless to an
    // operator, the second would let a stranger fill the disk.
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,actix_http=off"));
    let (stderr, sparse) = (Stderr::start()?, Sparse::default());
    let log = match format {
        LogFormat::Json => fmt::layer().json().with_writer(stderr.guarded(Form::Json)).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(stderr.guarded(Form::Text)).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(sparse.clone()).with(log).init();
    log_panics(stderr.clone());
    sparse.start(stderr)
}
