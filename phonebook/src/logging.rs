//! The log goes to stderr; stdout carries only the line with the listening address. No writer waits for a reader.
//!
//! At INFO and above no line names a player or a client's address.

use crate::cli::LogFormat;
use anyhow::anyhow;
use fyteclub_logging::{Form, LogWriter, Sparse, Teller, filter, log_panics};
use fyteclub_proto::foreign::Foreign;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Dropping the guard flushes what is still in memory.
///
/// # Errors
/// `RUST_LOG` is no filter, or the process has no thread or handle left.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<Teller> {
    // actix logs worker starts at INFO and every malformed or oversized head at ERROR: the first is useless to an
    // operator, the second would let a stranger fill the disk.
    let actix = [("actix_server", LevelFilter::WARN), ("actix_http", LevelFilter::OFF)];
    let chosen = std::env::var("RUST_LOG").ok().filter(|words| !words.is_empty());
    let filter = match chosen {
        Some(words) => filter::targets(&words).map_err(|error| {
            anyhow!("the environment: `RUST_LOG` is `{}`, and {error}", Foreign::new(&words))
        })?,
        None => Targets::new().with_default(LevelFilter::INFO).with_targets(actix),
    };
    let (stderr, sparse) = (LogWriter::stderr()?, Sparse::default());
    let log = match format {
        LogFormat::Json => fmt::layer().json().with_writer(stderr.guarded(Form::Json)).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(stderr.guarded(Form::Text)).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(sparse.clone()).with(log).init();
    log_panics(stderr.clone());
    Ok(sparse.start(vec![stderr])?)
}
