//! The log goes to stderr; stdout is for the one line that says where the server listens. Neither is waited for.
//!
//! At INFO and above nothing names a player or a client's address: operators should have nothing to hand over.

use crate::cli::LogFormat;
use fyteclub_logging::{Form, Sparse, Stderr, Teller, log_panics};
use std::io;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// What is still in memory is written when the guard is dropped.
///
/// # Errors
/// No thread or no handle is left.
pub(crate) fn start(format: LogFormat) -> io::Result<Teller> {
    // actix tells at INFO how many workers it starts, and at ERROR of each head that is not HTTP or too large: the first
    // is of no use to an operator, and with the second any stranger could fill a disk.
    let actix = [("actix_server", LevelFilter::WARN), ("actix_http", LevelFilter::OFF)];
    let chosen = std::env::var("RUST_LOG").ok().filter(|words| !words.is_empty());
    let chosen = chosen.and_then(|words| words.parse().ok());
    let filter = chosen.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO).with_targets(actix));
    let (stderr, sparse) = (Stderr::start()?, Sparse::default());
    let log = match format {
        LogFormat::Json => fmt::layer().json().with_writer(stderr.guarded(Form::Json)).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(stderr.guarded(Form::Text)).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(sparse.clone()).with(log).init();
    log_panics(stderr.clone());
    sparse.start(stderr)
}
